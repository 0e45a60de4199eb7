//! See `faros_fuzz::lb_haproxy_cfg`.
#![no_main]

use faros_fuzz::lb_haproxy_cfg::TARGET;

libfuzzer_sys::fuzz_target!(init: TARGET.sow(), |data: &[u8]| TARGET.feed(data));
