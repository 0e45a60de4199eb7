//! Sealed keys that a TPM opens: a real one as far as its protocol goes, in software.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output};

use faros_tests::{eventually, farosctl};

const SITE: &str = r#"version = 1
[cluster]
name = "edge"
domain = "example.com"
[lan]
interface = "lan0"
address = "192.168.8.1/24"
"#;

/// A TPM with its state in a directory of its own; gone at the end of the test.
struct Tpm {
    process: Child,
    tcti: String,
}

impl Tpm {
    fn start(state: &Path) -> Self {
        std::fs::create_dir_all(state).unwrap();
        let port = pair_of_ports();
        let process = Command::new("swtpm")
            .args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear"])
            .arg("--tpmstate")
            .arg(format!("dir={}", state.display()))
            .args(["--server", &format!("type=tcp,port={port},bindaddr=127.0.0.1")])
            .args(["--ctrl", &format!("type=tcp,port={},bindaddr=127.0.0.1", port + 1)])
            .spawn()
            .expect("swtpm is installed; `cargo xtask packages` knows its package");
        let tpm = Self { process, tcti: format!("swtpm:host=127.0.0.1,port={port}") };
        eventually("the TPM listens", || TcpStream::connect(("127.0.0.1", port + 1)).is_ok());
        tpm
    }

    fn tool(&self, name: &str, arguments: &[&str]) {
        let output = Command::new(name).args(arguments).env("TPM2TOOLS_TCTI", &self.tcti).output();
        let output = output.expect("tpm2-tools are installed; `cargo xtask packages` knows their package");
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for Tpm {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A port that is free, and so is the next one.
fn pair_of_ports() -> u16 {
    loop {
        let first = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = first.local_addr().unwrap().port();
        if port < u16::MAX && TcpListener::bind(("127.0.0.1", port + 1)).is_ok() {
            return port;
        }
    }
}

/// `farosctl tang LINE` on the keys in `directory`.
fn tang(directory: &Path, line: &str) -> Output {
    let site = directory.join("site.toml");
    std::fs::write(&site, SITE).unwrap();
    let mut command = farosctl();
    command
        .arg("--site")
        .arg(site)
        .arg("tang")
        .args(line.split(' '))
        .arg("--keys")
        .arg(directory.join("keys"));
    command.current_dir(directory).stdin(std::process::Stdio::null()).output().unwrap()
}

fn done(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_tpm_opens_what_it_has_sealed_while_its_registers_are_as_they_were() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    std::fs::write(directory.join("words"), "correct horse battery staple\n").unwrap();
    std::fs::write(directory.join("safe"), "words for the safe\n").unwrap();
    done(&tang(directory, "seal --passphrase-file words"));
    let backup = |name: &str| tang(directory, &format!("backup {name} --backup-passphrase-file safe"));
    assert!(!backup("nothing").status.success(), "nobody opens it without its passphrase");

    let tpm = Tpm::start(&directory.join("tpm"));
    let tcti = &tpm.tcti;
    done(&tang(directory, &format!("slots add tpm2 --pcr 16 --tcti {tcti} --passphrase-file words")));
    done(&backup("opened-by-tpm"));

    tpm.tool(
        "tpm2_pcrextend",
        &["16:sha256=0000000000000000000000000000000000000000000000000000000000000001"],
    );
    assert!(!backup("other-registers").status.success());
    tpm.tool("tpm2_pcrreset", &["16"]);
    done(&backup("same-registers-again"));

    drop(tpm);
    assert!(!backup("no-tpm").status.success());
    assert!(!directory.join("no-tpm").exists(), "no half of a backup is left");
    done(&tang(directory, "backup by-passphrase --backup-passphrase-file safe --passphrase-file words"));
}
