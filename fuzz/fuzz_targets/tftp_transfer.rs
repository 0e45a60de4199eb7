//! See `faros_fuzz::tftp_transfer`.
#![no_main]

use faros_fuzz::tftp_transfer::TARGET;

libfuzzer_sys::fuzz_target!(init: TARGET.sow(), |data: &[u8]| TARGET.feed(data));
