//! The search as a client sees it.

use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;
use crate::config::tests::config;

struct Tree {
    directory: tempfile::TempDir,
    config: Config,
}

fn tree() -> Tree {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("boot");
    for folder in ["loaders", "Grub/x86", "rhcos"] {
        std::fs::create_dir_all(root.join(folder)).unwrap();
    }
    for (path, content) in [
        ("boot/kernel", "kernel"),
        ("boot/loaders/kernel", "not this"),
        ("boot/loaders/own.efi", "own"),
        ("boot/Grub/x86/Core.Efi", "core"),
        ("boot/rhcos/master.ign", "secret"),
        ("boot/rhcos/Secret.bin", "secret"),
        ("outside", "secret"),
    ] {
        std::fs::write(directory.path().join(path), content).unwrap();
    }
    let config = config(&root);
    Tree { directory, config }
}

impl Tree {
    fn get(&self, name: &str) -> Result<(Rule, String), (ErrorCode, &'static str)> {
        let located =
            locate(name.as_bytes(), &self.config).map_err(|refusal| (refusal.code, refusal.reason))?;
        let content = match located.content {
            Content::File(file, _) => io::read_to_string(file).unwrap(),
            Content::Script(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
        };
        Ok((located.rule, content))
    }

    fn root(&self) -> &Path {
        &self.config.root
    }
}

#[test]
fn the_root_comes_first_then_its_loaders() {
    let tree = tree();
    assert_eq!(tree.get("kernel"), Ok((Rule::Root, "kernel".into())));
    assert_eq!(tree.get("/kernel"), Ok((Rule::Root, "kernel".into())));
    assert_eq!(tree.get("own.efi"), Ok((Rule::Loaders, "own".into())));
    let absolute = format!("{}/kernel", tree.root().display());
    assert_eq!(tree.get(&absolute), Ok((Rule::Root, "kernel".into())));
}

#[test]
fn case_is_ignored_where_nothing_fits_exactly() {
    let tree = tree();
    assert_eq!(tree.get("\\GRUB\\X86\\CORE.EFI"), Ok((Rule::OtherCase, "core".into())));
    std::fs::write(tree.root().join("Grub/x86/core.efi"), "exact").unwrap();
    assert_eq!(tree.get("Grub/x86/core.efi"), Ok((Rule::Root, "exact".into())));
}

#[test]
fn t11_an_absolute_name_is_below_the_root() {
    assert_eq!(tree().get("/etc/passwd"), Err((ErrorCode::FileNotFound, "not_found")));
}

#[test]
fn t15_a_link_out_of_the_root_is_refused() {
    let tree = tree();
    symlink("../outside", tree.root().join("relative")).unwrap();
    symlink(tree.directory.path().join("outside"), tree.root().join("absolute")).unwrap();
    symlink(tree.directory.path(), tree.root().join("folder")).unwrap();
    symlink("/proc/self/root/etc/passwd", tree.root().join("magic")).unwrap();
    for name in ["relative", "absolute", "folder/outside", "magic", "RELATIVE"] {
        assert_eq!(tree.get(name), Err((ErrorCode::AccessViolation, "link_outside_root")), "{name}");
    }
}

#[test]
fn a_link_that_stays_inside_is_followed() {
    let tree = tree();
    symlink("../kernel", tree.root().join("rhcos/relative")).unwrap();
    symlink(tree.root().join("kernel"), tree.root().join("absolute")).unwrap();
    for name in ["rhcos/relative", "absolute"] {
        assert_eq!(tree.get(name), Ok((Rule::Root, "kernel".into())), "{name}");
    }
}

#[test]
fn t16_a_fifo_or_device_is_refused_and_does_not_block() {
    let tree = tree();
    let path = std::ffi::CString::new(tree.root().join("fifo").to_str().unwrap()).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &path,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o666),
        0,
    )
    .unwrap();
    assert_eq!(tree.get("fifo"), Err((ErrorCode::AccessViolation, "not_a_regular_file")));
}

#[test]
fn t17_a_directory_is_refused() {
    let tree = tree();
    for name in ["rhcos", "rhcos/", "/rhcos/."] {
        assert_eq!(tree.get(name), Err((ErrorCode::AccessViolation, "directory")), "{name}");
    }
    assert_eq!(tree.get("kernel/x"), Err((ErrorCode::FileNotFound, "not_found")));
}

#[test]
fn t18_a_dangling_link_is_not_found() {
    let tree = tree();
    symlink("nowhere", tree.root().join("dangling")).unwrap();
    symlink("loop", tree.root().join("loop")).unwrap();
    assert_eq!(tree.get("dangling"), Err((ErrorCode::FileNotFound, "not_found")));
    assert_eq!(tree.get("loop"), Err((ErrorCode::AccessViolation, "link_outside_root")));
}

#[test]
fn t19_an_open_file_keeps_its_content() {
    let tree = tree();
    let located = locate(b"kernel", &tree.config).unwrap();
    std::fs::write(tree.root().join("new"), "new").unwrap();
    std::fs::rename(tree.root().join("new"), tree.root().join("kernel")).unwrap();
    let Content::File(file, _) = located.content else { panic!("a script") };
    assert_eq!(io::read_to_string(file).unwrap(), "kernel");
}

#[test]
fn seeds_are_refused_under_every_name() {
    let tree = tree();
    symlink("rhcos/master.ign", tree.root().join("link")).unwrap();
    symlink("rhcos/Secret.bin", tree.root().join("link2")).unwrap();
    std::fs::hard_link(tree.root().join("rhcos/Secret.bin"), tree.root().join("hard")).unwrap();
    std::fs::write(tree.root().join("other.IGN"), "secret").unwrap();
    for name in [
        "rhcos/master.ign",
        "rhcos//master.ign",
        "RHCOS\\MASTER.IGN",
        "x/../rhcos/master.ign",
        "link",
        "link2",
        "hard",
        "rhcos/Secret.bin",
        "rhcos/secret.bin",
        "other.IGN",
        "OTHER.ign",
        "missing.ign",
    ] {
        assert_eq!(tree.get(name), Err((ErrorCode::AccessViolation, "seed")), "{name}");
    }
}

#[test]
fn scripts_are_there_unless_a_file_has_their_name() {
    let tree = tree();
    assert!(matches!(tree.get("autoexec.ipxe"), Ok((Rule::Script, _))));
    std::fs::write(tree.root().join("autoexec.ipxe"), "own").unwrap();
    assert_eq!(tree.get("autoexec.ipxe"), Ok((Rule::Root, "own".into())));
}

#[test]
fn a_missing_loader_is_named_with_its_package() {
    let tree = tree();
    if let Err(refusal) = locate(b"undionly.kpxe", &tree.config) {
        assert_eq!(refusal.text, "file not found: undionly.kpxe (install the package ipxe on the bastion)");
    }
    let refusal = locate(b"no-such-file", &tree.config).unwrap_err();
    assert_eq!(refusal.text, "file not found: no-such-file");
}

#[test]
fn a_file_that_may_not_be_read_is_refused() {
    let tree = tree();
    std::fs::set_permissions(tree.root().join("kernel"), std::fs::Permissions::from_mode(0o000)).unwrap();
    // Root reads it all the same.
    let expected = match rustix::process::geteuid().is_root() {
        true => Ok((Rule::Root, "kernel".into())),
        false => Err((ErrorCode::AccessViolation, "permission_denied")),
    };
    assert_eq!(tree.get("kernel"), expected);
}

#[test]
fn t39_t41_failures_of_the_system_are_error_0() {
    let name = Name::parse(b"kernel", Path::new("/srv")).unwrap();
    for (errno, reason) in [
        (libc::EIO, "unreadable"),
        (libc::EMFILE, "exhausted"),
        (libc::ENFILE, "exhausted"),
        (libc::ESTALE, "unreadable"),
    ] {
        let refusal = unreadable(&name, &io::Error::from_raw_os_error(errno));
        assert_eq!((refusal.code, refusal.reason), (ErrorCode::NotDefined, reason));
    }
}
