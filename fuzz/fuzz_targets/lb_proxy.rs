//! See `faros_fuzz::lb_proxy`.
#![no_main]

use faros_fuzz::lb_proxy::TARGET;

libfuzzer_sys::fuzz_target!(init: TARGET.sow(), |data: &[u8]| TARGET.feed(data));
