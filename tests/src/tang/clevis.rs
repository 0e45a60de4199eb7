//! `clevis`, pointed at whichever server a test wants.
//!
//! What it encrypts holds the server's URL under a signature, so the URL is always the same, and it is curl that is told
//! which server is meant.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use faros_lab::Namespace;

/// The server's URL in everything that is encrypted.
pub const URL: &str = "http://tang.test";

/// How keys are named in what is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// S256, as of today.
    S256,
    /// S1, as disks were bound years ago.
    S1,
}

/// `clevis` on a machine.
#[derive(Debug)]
pub struct Clevis<'a> {
    machine: &'a Namespace,
    directory: PathBuf,
}

static FILES: AtomicU32 = AtomicU32::new(0);

impl<'a> Clevis<'a> {
    /// `clevis` on `machine`, with its files below `directory`.
    pub fn new(machine: &'a Namespace, directory: &Path) -> Self {
        Self { machine, directory: directory.join("clevis") }
    }

    /// Encrypts `secret` to what `server` advertises.
    ///
    /// # Errors
    /// What it said.
    pub fn encrypt(&self, server: SocketAddr, naming: Naming, secret: &[u8]) -> Result<Vec<u8>, String> {
        let configuration = format!(r#"{{"url":"{URL}"}}"#);
        self.run(server, &["encrypt", "tang", &configuration, "-y"], secret, naming)
    }

    /// Decrypts with the help of `server`.
    ///
    /// # Errors
    /// What it said.
    pub fn decrypt(&self, server: SocketAddr, encrypted: &[u8]) -> Result<Vec<u8>, String> {
        self.run(server, &["decrypt"], encrypted, Naming::S256)
    }

    fn run(
        &self,
        server: SocketAddr,
        arguments: &[&str],
        input: &[u8],
        naming: Naming,
    ) -> Result<Vec<u8>, String> {
        let io = |error: std::io::Error| error.to_string();
        let number = FILES.fetch_add(1, Ordering::Relaxed);
        let home = self.directory.join(number.to_string());
        std::fs::create_dir_all(&home).map_err(io)?;
        let curl = format!("connect-to = \"tang.test:80:{server}\"\n");
        std::fs::write(home.join(".curlrc"), curl).map_err(io)?;
        std::fs::write(home.join("input"), input).map_err(io)?;
        let mut path = std::env::var("PATH").unwrap_or_default();
        if naming == Naming::S1 {
            place_old_script(&home)?;
            path = format!("{}:{path}", home.display());
        }
        let input = home.join("input").display().to_string();
        let mut command = self.machine.command("sh");
        command.args(["-c", "exec clevis \"$@\" < \"$INPUT\"", "clevis"]).args(arguments);
        command.env("CURL_HOME", &home).env("INPUT", input).env("PATH", path);
        let output = command.output().map_err(io)?;
        let _ = std::fs::remove_dir_all(&home);
        match output.status.success() {
            true => Ok(output.stdout),
            false => Err(format!("clevis {arguments:?}: {}", String::from_utf8_lossy(&output.stderr))),
        }
    }
}

/// The script of this machine, but naming keys as its predecessors did.
fn place_old_script(directory: &Path) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt as _;
    let own = "/usr/bin/clevis-encrypt-tang";
    let script = std::fs::read_to_string(own).map_err(|error| format!("{own}: {error}"))?;
    let old = script.replacen("CLEVIS_DEFAULT_THP_ALG=S256", "CLEVIS_DEFAULT_THP_ALG=S1", 1);
    assert_ne!(old, script, "clevis no longer names its hash where it did");
    let path = directory.join("clevis-encrypt-tang");
    let written = std::fs::write(&path, old)
        .and_then(|()| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)));
    written.map_err(|error| error.to_string())
}
