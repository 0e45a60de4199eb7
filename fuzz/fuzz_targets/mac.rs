//! x
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| { let _ = std::hint::black_box(std::str::from_utf8(data).ok().and_then(|t| t.parse::<faros_common::site::Mac>().ok())); let _ = faros_dhcpd::protocol::options::Options::frame(data,&[],&[]); let _ = faros_tftpd::protocol::request::parse(data); let _= faros_ignition_http::protocol::head::Scanner::default().on_bytes(data); });
