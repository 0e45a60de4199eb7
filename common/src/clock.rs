//! The only place where a service reads a clock, so that protocol code stays told what time it is.

use std::time::{Instant, SystemTime};

/// Monotonic time: never steps, says nothing about the date.
#[expect(clippy::disallowed_methods, reason = "this is the one reader")]
pub fn now() -> Instant {
    Instant::now()
}

/// The date, as far as the host knows it: may step, may be wrong by decades before the first time fix.
#[expect(clippy::disallowed_methods, reason = "this is the one reader")]
pub fn wall() -> SystemTime {
    SystemTime::now()
}

/// The kernel's identity of this boot; tells a restarted daemon whether monotonic times of its
/// predecessor still mean something. `None` where `/proc` is not mounted.
pub fn boot_id() -> Option<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(text.trim().to_owned())
}
