//! What keeps secrets in memory: no swap, no core dumps, no debugger of the same user. And what keeps memory small.
#![expect(unsafe_code, reason = "the allocator's setting has no safe wrapper")]

use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};
use tracing::warn;

/// Locks all memory, present and future, into RAM as it is touched. To be called while privileged.
///
/// Only where the limit is or can be raised to infinity: under a finite one, a later allocation would fail instead of
/// being swapped.
pub fn lock_memory() {
    let unlimited = Rlimit { current: None, maximum: None };
    let limit = getrlimit(Resource::Memlock);
    if limit.current.is_some() && setrlimit(Resource::Memlock, unlimited).is_err() {
        let bytes = limit.current.unwrap_or_default();
        warn!(
            event = "memory_not_locked",
            limit_bytes = bytes,
            "keys in memory may be swapped out: start as root, or with LimitMEMLOCK=infinity"
        );
        return;
    }
    let flags = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
    if let Err(error) = mlockall(flags) {
        warn!(event = "memory_not_locked", %error, "keys in memory may be swapped out");
    }
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
