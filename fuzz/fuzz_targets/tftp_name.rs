//! See `faros_fuzz::tftp_name`.
#![no_main]

use faros_fuzz::tftp_name::TARGET;

libfuzzer_sys::fuzz_target!(init: TARGET.sow(), |data: &[u8]| TARGET.feed(data));
