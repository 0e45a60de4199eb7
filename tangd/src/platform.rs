//! What keeps secrets in memory: no swap, no core dumps, no debugger of the same user. And what keeps memory small.
#![expect(unsafe_code, reason = "the allocator's setting has no safe wrapper")]

use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};
use tracing::warn;

/// No page of the systems that this runs on is larger; multiples of it do for smaller ones.
const PAGE: u64 = 64 * 1024;

/// Locks all memory, present and future, into RAM as it is touched. To be called while privileged.
///
/// Only where the limit is or can be raised to infinity: under a finite one, a later allocation would fail instead of
/// being swapped. Whether it is done; otherwise the log says why not.
pub fn lock_memory() -> bool {
    let unlimited = Rlimit { current: None, maximum: None };
    let limit = getrlimit(Resource::Memlock);
    if limit.current.is_some() && setrlimit(Resource::Memlock, unlimited).is_err() {
        let bytes = limit.current.unwrap_or_default();
        warn!(
            event = "memory_not_locked",
            limit_bytes = bytes,
            "keys in memory may be swapped out: start as root, with LimitMEMLOCK=infinity (systemd) or with \
             --ulimit memlock=-1 (containers)"
        );
        return false;
    }
    let flags = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
    let locked = mlockall(flags);
    if let Err(error) = locked {
        warn!(event = "memory_not_locked", %error, "keys in memory may be swapped out");
    }
    locked.is_ok()
}

/// Has all threads share one heap. With one for each, what a flood of connections has taken would stay spread over all
/// of them, and be given back late or never.
pub fn share_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes two numbers and changes how later allocations are made; called while there is a single thread.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Gives back to the system what the heap has free, wherever in it: the allocator by itself gives back its end only.
pub fn shrink_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes a number; the allocator's own locks make it safe beside other threads.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Lets go of program code that has run: what a start needs, which is most of it, is needed once. Code comes back page
/// by page when it runs again, mostly from the system's cache. It holds no secrets, so it need not be locked either.
pub fn shrink_code() {
    // SAFETY: the callback keeps to the contract of dl_iterate_phdr(3), and needs no data of ours.
    unsafe {
        libc::dl_iterate_phdr(Some(let_go_of_code), std::ptr::null_mut());
    }
}

/// One object of the process: the program, or a library.
///
/// # Safety
/// To be called by dl_iterate_phdr(3) alone.
unsafe extern "C" fn let_go_of_code(
    object: *mut libc::dl_phdr_info,
    _: libc::size_t,
    _: *mut libc::c_void,
) -> libc::c_int {
    // SAFETY: the caller hands over a description that is valid during this call, with an array of `dlpi_phnum` headers.
    let (base, headers) = unsafe {
        let object = &*object;
        let headers = match object.dlpi_phdr.is_null() {
            true => &[],
            false => std::slice::from_raw_parts(object.dlpi_phdr, usize::from(object.dlpi_phnum)),
        };
        (object.dlpi_addr, headers)
    };
    for header in headers {
        let is_code = header.p_flags & libc::PF_X != 0 && header.p_flags & libc::PF_W == 0;
        if header.p_type != libc::PT_LOAD || !is_code || header.p_filesz != header.p_memsz {
            continue;
        }
        let first = (base + header.p_vaddr).next_multiple_of(PAGE);
        let end = (base + header.p_vaddr + header.p_memsz) / PAGE * PAGE;
        let Ok(length) = usize::try_from(end.saturating_sub(first)) else { continue };
        let code = first as *mut libc::c_void;
        // SAFETY: whole pages of a mapping of code that nobody writes to: they differ in nothing from the file, from
        // which the kernel fills them again. Where it refuses either call, nothing has changed.
        unsafe {
            libc::munlock(code, length);
            libc::madvise(code, length, libc::MADV_DONTNEED);
        }
    }
    0
}

/// Forbids core dumps and reading this process's memory to all but root. To be called after user and group have
/// changed: changing them allows it again.
pub fn forbid_dumps() {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    if let Err(error) = setrlimit(Resource::Core, none) {
        warn!(event = "core_dumps_possible", %error, "core dumps cannot be switched off");
    }
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        warn!(event = "core_dumps_possible", %error, "the process cannot be made undumpable");
    }
}
