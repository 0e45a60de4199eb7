//! See `faros_fuzz::dns_zone`.
#![no_main]

use faros_fuzz::dns_zone::TARGET;

libfuzzer_sys::fuzz_target!(init: TARGET.sow(), |data: &[u8]| TARGET.feed(data));
