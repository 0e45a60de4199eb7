//! Memory for secrets: never swapped out, never in a core dump, wiped before it goes back to the system.
#![expect(unsafe_code, reason = "mapping, locking and unmapping memory have no safe wrapper")]

use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use zeroize::Zeroize;

/// Bytes in pages of their own.
///
/// Locking needs room under `RLIMIT_MEMLOCK`; where there is none the memory is used unlocked, which
/// [`SecretBytes::is_locked`] tells: a sealed site with encrypted swap or none at all loses nothing by it.
pub struct SecretBytes {
    pages: NonNull<u8>,
    mapped: usize,
    length: usize,
    locked: bool,
}

// SAFETY: the pages belong to this value alone, and nothing about them is tied to a thread.
unsafe impl Send for SecretBytes {}
// SAFETY: shared references only read.
unsafe impl Sync for SecretBytes {}

impl SecretBytes {
    /// So many zeros.
    ///
    /// # Errors
    /// The system has no memory.
    pub fn zeroed(length: usize) -> io::Result<Self> {
        // SAFETY: asks for a constant of the system; no memory is involved.
        let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096);
        let mapped = length.max(1).checked_next_multiple_of(page).ok_or(io::ErrorKind::OutOfMemory)?;
        let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: an anonymous mapping at an address of the kernel's choice touches no memory that exists already.
        let pages = unsafe { libc::mmap(std::ptr::null_mut(), mapped, access, kind, -1, 0) };
        if pages == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let pages = NonNull::new(pages.cast::<u8>()).ok_or(io::ErrorKind::OutOfMemory)?;
        // SAFETY: exactly the mapping made above, still ours.
        let locked = unsafe { libc::mlock(pages.as_ptr().cast(), mapped) } == 0;
        // SAFETY: as above. Neither advice changes what the memory holds for this process.
        unsafe {
            libc::madvise(pages.as_ptr().cast(), mapped, libc::MADV_DONTDUMP);
            libc::madvise(pages.as_ptr().cast(), mapped, libc::MADV_DONTFORK);
        }
        Ok(Self { pages, mapped, length, locked })
    }

    /// A copy of `bytes`; the original is the caller's to wipe.
    ///
    /// # Errors
    /// As [`SecretBytes::zeroed`].
    pub fn copy_of(bytes: &[u8]) -> io::Result<Self> {
        let mut copy = Self::zeroed(bytes.len())?;
        copy.copy_from_slice(bytes);
        Ok(copy)
    }

    /// Whether the kernel keeps it out of swap.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.locked
    }
}

impl Deref for SecretBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `length` bytes of the mapping, initialised with zeros by the kernel, alive as long as `self`.
        unsafe { std::slice::from_raw_parts(self.pages.as_ptr(), self.length) }
    }
}

impl DerefMut for SecretBytes {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as for `deref`; `&mut self` makes it the only reference.
        unsafe { std::slice::from_raw_parts_mut(self.pages.as_ptr(), self.length) }
    }
}

impl Drop for SecretBytes {
    fn drop(&mut self) {
        self.zeroize();
        // SAFETY: the whole mapping and nothing else; no reference into it outlives `self`. Unmapping also unlocks.
        unsafe {
            libc::munmap(self.pages.as_ptr().cast(), self.mapped);
        }
    }
}

impl Zeroize for SecretBytes {
    fn zeroize(&mut self) {
        self.deref_mut().zeroize();
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SecretBytes({} bytes)", self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_bytes_hold_what_was_copied_and_show_none_of_it() {
        let secret = SecretBytes::copy_of(b"scalar").unwrap();
        assert_eq!(&*secret, b"scalar");
        assert_eq!(format!("{secret:?}"), "SecretBytes(6 bytes)");
        assert_eq!(&*SecretBytes::zeroed(5000).unwrap(), &[0; 5000]);
        assert!(SecretBytes::zeroed(0).unwrap().is_empty());
    }

    #[test]
    fn secret_pages_are_locked_and_left_out_of_core_dumps() {
        let secret = SecretBytes::copy_of(b"scalar").unwrap();
        let address = format!("{:x}-", secret.as_ptr() as usize);
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let flags = maps.lines().skip_while(|line| !line.starts_with(&address));
        let flags = flags.skip(1).find(|line| line.starts_with("VmFlags:")).expect("the mapping has flags");
        assert!(flags.contains(" dd"), "{flags}");
        assert_eq!(flags.contains(" lo"), secret.is_locked(), "{flags}");
    }
}
