//! File names as firmware writes them, and the scripts that stand behind some of them.

use std::path::{Component, Path};

use faros_tftpd::protocol::name::Name;

use crate::Target;

/// Feeds [`Name::parse`].
pub const TARGET: Target = Target { name: "tftp_name", run, seeds, memory: (8192, 128) };

const ROOTS: [&str; 3] = ["/srv/boot", "/", "/srv/boot/"];

fn run(data: &[u8]) {
    for root in ROOTS {
        let name = match Name::parse(data, Path::new(root)) {
            Ok(name) => name,
            Err(refused) => {
                assert!(!refused.answer().1.is_empty() && !refused.reason().is_empty());
                continue;
            }
        };
        let mut components = name.path().components();
        assert!(components.clone().next().is_some());
        assert!(components.all(|part| matches!(part, Component::Normal(_))), "{name:?}");
        assert!(!name.as_bytes().iter().any(u8::is_ascii_control));
        assert!(name.as_bytes().len() <= data.len());
        let again = Name::parse(name.as_bytes(), Path::new("/elsewhere"));
        assert_eq!(again.as_ref(), Ok(&name), "what is clean is left alone");
    }
}

fn seeds() -> Vec<Vec<u8>> {
    [
        "undionly.kpxe",
        "/srv/boot/grub/grub.cfg",
        "\\grub\\x86_64-efi\\..\\grub.cfg-01-52-54-00-00-08-11",
        "//./a//../../etc/passwd",
        "a%00b",
    ]
    .map(|name| name.as_bytes().to_vec())
    .into()
}
