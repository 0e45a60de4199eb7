//! An operator's `haproxy.cfg` becomes front ends, and its mistakes are named.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::path::{Path, PathBuf};
use std::process::Output;

use faros_common::site as common_site;
use faros_tests::lb::site;
use faros_tests::{farosctl, site as usual};

fn sample() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("captures/haproxy/openshift.cfg")
}

fn import(arguments: &[&str]) -> Output {
    farosctl().args(["lb", "import"]).args(arguments).output().unwrap()
}

fn words(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn the_sample_of_openshift_becomes_front_ends_that_load() {
    let output = import(&[sample().to_str().unwrap()]);
    let (toml, said) = words(&output);
    assert!(output.status.success(), "{said}");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("site.toml");
    // Without the derived ones, whose ports it would take.
    let text = usual::SITE.replace("kind = \"openshift\"", "kind = \"none\"");
    std::fs::write(&path, format!("{text}\n{toml}")).unwrap();
    let loaded = common_site::load(&path).unwrap_or_else(|errors| panic!("{errors:?}\n{toml}"));
    let frontends = &loaded.site.lb.frontends;
    assert_eq!(frontends.len(), 4, "{toml}");
    let ports: Vec<u16> = frontends.iter().map(|front| front.listen[0].port()).collect();
    assert_eq!(ports, [6443, 22623, 443, 80]);
    let api = &frontends[0];
    assert_eq!(api.backends.len(), 4);
    assert_eq!(api.backends.iter().filter(|backend| backend.backup).count(), 1);
    assert_eq!((api.check.kind, api.check.path.as_str()), (common_site::CheckKind::Https, "/readyz"));
    assert_eq!(frontends[2].balance, common_site::Balance::Source);
}

#[test]
fn its_three_mistakes_are_named() {
    let (toml, said) = words(&import(&[sample().to_str().unwrap()]));
    let all = format!("{said}\n{toml}").to_lowercase();
    let about = |words: &[&str]| all.lines().any(|line| words.iter().all(|word| line.contains(word)));
    assert!(about(&["rise", "fall"]), "inverted rise and fall:\n{all}");
    assert!(about(&["1m"]) || about(&["timeout", "idle"]), "an idle cut of a minute:\n{all}");
    assert!(
        about(&["1936"]) || about(&["ingress", "/healthz/ready"]),
        "an ingress check by TCP alone:\n{all}"
    );
}

#[test]
fn what_is_no_configuration_is_refused_with_its_place() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("haproxy.cfg");
    for (text, word) in [
        ("listen a\n  bind *:1\n  mode tcp\n  server a nowhere\n", "4"),
        (
            "frontend a\n  bind *:1\n  mode http\n  default_backend b\nbackend b\n  server a 192.0.2.1:1\n",
            "HTTP",
        ),
        ("\u{0}\u{1}\u{2}", "1"),
    ] {
        std::fs::write(&path, text).unwrap();
        let output = import(&[path.to_str().unwrap()]);
        let (toml, said) = words(&output);
        assert!(said.contains(word) || toml.contains(word), "{text:?}: {said} {toml}");
        assert!(!said.contains("panicked"), "{said}");
    }
    let output = import(&["/nowhere/haproxy.cfg"]);
    assert!(!output.status.success());
    assert!(words(&output).1.contains("/nowhere/haproxy.cfg"));
    let _ = site::VIP;
}
