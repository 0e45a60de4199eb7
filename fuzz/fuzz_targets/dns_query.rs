//! See `faros_fuzz::dns_query`.
#![no_main]

use faros_fuzz::dns_query::TARGET;

libfuzzer_sys::fuzz_target!(init: TARGET.sow(), |data: &[u8]| TARGET.feed(data));
