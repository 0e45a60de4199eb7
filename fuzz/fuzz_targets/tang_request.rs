//! See `faros_fuzz::tang_request`.
#![no_main]

use faros_fuzz::tang_request::TARGET;

libfuzzer_sys::fuzz_target!(init: TARGET.sow(), |data: &[u8]| TARGET.feed(data));
