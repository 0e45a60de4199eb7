//! A line per step on standard error, and the one clock of the benchmarks.

use std::time::{Duration, Instant};

/// Says what is being done, or what came out of it.
pub fn line(text: &str) {
    eprintln!("  {text}");
}

/// The time; a benchmark is the one place where reading it is the purpose.
#[expect(clippy::disallowed_methods, reason = "wall time is what is measured; no service code is involved")]
pub fn now() -> Instant {
    Instant::now()
}

/// What `work` returns and how long it took.
pub fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = now();
    let result = work();
    (result, start.elapsed())
}
