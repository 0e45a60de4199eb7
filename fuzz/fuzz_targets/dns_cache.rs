//! See `faros_fuzz::dns_cache`.
#![no_main]

use faros_fuzz::dns_cache::TARGET;

libfuzzer_sys::fuzz_target!(init: TARGET.sow(), |data: &[u8]| TARGET.feed(data));
