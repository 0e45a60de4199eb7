//! See `faros_fuzz::dhcp_reply_round_trip`.
#![no_main]

use faros_fuzz::dhcp_reply_round_trip::TARGET;

libfuzzer_sys::fuzz_target!(init: TARGET.sow(), |data: &[u8]| TARGET.feed(data));
