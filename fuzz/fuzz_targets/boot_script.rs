//! See `faros_fuzz::boot_script`.
#![no_main]

use faros_fuzz::boot_script::TARGET;

libfuzzer_sys::fuzz_target!(init: TARGET.sow(), |data: &[u8]| TARGET.feed(data));
