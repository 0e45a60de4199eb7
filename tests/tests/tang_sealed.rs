//! Keys that are encrypted at rest: nothing of them in clear on disk, nothing unlocked before somebody opens them.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use faros_lab::Process;
use faros_tests::tang::points::{self, CURVES};
use faros_tests::tang::{Naming, OURS, Reply, Tang, http, keys_in, start_upstream, start_upstream_tls};
use faros_tests::{farosctl, farosctl_of, within};
use serde_json::Value;

/// How soon a passphrase has to have opened the store, with the test's own time around it.
const OPEN_WITHIN: Duration = Duration::from_secs(10);
/// How soon another server has to have opened it.
const UPSTREAM_WITHIN: Duration = Duration::from_secs(30);
/// Headquarters, beyond the uplink.
const HEADQUARTERS: &str = "198.51.100.1:7700";

fn operator(site: &Tang, arguments: &[&str]) -> Result<String, String> {
    let output = farosctl_of(&site.lab).arg("tang").args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    if output.status.success() { Ok(said) } else { Err(said) }
}

fn recover(site: &Tang, thumbprint: &str) -> Reply {
    let request = http::post(&format!("/rec/{thumbprint}"), &CURVES[0].random_point().request());
    site.client.inside(|| http::exchange(OURS, &request)).unwrap().unwrap()
}

/// The private parts of all keys, as text and as bytes.
fn private_parts(site: &Tang) -> Vec<Vec<u8>> {
    let keys = keys_in(&site.keys());
    let texts = keys.iter().map(|(_, key)| key["d"].as_str().unwrap().as_bytes().to_vec());
    texts.flat_map(|text| [data_encoding::BASE64URL_NOPAD.decode(&text).unwrap(), text]).collect()
}

/// The files below `directory` that hold one of `needles`.
fn files_with(directory: &Path, needles: &[Vec<u8>]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap().filter_map(Result::ok) {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        if kind.is_dir() {
            found.extend(files_with(&path, needles));
        } else if kind.is_file() {
            let content = std::fs::read(&path).unwrap();
            if needles.iter().any(|needle| content.windows(needle.len()).any(|window| window == needle)) {
                found.push(path);
            }
        }
    }
    found
}

fn restart(site: &mut Tang) {
    // As a power cut ends it.
    site.lab.kill_daemon("tangd").unwrap();
    site.lab.start_daemon("tangd").unwrap();
}

#[test]
fn a_passphrase_opens_what_a_restart_has_closed() {
    let mut site = Tang::running("[[tang.slot]]\nkind = \"passphrase\"");
    let exchange = site.thumbprint("deriveKey");
    let encrypted = site.clevis().encrypt(OURS, Naming::S256, b"disk").unwrap();
    let secrets = private_parts(&site);
    assert_eq!(files_with(&site.keys(), &secrets).len(), 2, "what is looked for can be found");

    let file = |name: &str, content: &str| {
        let path = site.lab.dir().join(name);
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    };
    let (right, wrong) =
        (file("right", "correct horse battery staple"), file("wrong", "correct horse battery stable"));
    operator(&site, &["seal", "--passphrase-file", &right]).unwrap();
    restart(&mut site);
    assert_eq!(files_with(site.lab.dir(), &secrets), [] as [PathBuf; 0], "nothing is left in clear");

    let sealed = recover(&site, &exchange);
    assert_eq!(sealed.status, 503);
    assert!(sealed.field("retry-after").is_some(), "{sealed:?}");
    assert!(site.clevis().decrypt(OURS, &encrypted).is_err());
    let later = site.clevis().encrypt(OURS, Naming::S256, b"later").expect("disks can be bound meanwhile");

    assert!(operator(&site, &["unseal", "--passphrase-file", &wrong]).is_err());
    assert_eq!(recover(&site, &exchange).status, 503);
    within(OPEN_WITHIN, "it opens", || operator(&site, &["unseal", "--passphrase-file", &right]).is_ok());
    assert_eq!(recover(&site, &exchange).status, 200);
    assert_eq!(site.clevis().decrypt(OURS, &encrypted).unwrap(), b"disk");
    assert_eq!(site.clevis().decrypt(OURS, &later).unwrap(), b"later");
    assert_eq!(files_with(site.lab.dir(), &secrets), [] as [PathBuf; 0], "nor while it is open");
    operator(&site, &["seal"]).unwrap();
    assert_eq!(recover(&site, &exchange).status, 503);
}

/// Headquarters beyond the uplink: Debian's server on keys of its own, and the thumbprint that its owner would tell.
fn headquarters(site: &Tang, start: impl FnOnce(&Path) -> Process) -> (PathBuf, Process, String) {
    site.lab.wan().ip("addr add 198.51.100.1/24 dev wan0").unwrap();
    let keys = site.lab.dir().join("headquarters");
    std::fs::create_dir(&keys).unwrap();
    let made = std::process::Command::new("/usr/libexec/tangd-keygen").arg(&keys).status().unwrap();
    assert!(made.success());
    let signs = |key: &Value| key["alg"] == "ES512";
    let (_, key) = keys_in(&keys).into_iter().find(|(_, key)| signs(key)).unwrap();
    let server = start(&keys);
    (keys, server, points::thumbprint(&key))
}

/// Seals with a slot for another server, which is asked from the bastion. `text` is a site file without slots.
fn seal_with(site: &Tang, text: &str, slot: &str) -> std::process::Output {
    site.lab.write_site(&format!("{text}\n[[tang.slot]]\nkind = \"tang\"\n{slot}")).unwrap();
    let farosctl = farosctl_of(&site.lab);
    let mut command = site.lab.bastion().command(farosctl.get_program());
    command.args(farosctl.get_args()).args(["tang", "seal"]).output().unwrap()
}

#[test]
fn headquarters_open_a_site_until_they_no_longer_want_to() {
    let mut site = Tang::running("");
    let exchange = site.thumbprint("deriveKey");
    let secrets = private_parts(&site);
    let start = |keys: &Path| start_upstream(site.lab.wan(), &site.lab, keys, HEADQUARTERS.parse().unwrap());
    let (theirs, _server, thumbprint) = headquarters(&site, start);
    let slot = format!("url = \"http://{HEADQUARTERS}\"\nthumbprint = \"{thumbprint}\"\n");
    let text = std::fs::read_to_string(site.lab.site_file()).unwrap();
    let output = seal_with(&site, &text, &slot);
    assert!(output.status.success(), "{output:?}");
    restart(&mut site);
    within(UPSTREAM_WITHIN, "it opens by itself", || recover(&site, &exchange).status == 200);
    assert_eq!(files_with(site.lab.dir(), &secrets), [] as [PathBuf; 0], "nothing is left in clear");

    for (path, _) in keys_in(&theirs) {
        std::fs::remove_file(path).unwrap();
    }
    assert_eq!(recover(&site, &exchange).status, 200, "what is open stays open");
    restart(&mut site);
    std::thread::sleep(Duration::from_secs(3));
    let sealed = recover(&site, &exchange);
    assert_eq!(sealed.status, 503, "and after a power cut it stays shut: {sealed:?}");
}

#[test]
fn headquarters_behind_tls_are_believed_by_the_authority_of_the_slot_alone() {
    let mut site = Tang::running("");
    let exchange = site.thumbprint("deriveKey");
    let tls = site.lab.dir().join("authority");
    for line in ["ca init", "ca issue headquarters --san 198.51.100.1"] {
        let mut command = farosctl();
        command.arg("--site").arg(site.lab.site_file()).args(line.split(' ')).arg("--dir").arg(&tls);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    let (certificate, key) = (tls.join("headquarters.crt"), tls.join("headquarters.key"));
    let start = |keys: &Path| {
        let listen = HEADQUARTERS.parse().unwrap();
        start_upstream_tls(site.lab.wan(), &site.lab, keys, listen, (&certificate, &key))
    };
    let (_theirs, _server, thumbprint) = headquarters(&site, start);
    let slot = format!("url = \"https://{HEADQUARTERS}\"\nthumbprint = \"{thumbprint}\"\n");
    let text = std::fs::read_to_string(site.lab.site_file()).unwrap();

    let output = seal_with(&site, &text, &slot);
    let said = String::from_utf8_lossy(&output.stderr).to_lowercase();
    assert!(!output.status.success() && said.contains("certificate"), "nobody here knows it: {said}");
    assert_eq!(recover(&site, &exchange).status, 200, "nothing was sealed");

    let authority = tls.join("ca.crt");
    let output = seal_with(&site, &text, &format!("{slot}ca = \"{}\"\n", authority.display()));
    assert!(output.status.success(), "{output:?}");
    // The slot keeps what it needs.
    std::fs::remove_file(authority).unwrap();
    restart(&mut site);
    within(UPSTREAM_WITHIN, "it opens by itself", || recover(&site, &exchange).status == 200);
}
