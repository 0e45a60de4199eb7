//! Names as clients write them, made into paths below a root.
//!
//! Firmware varies: leading slashes, backslashes, doubled separators, the server's own root in front. What
//! comes out is a relative path without `.`, `..` or empty components; names that lead out of the root, or
//! that no file should have, are refused before any file is looked at.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::packet::ErrorCode;

/// A relative path below a root: at least one component, none of them `.`, `..` or empty.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Name(Vec<u8>);

/// Why a name is refused whatever files there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameError {
    /// It leads out of the root.
    Outside,
    /// It has control characters (also as `%00`), which no client means.
    Control,
    /// Nothing is left of it: the root itself.
    Root,
}

impl NameError {
    /// The name by which it is counted.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Outside => "name_outside_root",
            Self::Control => "name_control_characters",
            Self::Root => "name_is_root",
        }
    }

    /// What the client is told.
    pub fn answer(self) -> (ErrorCode, &'static str) {
        match self {
            Self::Outside => (ErrorCode::AccessViolation, "the file name leads out of the served tree"),
            Self::Control => (ErrorCode::IllegalOperation, "the file name has control characters"),
            Self::Root => (ErrorCode::AccessViolation, "the file name is a directory"),
        }
    }
}

impl Name {
    /// Reads a name as sent. `root` in front of it, written out absolutely, is taken off.
    ///
    /// # Errors
    /// Names that are refused.
    pub fn parse(sent: &[u8], root: &Path) -> Result<Self, NameError> {
        if sent.iter().any(u8::is_ascii_control) || sent.windows(3).any(|part| part == b"%00") {
            return Err(NameError::Control);
        }
        let slashed: Vec<u8> = sent.iter().map(|&byte| if byte == b'\\' { b'/' } else { byte }).collect();
        let below_root = strip_root(&slashed, root.as_os_str().as_bytes()).unwrap_or(&slashed);
        let mut components: Vec<&[u8]> = Vec::new();
        for component in below_root.split(|&byte| byte == b'/') {
            match component {
                b"" | b"." => {}
                b".." => {
                    components.pop().ok_or(NameError::Outside)?;
                }
                other => components.push(other),
            }
        }
        if components.is_empty() {
            return Err(NameError::Root);
        }
        Ok(Self(components.join(&b'/')))
    }

    /// The path, relative to a root.
    pub fn path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.0))
    }

    /// The octets of the path.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The last component, where it is UTF-8.
    pub fn file_name(&self) -> Option<&str> {
        std::str::from_utf8(self.0.rsplit(|&byte| byte == b'/').next()?).ok()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.0))
    }
}

/// What follows `root` in a name that begins with it.
fn strip_root<'a>(name: &'a [u8], root: &[u8]) -> Option<&'a [u8]> {
    let root = root.strip_suffix(b"/").unwrap_or(root);
    if !root.starts_with(b"/") {
        return None;
    }
    name.strip_prefix(root).filter(|rest| rest.starts_with(b"/"))
}

#[cfg(test)]
mod tests {
    use std::path::Component;

    use proptest::prelude::*;

    use super::*;

    fn parse(sent: &str) -> Result<String, NameError> {
        Name::parse(sent.as_bytes(), Path::new("/srv/boot/")).map(|name| name.to_string())
    }

    #[test]
    fn spellings_of_firmware_are_one_name() {
        for sent in [
            "grub/grub.cfg",
            "/grub/grub.cfg",
            "//grub//grub.cfg",
            "\\grub\\grub.cfg",
            "./grub/./grub.cfg",
            "grub/x86/../grub.cfg",
            "/srv/boot/grub/grub.cfg",
        ] {
            assert_eq!(parse(sent).as_deref(), Ok("grub/grub.cfg"), "{sent}");
        }
        assert_eq!(parse("/srv/bootstrap").as_deref(), Ok("srv/bootstrap"));
    }

    #[test]
    fn t10_to_t14_no_name_leads_out_of_the_root() {
        for sent in ["../x", "a/../../x", "..\\x", "\\..\\..\\x", "/..", "..", "/srv/boot/../x"] {
            assert_eq!(parse(sent), Err(NameError::Outside), "{sent}");
        }
        // Absolute names are names below the root, and percent signs mean themselves.
        assert_eq!(parse("/etc/passwd").as_deref(), Ok("etc/passwd"));
        assert_eq!(parse("%2e%2e/x").as_deref(), Ok("%2e%2e/x"));
        assert_eq!(NameError::Outside.answer().0, ErrorCode::AccessViolation);
    }

    #[test]
    fn t09_control_characters_are_refused() {
        for sent in ["a\r", "a\nb", "\ta", "a%00b", "\x7f"] {
            assert_eq!(parse(sent), Err(NameError::Control), "{sent:?}");
        }
    }

    #[test]
    fn the_root_is_no_file() {
        for sent in ["/", ".", "\\", "//", "/srv/boot/", "a/.."] {
            assert_eq!(parse(sent), Err(NameError::Root), "{sent}");
        }
    }

    proptest! {
        #[test]
        fn what_comes_out_has_only_normal_components(
            sent in proptest::collection::vec(
                prop_oneof![Just(b'.'), Just(b'/'), Just(b'\\'), any::<u8>()], 1..40),
        ) {
            if let Ok(name) = Name::parse(&sent, Path::new("/srv/boot")) {
                prop_assert!(name.path().components().all(|part| matches!(part, Component::Normal(_))));
                prop_assert!(name.path().components().next().is_some());
            }
        }
    }
}
