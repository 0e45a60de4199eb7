//! See `faros_fuzz::ignition_config`.
#![no_main]

use faros_fuzz::ignition_config::TARGET;

libfuzzer_sys::fuzz_target!(init: TARGET.sow(), |data: &[u8]| TARGET.feed(data));
