//! See `faros_fuzz::tftp_request`.
#![no_main]

use faros_fuzz::tftp_request::TARGET;

libfuzzer_sys::fuzz_target!(init: TARGET.sow(), |data: &[u8]| TARGET.feed(data));
