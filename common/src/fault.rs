//! Defects on demand, for tests that prove a panic costs one request and no more.
//!
//! Only built with the cargo feature `fault`, which no shipped build has. Then
//! `FAROS_FAULT=panic:tftpd.request:3` makes every third pass of that point panic.

/// A place where a test may want a defect. Does nothing without the feature `fault`.
#[inline]
pub fn point(name: &str) {
    #[cfg(feature = "fault")]
    enabled::point(name);
    #[cfg(not(feature = "fault"))]
    let _ = name;
}

#[cfg(feature = "fault")]
mod enabled {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    struct Fault {
        point: String,
        every: u64,
        passes: AtomicU64,
    }

    static FAULT: LazyLock<Option<Fault>> = LazyLock::new(|| {
        let text = std::env::var("FAROS_FAULT").ok()?;
        let mut parts = text.strip_prefix("panic:")?.splitn(2, ':');
        let point = parts.next()?.to_owned();
        let every = parts.next().and_then(|n| n.parse().ok()).filter(|&n| n > 0).unwrap_or(1);
        Some(Fault { point, every, passes: AtomicU64::new(0) })
    });

    pub(super) fn point(name: &str) {
        let Some(fault) = FAULT.as_ref().filter(|fault| fault.point == name) else { return };
        let pass = fault.passes.fetch_add(1, Ordering::Relaxed) + 1;
        assert!(!pass.is_multiple_of(fault.every), "a defect asked for by FAROS_FAULT at {name}");
    }
}
