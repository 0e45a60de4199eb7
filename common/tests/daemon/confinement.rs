//! What a daemon can no longer do once it serves.

use std::fs;
use std::os::unix::fs::symlink;

use crate::{Echo, SITE};

#[test]
fn privilege_is_given_up() {
    let echo = Echo::start(|_| ());
    assert_eq!(echo.process("CapEff"), "0000000000000000");
    assert_eq!(echo.process("CapPrm"), "0000000000000000");
    assert_eq!(echo.process("NoNewPrivs"), "1");
    assert_eq!(echo.process("Seccomp"), "2");
    assert!(!echo.process("Uid").split_whitespace().any(|id| id == "0"));
    assert_eq!(echo.process("Groups"), "");
    let report = echo.status();
    assert_eq!(report["service"]["may_read_root"], false);
    assert_eq!(report["confinement"]["seccomp"], true);
}

/// Files are open to everybody here, so that nothing but landlock can refuse them.
#[test]
fn files_beside_its_own_are_out_of_reach() {
    let echo = Echo::start(|_| ());
    let outside = tempfile::tempdir().unwrap();
    let open = |path: &std::path::Path, mode| {
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    };
    open(outside.path(), 0o777);
    let file = outside.path().join("file");
    fs::write(&file, "x").unwrap();
    open(&file, 0o666);
    let attempt = |what: &str, path: &str| echo.post(&format!("/try/{what}?path={path}"));
    for what in ["read", "write"] {
        assert_eq!(attempt(what, file.to_str().unwrap()), "\"permission denied\"", "{what}");
    }
    for (what, path) in
        [("list", "/etc"), ("list", "/"), ("read", "/etc/fstab"), ("write", "/tmp/faros-escaped")]
    {
        assert_ne!(attempt(what, path), "\"done\"", "{what} {path}");
    }
    assert_eq!(echo.post("/try/write"), "\"done\"", "its own state");
    for path in ["site.toml", "state/written"] {
        let path = echo.directory.path().join(path);
        assert_eq!(attempt("read", path.to_str().unwrap()), "\"done\"", "{}", path.display());
    }
}

#[test]
fn system_calls_that_serve_nobody_are_refused_and_seen() {
    let echo = Echo::start(|_| ());
    for what in ["execute", "watch", "vsock"] {
        assert_eq!(echo.post(&format!("/try/{what}")), "\"permission denied\"", "{what}");
    }
    for what in ["thread", "netlink"] {
        assert_eq!(echo.post(&format!("/try/{what}")), "\"done\"", "{what}");
    }
    assert_eq!(echo.echo(b"alive"), Some(b"alive".to_vec()));
}

/// What the tests above see refused is refused by the sandbox and by nothing else.
#[test]
fn without_the_sandbox_all_of_that_is_possible() {
    let echo = Echo::start(|command| {
        command.arg("--no-sandbox");
    });
    for what in ["execute", "watch", "thread", "netlink", "list?path=/etc"] {
        assert_eq!(echo.post(&format!("/try/{what}")), "\"done\"", "{what}");
    }
    assert_eq!(echo.process("Seccomp"), "0");
}

#[test]
fn a_reload_follows_a_file_that_is_renamed_linked_and_linked_elsewhere() {
    let elsewhere = tempfile::tempdir().unwrap();
    fs::set_permissions(elsewhere.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let named = |domain: &str| SITE.replace("example.com", domain);
    let (one, two) = (elsewhere.path().join("1.toml"), elsewhere.path().join("2.toml"));
    fs::write(&one, named("one.test")).unwrap();
    fs::write(&two, named("two.test")).unwrap();
    let echo = Echo::start(|command| {
        let site = command.get_args().nth(1).unwrap().to_owned();
        fs::remove_file(&site).unwrap();
        symlink(&one, &site).unwrap();
    });
    let site = echo.directory.path().join("site.toml");
    let new = echo.directory.path().join("new");
    let zone_after = |content: &dyn Fn()| {
        content();
        fs::rename(&new, &site).unwrap();
        assert!(echo.request("POST /reload").starts_with("HTTP/1.1 200"), "{}", echo.status()["last_reload"]);
        echo.status()["service"]["zone"].as_str().unwrap().to_owned()
    };
    assert_eq!(zone_after(&|| symlink(&two, &new).unwrap()), "edge.two.test");
    assert_eq!(zone_after(&|| fs::write(&new, named("three.test")).unwrap()), "edge.three.test");
    fs::remove_file(&site).unwrap();
    assert!(echo.request("POST /reload").starts_with("HTTP/1.1 409"));
    assert_eq!(echo.status()["service"]["zone"], "edge.three.test");
}
