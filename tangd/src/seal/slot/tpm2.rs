//! A slot for the TPM 2.0 of this host, by way of the `tpm2-tools`.
//!
//! The TPM encrypts 32 random bytes under its own storage key, which never leaves it; only the same chip decrypts them again, and
//! with `pcrs` only while those platform registers are as they were. They pass through pipes, never through files: what the tools
//! leave in their working directory (on a file system in memory where there is one) is public or encrypted by the chip.
//!
//! This protects a stolen disk, and not a stolen machine: together with a passphrase or an upstream Tang and a threshold of
//! two it does both. The tools are programs, so a slot is opened only before the daemon gives up the right to start any.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use faros_common::clock;
use serde::{Deserialize, Serialize};

use crate::seal::aead::{self, KEY_BYTES};
use crate::seal::{Key, SealError};

/// How long one of the tools may take: making a primary key takes seconds on old chips.
const TOOL_TIME_MAX: Duration = Duration::from_secs(30);
/// The largest blob of a TPM that a store's file may hold, in bytes.
const BLOB_BYTES_MAX: usize = 4096;
/// How much a tool may say; beyond, it is not read.
const OUTPUT_BYTES_MAX: u64 = 4096;

/// A TPM slot that is to be made.
#[derive(Clone, Debug, Default)]
pub struct Tpm2 {
    /// The platform registers (SHA-256 bank) that must be as they are now. Empty: none, so that firmware updates do not lock
    /// anybody out.
    pub pcrs: Vec<u8>,
    /// How the TPM is reached, in the words of tpm2-tools (`device:/dev/tpmrm0`); none: as these find it.
    pub tcti: Option<String>,
}

/// What the TPM has sealed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tpm2Lock {
    public: String,
    private: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pcrs: Vec<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tcti: Option<String>,
}

impl Tpm2Lock {
    /// A lock that this host's TPM opens, and its key.
    pub(super) fn new(tpm2: &Tpm2) -> Result<(Self, Key), SealError> {
        let bench = Bench::new(tpm2.tcti.as_deref())?;
        bench.make_primary()?;
        let key = aead::new_key()?;
        let list = pcr_list(&tpm2.pcrs)?;
        if let Some(list) = &list {
            bench.run("tpm2_createpolicy", &["--policy-pcr", "-l", list, "-L", "policy"], &[])?;
        }
        let mut arguments = vec!["-C", "primary", "-g", "sha256", "-i", "-", "-u", "public", "-r", "private"];
        if list.is_some() {
            // Only the policy opens it, no empty password.
            arguments.extend(["-L", "policy", "-a", "fixedtpm|fixedparent|adminwithpolicy|noda"]);
        }
        bench.run("tpm2_create", &arguments, &*key)?;
        let (public, private) = (bench.read("public")?, bench.read("private")?);
        let lock = Self { public, private, pcrs: tpm2.pcrs.clone(), tcti: tpm2.tcti.clone() };
        if lock.key()? != key {
            return Err(SealError::Tpm("the TPM gave back something else than it was given".to_owned()));
        }
        Ok((lock, key))
    }

    /// Has the TPM give the key back.
    pub(in crate::seal) fn key(&self) -> Result<Key, SealError> {
        let bench = Bench::new(self.tcti.as_deref())?;
        bench.make_primary()?;
        bench.write("public", &self.public)?;
        bench.write("private", &self.private)?;
        bench.run("tpm2_load", &["-C", "primary", "-u", "public", "-r", "private", "-c", "sealed"], &[])?;
        bench.flush();
        let session = pcr_list(&self.pcrs)?.map(|list| format!("pcr:{list}"));
        let mut arguments = vec!["-c", "sealed"];
        if let Some(session) = &session {
            arguments.extend(["-p", session]);
        }
        let said = bench.run("tpm2_unseal", &arguments, &[])?;
        bench.flush();
        let mut key = Key::new([0; KEY_BYTES]);
        if said.len() != key.len() {
            return Err(SealError::Tpm(format!("the TPM gave {} bytes instead of {KEY_BYTES}", said.len())));
        }
        key.copy_from_slice(&said);
        Ok(key)
    }
}

/// `sha256:0,7`, in the words of tpm2-tools.
fn pcr_list(pcrs: &[u8]) -> Result<Option<String>, SealError> {
    if pcrs.iter().any(|&pcr| pcr > 23) {
        return Err(SealError::Invalid("a TPM has the platform registers 0 to 23".to_owned()));
    }
    let numbers: Vec<_> = pcrs.iter().map(u8::to_string).collect();
    Ok((!pcrs.is_empty()).then(|| format!("sha256:{}", numbers.join(","))))
}

/// A working directory for the tools, removed with all that is in it.
struct Bench<'t> {
    directory: PathBuf,
    tcti: Option<&'t str>,
}

impl<'t> Bench<'t> {
    fn new(tcti: Option<&'t str>) -> Result<Self, SealError> {
        let in_memory = [Path::new("/dev/shm"), Path::new("/run")];
        let name = BASE64URL_NOPAD.encode(&aead::new_key()?[..12]);
        let places = in_memory.into_iter().map(Path::to_owned).chain([std::env::temp_dir()]);
        let mut refused = None;
        for place in places {
            let directory = place.join(format!("faros-tpm2-{name}"));
            let mut builder = std::fs::DirBuilder::new();
            std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
            match builder.create(&directory) {
                Ok(()) => return Ok(Self { directory, tcti }),
                Err(error) => refused = Some(SealError::Io(directory, error)),
            }
        }
        Err(refused.expect("there is at least one place"))
    }

    /// The storage key of the owner hierarchy: the same one each time, for as long as the chip is not cleared.
    fn make_primary(&self) -> Result<(), SealError> {
        self.flush();
        self.run("tpm2_createprimary", &["-C", "o", "-g", "sha256", "-G", "ecc", "-c", "primary"], &[])?;
        self.flush();
        Ok(())
    }

    /// Lets the chip forget what was loaded into it; the tools keep contexts to load it again. Under a resource manager
    /// (`/dev/tpmrm0`) that happens by itself, and touches nobody else's; without one the chip is full after three objects.
    fn flush(&self) {
        let _ = self.run("tpm2_flushcontext", &["-t"], &[]);
    }

    /// Runs a tool with `input`, and gives what it prints.
    fn run(
        &self,
        tool: &str,
        arguments: &[&str],
        input: &[u8],
    ) -> Result<zeroize::Zeroizing<Vec<u8>>, SealError> {
        let failed = |what: &dyn std::fmt::Display| SealError::Tpm(format!("{tool}: {what}"));
        let mut command = Command::new(tool);
        // Without `-Q`, which would also silence what tpm2_unseal is run for.
        command.args(arguments).current_dir(&self.directory);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if let Some(tcti) = self.tcti {
            command.env("TPM2TOOLS_TCTI", OsStr::new(tcti));
        }
        let mut child = command
            .spawn()
            .map_err(|error| failed(&format_args!("{error}; is the package tpm2-tools installed?")))?;
        if let Some(mut pipe) = child.stdin.take() {
            // A tool that does not read its input says itself why it failed.
            let _ = pipe.write_all(input);
        }
        let succeeded = wait(&mut child).map_err(|error| failed(&error))?;
        let mut said = zeroize::Zeroizing::new(Vec::with_capacity(OUTPUT_BYTES_MAX as usize));
        if let Some(pipe) = child.stdout.take() {
            pipe.take(OUTPUT_BYTES_MAX).read_to_end(&mut said).map_err(|error| failed(&error))?;
        }
        if succeeded {
            return Ok(said);
        }
        let mut complaint = Vec::new();
        if let Some(pipe) = child.stderr.take() {
            pipe.take(OUTPUT_BYTES_MAX).read_to_end(&mut complaint).map_err(|error| failed(&error))?;
        }
        let complaint = String::from_utf8_lossy(&complaint);
        Err(failed(&complaint.lines().find(|line| line.starts_with("ERROR")).unwrap_or("failed").trim()))
    }

    fn read(&self, name: &str) -> Result<String, SealError> {
        let path = self.directory.join(name);
        std::fs::read(&path).map(|blob| BASE64URL_NOPAD.encode(&blob)).map_err(SealError::io(&path))
    }

    fn write(&self, name: &str, blob: &str) -> Result<(), SealError> {
        let blob = BASE64URL_NOPAD.decode(blob.as_bytes()).ok().filter(|blob| blob.len() <= BLOB_BYTES_MAX);
        let blob = blob.ok_or_else(|| SealError::Corrupt("a TPM slot is malformed".to_owned()))?;
        let path = self.directory.join(name);
        std::fs::write(&path, blob).map_err(SealError::io(&path))
    }
}

impl Drop for Bench<'_> {
    fn drop(&mut self) {
        // Nothing in it is secret; what cannot be removed is gone with the next boot.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Whether the tool succeeded. What it prints fits into the pipe, so it never waits for us.
fn wait(child: &mut Child) -> std::io::Result<bool> {
    let deadline = clock::now() + TOOL_TIME_MAX;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.success());
        }
        if clock::now() >= deadline {
            child.kill()?;
            child.wait()?;
            return Err(std::io::ErrorKind::TimedOut.into());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
