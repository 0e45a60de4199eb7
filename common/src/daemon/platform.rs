//! Signals that come before anybody listens.
#![expect(unsafe_code, reason = "the mask of signals has no safe wrapper")]

use std::mem::MaybeUninit;

/// Holds SIGHUP back in this thread and those it starts: a reload that is asked for during a start waits for its end
/// instead of ending the process, which is what the signal does by default.
pub(super) fn hold_hangup() {
    mask_hangup(libc::SIG_BLOCK);
}

/// Lets SIGHUP in again, also one that was held back.
pub(super) fn release_hangup() {
    mask_hangup(libc::SIG_UNBLOCK);
}

fn mask_hangup(how: libc::c_int) {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: `sigemptyset` writes the whole of `set`, which the later calls then read; the old mask is not asked for
    // (null is allowed). None of them keeps a pointer. They fail for invalid numbers only.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), libc::SIGHUP);
        libc::pthread_sigmask(how, set.as_ptr(), std::ptr::null_mut());
    }
}
