//! See `faros_fuzz::tftp_netascii`.
#![no_main]

use faros_fuzz::tftp_netascii::TARGET;

libfuzzer_sys::fuzz_target!(init: TARGET.sow(), |data: &[u8]| TARGET.feed(data));
