//! Rules on the source that no linter knows.

use std::fs;
use std::path::{Path, PathBuf};

/// Longer files hold a second theme.
const LINES_MAX: usize = 500;

/// Module names that say nothing about what is in them.
const EMPTY_NAMES: &[&str] = &["util", "utils", "helper", "helpers", "misc", "common"];

/// Checks every Rust file below `root`; the error lists all offences.
pub(crate) fn check(root: &Path) -> Result<(), String> {
    let mut files = Vec::new();
    collect(root, &mut files).map_err(|error| format!("{} cannot be read: {error}", root.display()))?;
    files.sort();
    let mut offences = Vec::new();
    for path in files {
        let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let shown = path.strip_prefix(root).unwrap_or(&path).to_owned();
        offences.extend(offences_in(&shown, &text).map(|offence| format!("{}: {offence}", shown.display())));
    }
    if offences.is_empty() { Ok(()) } else { Err(format!("untidy:\n    {}", offences.join("\n    "))) }
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') {
                collect(&path, files)?;
            }
        } else if name.ends_with(".rs") {
            files.push(path);
        }
    }
    Ok(())
}

fn offences_in(path: &Path, text: &str) -> impl Iterator<Item = String> {
    let file = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let stem = file.trim_end_matches(".rs");
    let own_part = text.split("#[cfg(test)]\nmod ").next().unwrap_or(text);
    let lines = text.lines().count();
    // Crates are directories: only a module may not be called so.
    let in_src = path.components().any(|part| part.as_os_str() == "src");
    [
        (lines > LINES_MAX).then(|| format!("{lines} lines, {LINES_MAX} at most: split it by theme")),
        (in_src && EMPTY_NAMES.contains(&stem))
            .then(|| format!("the name {stem} does not say what is in it")),
        (file != "platform.rs" && opens_unsafe(own_part))
            .then(|| "unsafe code belongs into platform.rs".to_owned()),
        (!own_part.trim_start().starts_with("//!") && !text.trim().is_empty())
            .then(|| "the first line has to say what the file is (//!)".to_owned()),
        text.contains(concat!("todo", "!(")).then(|| "an unfinished piece".to_owned()),
    ]
    .into_iter()
    .flatten()
}

fn opens_unsafe(text: &str) -> bool {
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).any(|code| {
        ["unsafe {", "unsafe fn", "unsafe impl"].iter().any(|form| code.contains(form) && !code.contains('"'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offences(path: &str, text: &str) -> Vec<String> {
        offences_in(Path::new(path), text).collect()
    }

    #[test]
    fn a_tidy_file_passes() {
        assert!(offences("a/src/lease.rs", "//! Leases.\n\nfn f() {}\n").is_empty());
    }

    #[test]
    fn unsafe_is_allowed_in_platform_only() {
        let text = "//! X.\nfn f() { unsafe { g() } }\n";
        assert_eq!(offences("a/src/server.rs", text).len(), 1);
        assert!(offences("a/src/platform.rs", text).is_empty());
        assert!(offences("a/src/server.rs", "//! X.\n// unsafe { }\n").is_empty());
    }

    #[test]
    fn long_and_nameless_files_are_found() {
        assert_eq!(offences("a/src/x.rs", &format!("//! X.\n{}", "\n".repeat(LINES_MAX))).len(), 1);
        assert_eq!(offences("a/src/util.rs", "//! X.\n").len(), 1);
        assert_eq!(offences("a/src/x.rs", "fn f() {}\n").len(), 1);
    }
}
