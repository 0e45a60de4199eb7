//! See `faros_fuzz::dns_upstream_reply`.
#![no_main]

use faros_fuzz::dns_upstream_reply::TARGET;

libfuzzer_sys::fuzz_target!(init: TARGET.sow(), |data: &[u8]| TARGET.feed(data));
