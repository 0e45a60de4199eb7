//! One line per step with its time: rewritten in place on a terminal, appended elsewhere.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

/// Runs a quiet step; its line appears while it runs (terminal) or when it ends (elsewhere).
pub(crate) fn step<T>(name: &str, work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    let terminal = std::io::stderr().is_terminal();
    if terminal {
        eprint!("  … {name}");
        let _ = std::io::stderr().flush();
    }
    let (result, took) = timed(work);
    if terminal {
        eprint!("\r\x1b[K");
    }
    conclude(name, result.is_ok(), took);
    result
}

/// Runs a step that talks for itself; its name stands before what it says, its time after.
pub(crate) fn talking_step<T>(name: &str, work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    eprintln!("  … {name}");
    let (result, took) = timed(work);
    conclude(name, result.is_ok(), took);
    result
}

/// A remark between steps.
pub(crate) fn note(text: &str) {
    eprintln!("    {text}");
}

/// `12.3 s` or `4 min 05 s`.
pub(crate) fn spoken(took: Duration) -> String {
    match took.as_secs() {
        0..60 => format!("{:.1} s", took.as_secs_f64()),
        secs => format!("{} min {:02} s", secs / 60, secs % 60),
    }
}

/// What `work` returns and how long it took.
#[expect(clippy::disallowed_methods, reason = "a chore measures itself; no service code is involved")]
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let result = work();
    (result, start.elapsed())
}

fn conclude(name: &str, good: bool, took: Duration) {
    let verdict = if good { "ok    " } else { "FAILED" };
    eprintln!("  {verdict} {name} ({})", spoken(took));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_spoken_with_units() {
        assert_eq!(spoken(Duration::from_millis(12_340)), "12.3 s");
        assert_eq!(spoken(Duration::from_secs(245)), "4 min 05 s");
    }
}
