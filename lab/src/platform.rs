//! Ctrl-C and SIGTERM as a flag that the lab looks at, so that it can take everything down by itself.
#![expect(unsafe_code, reason = "installing a signal handler has no safe form in the standard library")]

use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
static INSTALLED: Once = Once::new();

/// From now on SIGINT, SIGTERM and SIGHUP set the flag instead of ending the process. A second signal
/// ends it at once; what stays behind is then removed by the next lab.
pub(crate) fn watch_for_interrupts() {
    INSTALLED.call_once(|| {
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
            let handler = on_signal as extern "C" fn(libc::c_int);
            // SAFETY: `on_signal` is an `extern "C"` function that only touches an atomic and resets the
            // disposition, both of which are async-signal-safe.
            unsafe { libc::signal(signal, handler as libc::sighandler_t) };
        }
    });
}

/// Whether somebody wants the lab to end.
pub(crate) fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

extern "C" fn on_signal(signal: libc::c_int) {
    INTERRUPTED.store(true, Ordering::Relaxed);
    // SAFETY: `signal` is async-signal-safe (signal-safety(7)); the default action ends the process next time.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
}
