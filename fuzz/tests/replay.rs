//! What the targets begin with, and what once broke them, without libFuzzer.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use faros_fuzz::TARGETS;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).map(|entries| entries.map(|entry| entry.unwrap().path()).collect());
    entries.unwrap_or_default()
}

#[test]
fn every_seed_and_every_regression_keeps_the_claims() {
    for target in TARGETS {
        let seeds = (target.seeds)();
        assert!(!seeds.is_empty(), "{} begins with nothing", target.name);
        let regressions = entries(&root().join("regressions").join(target.name));
        let regressions = regressions.iter().map(|path| fs::read(path).unwrap());
        for input in seeds.into_iter().chain(regressions) {
            eprintln!("{} {input:02x?}", target.name);
            target.feed(&input);
            // Every beginning of an input is an input.
            (0..input.len().min(64)).for_each(|length| target.feed(&input[..length]));
        }
    }
}

#[test]
fn every_target_has_its_program_and_every_regression_its_target() {
    let names = |folder: &str| -> BTreeSet<String> {
        let paths = entries(&root().join(folder));
        paths.iter().map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
    };
    let targets: BTreeSet<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    assert_eq!(targets.len(), TARGETS.len());
    assert_eq!(names("fuzz_targets"), targets);
    assert!(names("regressions").is_subset(&targets));
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    assert!(targets.iter().all(|name| manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\""))));
}
