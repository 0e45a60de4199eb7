//! See `faros_fuzz::journal_log`.
#![no_main]

use faros_fuzz::journal_log::TARGET;

libfuzzer_sys::fuzz_target!(init: TARGET.sow(), |data: &[u8]| TARGET.feed(data));
