//! See `faros_fuzz::mac`.
#![no_main]

use faros_fuzz::mac::TARGET;

libfuzzer_sys::fuzz_target!(init: TARGET.sow(), |data: &[u8]| TARGET.feed(data));
