//! From a file to a proven site, or to a report of everything that is wrong with it.

use std::io;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::raw::RawSite;
use super::read::{Findings, Input, Lines, Spot, Value};
use super::{Report, Site, build, check, file};

/// A larger site file is refused unread: a site of a thousand nodes needs less.
pub const FILE_MAX: usize = 256 * 1024;

/// Syntax errors beyond this are left out: most follow from the first.
const SYNTAX_ERRORS_MAX: usize = 20;

/// Of a file that is no TOML at all, so many errors are looked at.
const SYNTAX_ERRORS_SEEN: usize = 1000;

/// A site file that may be used.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The site.
    pub site: Site,
    /// What somebody should look at; warnings only.
    pub report: Report,
}

/// Reads and proves the site file at `path`.
///
/// # Errors
/// Everything that is wrong with it, in the order of the file; or that it cannot be read, is larger than
/// [`FILE_MAX`], or is not UTF-8.
pub fn load(path: &Path) -> Result<Loaded, Report> {
    let refuse = |message: String, help: &str| {
        let mut found = Findings::default();
        found.error(&Spot::default(), message).help(help);
        Err(found.into_report(&Lines::of(""), path))
    };
    let bytes = match file::read(path, FILE_MAX) {
        Ok(bytes) => bytes,
        Err(error) => {
            return refuse(
                format!("the site file cannot be read: {error}"),
                match error.kind() {
                    io::ErrorKind::NotFound => "name another with --site or FAROS_SITE",
                    io::ErrorKind::PermissionDenied => {
                        "make it and the directories above it readable for this user, or name another with --site"
                    }
                    _ => "name another with --site or FAROS_SITE, or make this one readable for this user",
                },
            );
        }
    };
    match String::from_utf8(bytes) {
        Ok(text) => parse(&text, path),
        Err(error) if error.as_bytes().len() > FILE_MAX => refuse(too_large(), TOO_LARGE_HELP),
        Err(error) => {
            let valid = error.utf8_error().valid_up_to();
            let text = String::from_utf8_lossy(&error.as_bytes()[..valid]).into_owned();
            let mut found = Findings::default();
            let spot = Spot { offset: Some(valid), key: String::new() };
            found.error(&spot, "the file is not UTF-8 from here on").help("save it in the encoding UTF-8");
            Err(found.into_report(&Lines::of(&text), path))
        }
    }
}

/// Proves the site file whose content is `text`; `path` only names it in the report.
///
/// # Errors
/// Everything that is wrong with it, in the order of the file.
pub fn parse(text: &str, path: &Path) -> Result<Loaded, Report> {
    let mut found = Findings::default();
    if text.len() > FILE_MAX {
        found.error(&Spot::default(), too_large()).help(TOO_LARGE_HELP);
        return Err(found.into_report(&Lines::of(""), path));
    }
    let lines = Lines::of(text);
    let (document, syntax_errors) = DeTable::parse_recoverable(text);
    let document = DeValue::Table(document.into_inner());
    let raw = RawSite::read(Input { value: &document, spot: Spot::default() }, &mut found);
    if !syntax_errors.is_empty() {
        report_syntax(text, &lines, &syntax_errors, &mut found);
        return Err(found.into_report(&lines, path));
    }
    let site = raw.and_then(|raw| {
        check::site(&raw, &mut found);
        let site = build::site(&raw)?;
        check::built(&raw, &site, &mut found);
        Some(site)
    });
    match site {
        Some(site) if !found.has_errors() => Ok(Loaded { site, report: found.into_report(&lines, path) }),
        _ => {
            // Whatever keeps a site from being built was reported; should that fail, the file is refused all the same.
            if !found.has_errors() {
                found.error(&Spot::default(), "the site cannot be put together");
            }
            Err(found.into_report(&lines, path))
        }
    }
}

/// Adds the syntax errors, one per line, and takes away what merely follows from them.
fn report_syntax(text: &str, lines: &Lines<'_>, errors: &[toml::de::Error], found: &mut Findings) {
    let mut broken = Vec::new();
    let mut syntax = Vec::new();
    let mut trustworthy = text.len();
    for error in errors.iter().take(SYNTAX_ERRORS_SEEN) {
        let span = error.span().unwrap_or(text.len()..text.len());
        let line = lines.place(span.start).line;
        if broken.last() == Some(&line) {
            continue;
        }
        broken.push(line);
        let open = error.message().contains("array") || error.message().contains("inline table");
        if syntax.len() < SYNTAX_ERRORS_MAX {
            syntax.push((span.clone(), error.message(), open));
        }
        if open {
            // With a bracket open, all that follows is read as something else.
            trustworthy = span.start;
            break;
        }
    }
    found.retain_apart_from(lines, &broken, trustworthy);
    for (span, message, open) in syntax {
        let duplicate = message.contains("duplicate key");
        let key = if duplicate { text.get(span.clone()).unwrap_or_default() } else { "" };
        let spot = Spot { offset: Some(span.start), key: key.to_owned() };
        let help = match (duplicate, open) {
            (true, _) => "a key or table stands once; for several nodes write [[node]] each time",
            (_, true) => "look for a bracket, brace or comma missing here or before",
            _ => "look for a missing quotation mark, bracket or equals sign here or just before",
        };
        found.error(&spot, format!("not TOML: {message}")).help(help);
    }
}

fn too_large() -> String {
    format!("the site file is larger than {FILE_MAX} bytes")
}

const TOO_LARGE_HELP: &str = "keep images, keys and other files outside and give their paths";
