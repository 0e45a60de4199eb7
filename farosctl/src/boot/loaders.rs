//! Boot loaders: the distribution's files, found or brought.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use faros_common::loaders::{self, FOLDER, Loader};
use serde::Serialize;

use crate::cli::LoadersCommand;
use crate::exit::{Exit, Failure};
use crate::output::table::{Cell, Table};
use crate::output::{Human, Paint, Tone, harmless};
use crate::session::Session;

/// Loaders are small; a file beyond this is something else (a disk image, say) and is not imported.
const LOADER_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Files of a directory that are looked at; beyond it the directory is refused as the wrong one.
const FILES_MAX: usize = 1000;

pub(crate) fn run(session: &mut Session, command: Option<LoadersCommand>) -> Result<Exit, Failure> {
    match command {
        None | Some(LoadersCommand::List) => list(session),
        Some(LoadersCommand::Import { from, force }) => import(session, &from, force),
    }
}

#[derive(Serialize)]
struct LoaderList {
    root: PathBuf,
    loaders: Vec<Found>,
}

#[derive(Serialize)]
struct Found {
    name: &'static str,
    purpose: &'static str,
    path: Option<PathBuf>,
    package: Package,
}

/// Which package brings a loader.
#[derive(Clone, Copy, Serialize)]
struct Package {
    debian: &'static str,
    fedora: &'static str,
}

impl Package {
    fn of(loader: &Loader) -> Self {
        let fedora = match loader.name {
            name if name.ends_with("arm64.efi") => "ipxe-bootimgs-aarch64",
            name if loader.package == "ipxe" && name.starts_with("snponly") => "ipxe-bootimgs-x86",
            _ if loader.package == "ipxe" => "ipxe-bootimgs-x86",
            "shimx64.efi" => "shim-x64",
            "shimaa64.efi" => "shim-aa64",
            "grubx64.efi" => "grub2-efi-x64",
            "grubaa64.efi" => "grub2-efi-aa64",
            "syslinux.efi" | "ldlinux.e64" => "syslinux-efi64",
            _ => "syslinux-tftpboot",
        };
        Self { debian: loader.package, fedora }
    }
}

fn list(session: &mut Session) -> Result<Exit, Failure> {
    let root = session.site()?.http.root;
    let found = |loader: &Loader| Found {
        name: loader.name,
        purpose: loader.purpose,
        path: loaders::find(loader.name, &root),
        package: Package::of(loader),
    };
    let loaders = loaders::all().iter().map(found).collect();
    session.show(&LoaderList { root, loaders })?;
    Ok(Exit::Done)
}

impl Human for LoaderList {
    fn human(&self, paint: Paint) -> String {
        let mut table = Table::new(["LOADER", "FOUND", "FOR"]);
        for loader in &self.loaders {
            let place = match &loader.path {
                Some(path) => Cell::new(Tone::Good, path.display().to_string()),
                None => Cell::new(
                    Tone::Faint,
                    format!(
                        "missing: {} (Debian), {} (Fedora)",
                        loader.package.debian, loader.package.fedora
                    ),
                ),
            };
            table.row([Cell::new(Tone::Strong, loader.name), place, loader.purpose.into()]);
        }
        table.render(paint)
    }
}

#[derive(Serialize)]
struct Imports {
    files: Vec<Import>,
}

#[derive(Serialize)]
struct Import {
    from: PathBuf,
    to: Option<PathBuf>,
    outcome: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Outcome {
    Copied,
    Unchanged,
    Refused,
}

fn import(session: &mut Session, from: &[PathBuf], force: bool) -> Result<Exit, Failure> {
    let folder = session.site()?.http.root.join(FOLDER);
    let mut files = Vec::new();
    for place in from {
        files.extend(candidates(place)?);
    }
    fs::create_dir_all(&folder).map_err(|error| {
        Failure::failed(format!("cannot make {}: {error}; run as root", folder.display()))
    })?;
    let files: Vec<Import> = files.iter().map(|file| bring(file, &folder, force)).collect();
    let refused = files.iter().any(|file| file.outcome == Outcome::Refused);
    session.show(&Imports { files })?;
    Ok(if refused { Exit::Failed } else { Exit::Done })
}

/// A file as it is; of a directory the files that bear a loader's name.
fn candidates(place: &Path) -> Result<Vec<PathBuf>, Failure> {
    let unreadable =
        |error: std::io::Error| Failure::failed(format!("cannot read {}: {error}", place.display()));
    if !fs::metadata(place).map_err(unreadable)?.is_dir() {
        return Ok(vec![place.to_owned()]);
    }
    let mut files = Vec::new();
    for (index, entry) in fs::read_dir(place).map_err(unreadable)?.enumerate() {
        if index == FILES_MAX {
            let text =
                format!("{} holds more than {FILES_MAX} files; name the loaders in it", place.display());
            return Err(Failure::failed(text));
        }
        let path = entry.map_err(unreadable)?.path();
        let known = path
            .file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| loaders::named(name).is_some());
        if known && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        let text = format!("{} holds no loader; farosctl boot loaders shows their names", place.display());
        return Err(Failure::failed(text));
    }
    Ok(files)
}

/// Copies one file, or says why not.
fn bring(from: &Path, folder: &Path, force: bool) -> Import {
    let refused = |reason: String| Import {
        from: from.to_owned(),
        to: None,
        outcome: Outcome::Refused,
        reason: Some(reason),
    };
    let Some(name) = from.file_name().and_then(|name| name.to_str()) else {
        return refused("its name is not UTF-8; rename it".to_owned());
    };
    // An alias is stored under the name that DHCP answers give.
    let name = loaders::named(name).map_or(name, |loader| loader.name);
    let content = match read(from) {
        Ok(content) => content,
        Err(reason) => return refused(reason),
    };
    if let Err(reason) = judge(name, &content) {
        return refused(reason);
    }
    let to = folder.join(name);
    let done = |outcome| Import { from: from.to_owned(), to: Some(to.clone()), outcome, reason: None };
    match fs::read(&to) {
        Ok(present) if present == content => return done(Outcome::Unchanged),
        Ok(_) if !force => {
            return refused(format!("{} is there and differs; replace it with --force", to.display()));
        }
        _ => {}
    }
    match write(&to, &content) {
        Ok(()) => done(Outcome::Copied),
        Err(error) => refused(format!("cannot write {}: {error}; run as root", to.display())),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let mut content = Vec::new();
    let file = File::open(path).map_err(|error| format!("cannot be read: {error}"))?;
    file.take(LOADER_BYTES_MAX + 1)
        .read_to_end(&mut content)
        .map_err(|error| format!("cannot be read: {error}"))?;
    if content.len() as u64 > LOADER_BYTES_MAX {
        return Err(format!("larger than {} MiB, which no loader is", LOADER_BYTES_MAX >> 20));
    }
    Ok(content)
}

/// Whether `content` can be what `name` promises: firmware that gets something else just hangs.
fn judge(name: &str, content: &[u8]) -> Result<(), String> {
    if content.is_empty() {
        return Err("it is empty".to_owned());
    }
    if !name.ends_with(".efi") {
        return Ok(());
    }
    let machine = pe_machine(content)
        .ok_or("it is no EFI program (no PE header); was it downloaded as a web page or still packed?")?;
    let wanted = match name {
        name if name.contains("arm64") || name.contains("aa64") => 0xaa64,
        name if loaders::named(name).is_some() => 0x8664,
        _ => return Ok(()),
    };
    if machine == wanted {
        return Ok(());
    }
    let called = |machine| match machine {
        0x8664 => "x64".to_owned(),
        0xaa64 => "arm64".to_owned(),
        0x014c => "32-bit x86".to_owned(),
        other => format!("machine {other:#06x}"),
    };
    Err(format!(
        "it is a program for {}, but {name} is asked for by {} machines",
        called(machine),
        called(wanted)
    ))
}

/// The machine type in the COFF header of a PE file.
fn pe_machine(content: &[u8]) -> Option<u16> {
    let word = |at: usize| Some(u16::from_le_bytes(content.get(at..at + 2)?.try_into().ok()?));
    if content.get(..2)? != b"MZ" {
        return None;
    }
    let header = u32::from_le_bytes(content.get(0x3c..0x40)?.try_into().ok()?) as usize;
    (content.get(header..header.checked_add(4)?)? == b"PE\0\0").then(|| word(header + 4)).flatten()
}

/// Writes beside and renames: a machine that boots meanwhile gets the old file or the new one.
fn write(to: &Path, content: &[u8]) -> std::io::Result<()> {
    let beside = to.with_file_name(format!(".{}.new", to.file_name().unwrap_or_default().to_string_lossy()));
    let written = File::create(&beside).and_then(|mut file| {
        file.write_all(content)?;
        file.sync_all()
    });
    let renamed = written.and_then(|()| fs::rename(&beside, to));
    if renamed.is_err() {
        let _ = fs::remove_file(&beside);
    }
    renamed
}

impl Human for Imports {
    fn human(&self, paint: Paint) -> String {
        let mut table = Table::new(["FILE", "OUTCOME", "NOW AT"]);
        for file in &self.files {
            let outcome = match (file.outcome, &file.reason) {
                (_, Some(reason)) => Cell::new(Tone::Bad, format!("refused: {}", harmless(reason))),
                (Outcome::Copied, None) => Cell::new(Tone::Good, "copied"),
                (_, None) => "unchanged".into(),
            };
            let to = file.to.as_ref().map(|to| to.display().to_string()).unwrap_or_default();
            table.row([file.from.display().to_string().into(), outcome, to.into()]);
        }
        table.render(paint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The smallest thing with a PE header for `machine`.
    fn program(machine: u16) -> Vec<u8> {
        let mut bytes = vec![0; 0x80];
        bytes[..2].copy_from_slice(b"MZ");
        bytes[0x3c] = 0x40;
        bytes[0x40..0x44].copy_from_slice(b"PE\0\0");
        bytes[0x44..0x46].copy_from_slice(&machine.to_le_bytes());
        bytes
    }

    #[test]
    fn a_program_for_another_machine_is_refused() {
        assert!(judge("snponly.efi", &program(0x8664)).is_ok());
        assert!(judge("snponly-arm64.efi", &program(0xaa64)).is_ok());
        let reason = judge("snponly.efi", &program(0xaa64)).unwrap_err();
        assert!(reason.contains("arm64") && reason.contains("x64"), "{reason}");
        assert!(judge("snponly.efi", b"<html>").unwrap_err().contains("no EFI program"));
        assert!(judge("undionly.kpxe", b"").is_err());
        assert!(judge("own.efi", &program(0x014c)).is_ok());
    }

    #[test]
    fn a_header_that_leads_out_of_the_file_is_none() {
        let mut bytes = program(0x8664);
        bytes[0x3c..0x40].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(pe_machine(&bytes), None);
        assert_eq!(pe_machine(b"MZ"), None);
        assert_eq!(pe_machine(&program(0x8664)[..0x45]), None);
    }

    #[test]
    fn a_loader_that_differs_is_replaced_only_by_force() {
        let (from, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let file = from.path().join("shimx64.efi.signed");
        fs::write(&file, program(0x8664)).unwrap();
        let first = bring(&file, folder.path(), false);
        assert_eq!((first.outcome, first.to), (Outcome::Copied, Some(folder.path().join("shimx64.efi"))));
        assert_eq!(bring(&file, folder.path(), false).outcome, Outcome::Unchanged);
        let mut other = program(0x8664);
        other.push(1);
        fs::write(&file, other).unwrap();
        assert_eq!(bring(&file, folder.path(), false).outcome, Outcome::Refused);
        assert_eq!(bring(&file, folder.path(), true).outcome, Outcome::Copied);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn of_a_directory_only_loaders_are_taken() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("README"), "x").unwrap();
        assert!(candidates(dir.path()).is_err());
        fs::write(dir.path().join("undionly.kpxe"), "x").unwrap();
        fs::create_dir(dir.path().join("ipxe.efi")).unwrap();
        assert_eq!(candidates(dir.path()).unwrap(), [dir.path().join("undionly.kpxe")]);
        assert_eq!(candidates(&dir.path().join("README")).unwrap().len(), 1);
        assert!(candidates(&dir.path().join("missing")).is_err());
    }
}
