//! See `faros_fuzz::site_file`.
#![no_main]

use faros_fuzz::site_file::TARGET;

libfuzzer_sys::fuzz_target!(init: TARGET.sow(), |data: &[u8]| TARGET.feed(data));
