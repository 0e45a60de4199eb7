//! The reference pages say everything that the sources say.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::fake::repository;

/// The crates that emit events. One that is added here must be documented.
const EMITTERS: [&str; 7] = ["common", "dhcpd", "dnsd", "tftpd", "ignition-http", "tangd", "lb"];
/// The functions of those crates whose first text argument is an event id.
const MAKERS: [&str; 6] = [
    "Event::new(",
    "stranger_or_node(exchange, ",
    "described(exchange, ",
    "link_event(",
    "known.event(",
    "self.change(&known, ",
];
/// How lines begin that choose between ids.
const CHOICES: [&str; 4] = ["let id = ", "let mut id = ", "id = ", "let event = if "];

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs")
            && !path.file_stem().unwrap().to_string_lossy().ends_with("tests")
        {
            found.push(path);
        }
    }
}

/// Event ids by the file that emits them; what stands behind `#[cfg(test)]` does not count.
fn emitted() -> BTreeMap<String, PathBuf> {
    let mut files = Vec::new();
    for emitter in EMITTERS {
        sources(&repository().join(emitter).join("src"), &mut files);
    }
    let mut ids = BTreeMap::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let text = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        for maker in MAKERS {
            for after in text.split(maker).skip(1) {
                if let Some(id) = after.trim_start().strip_prefix('"').and_then(|rest| rest.split('"').next())
                {
                    ids.insert(id.to_owned(), file.clone());
                }
            }
        }
        for line in
            text.lines().map(str::trim).filter(|line| CHOICES.iter().any(|choice| line.starts_with(choice)))
        {
            let chosen = line.split('"').skip(1).step_by(2).filter(|text| text.contains('_') && is_id(text));
            // What an id is compared with stands there too, but that has no underscore or is an id as well.
            ids.extend(chosen.map(|id| (id.to_owned(), file.clone())));
        }
    }
    ids
}

fn is_id(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

/// The ids in the first column of the page's tables.
fn documented() -> BTreeSet<String> {
    let page = std::fs::read_to_string(repository().join("docs/reference/events.md")).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next().map(str::to_owned));
    rows.collect()
}

#[test]
fn every_event_is_on_its_page() {
    let (emitted, documented) = (emitted(), documented());
    assert!(emitted.len() > 15, "the sources were not understood: {emitted:?}");
    let missing: Vec<_> = emitted.iter().filter(|(id, _)| !documented.contains(*id)).collect();
    assert!(missing.is_empty(), "docs/reference/events.md lacks {missing:#?}");
}

#[test]
fn no_event_on_the_page_is_an_invention() {
    let mut files = Vec::new();
    for emitter in EMITTERS {
        sources(&repository().join(emitter).join("src"), &mut files);
    }
    let text: String = files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
    let invented: Vec<_> =
        documented().into_iter().filter(|id| !text.contains(&format!("\"{id}\""))).collect();
    assert!(invented.is_empty(), "docs/reference/events.md has {invented:?}, which nothing emits");
}

#[test]
fn every_command_is_on_its_page() {
    use clap::CommandFactory;
    fn walk(command: &clap::Command, path: &str, page: &str, missing: &mut Vec<String>) {
        for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
            let path = format!("{path} {}", sub.get_name());
            if !page.contains(&path) {
                missing.push(path.clone());
            }
            for option in sub.get_arguments().filter_map(|argument| argument.get_long()) {
                if !page.contains(&format!("--{option}")) {
                    missing.push(format!("{path} --{option}"));
                }
            }
            walk(sub, &path, page, missing);
        }
    }
    let page = std::fs::read_to_string(repository().join("docs/reference/farosctl.md")).unwrap();
    let mut missing = Vec::new();
    walk(&farosctl::Cli::command(), "farosctl", &page, &mut missing);
    assert!(missing.is_empty(), "docs/reference/farosctl.md lacks {missing:#?}");
}
