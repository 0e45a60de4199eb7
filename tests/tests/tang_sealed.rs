//! Keys that are encrypted at rest: nothing of them in clear on disk, nothing unlocked before somebody opens them.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use faros_tests::tang::points::{self, CURVES};
use faros_tests::tang::{Naming, OURS, Reply, Tang, http, keys_in, start_upstream};
use faros_tests::{farosctl_of, within};
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

#[test]
fn headquarters_open_a_site_until_they_no_longer_want_to() {
    let mut site = Tang::running("");
    let exchange = site.thumbprint("deriveKey");
    let secrets = private_parts(&site);
    site.lab.wan().ip("addr add 198.51.100.1/24 dev wan0").unwrap();
    let theirs = site.lab.dir().join("headquarters");
    std::fs::create_dir(&theirs).unwrap();
    let made = std::process::Command::new("/usr/libexec/tangd-keygen").arg(&theirs).status().unwrap();
    assert!(made.success());
    let signs = |key: &Value| key["alg"] == "ES512";
    let (_, key) = keys_in(&theirs).into_iter().find(|(_, key)| signs(key)).unwrap();
    // Beyond the uplink it is Debian's server.
    let _server = start_upstream(site.lab.wan(), &site.lab, &theirs, HEADQUARTERS.parse().unwrap());
    let text = std::fs::read_to_string(site.lab.site_file()).unwrap();
    let slot = format!(
        "\n[[tang.slot]]\nkind = \"tang\"\nurl = \"http://{HEADQUARTERS}\"\nthumbprint = \"{}\"\n",
        points::thumbprint(&key)
    );
    site.lab.write_site(&format!("{text}{slot}")).unwrap();

    // The other server is asked from the bastion.
    let farosctl = farosctl_of(&site.lab);
    let mut command = site.lab.bastion().command(farosctl.get_program());
    let output = command.args(farosctl.get_args()).args(["tang", "seal"]).output().unwrap();
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
