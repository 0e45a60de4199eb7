//! See `faros_fuzz::http_identity`.
#![no_main]

use faros_fuzz::http_identity::TARGET;

libfuzzer_sys::fuzz_target!(init: TARGET.sow(), |data: &[u8]| TARGET.feed(data));
