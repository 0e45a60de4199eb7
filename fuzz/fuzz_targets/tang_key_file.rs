//! See `faros_fuzz::tang_key_file`.
#![no_main]

use faros_fuzz::tang_key_file::TARGET;

libfuzzer_sys::fuzz_target!(init: TARGET.sow(), |data: &[u8]| TARGET.feed(data));
