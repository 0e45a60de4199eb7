//! See `faros_fuzz::dhcp_reply_round_trip`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| faros_fuzz::dhcp_reply_round_trip::TARGET.feed(data));
