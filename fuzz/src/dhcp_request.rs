//! Packets as they come in, and everything that can be asked about them.

use faros_common::site::Mac;
use faros_dhcpd::config::Config;
use faros_dhcpd::protocol::boot::{Chain, decide};
use faros_dhcpd::protocol::identity::Who;
use faros_dhcpd::protocol::message::{HEADER_BYTES, Hardware, suspected_hardware};
use faros_dhcpd::protocol::request::{MESSAGE_BYTES_MAX, MESSAGE_BYTES_MIN, Request, sanitised};

use crate::Target;
use crate::captures;
use crate::dhcp_site::config;

/// Feeds [`Request`], and what is decided from it without any state.
pub const TARGET: Target = Target { name: "dhcp_request", run, seeds, memory: (64 * 1024, 64) };

fn run(data: &[u8]) {
    let config = config();
    let _ = sanitised(data);
    let _ = suspected_hardware(data);
    let Ok(request) = Request::read(data) else { return };
    assert!(data.len() >= HEADER_BYTES);
    let hardware = request.message.hardware;
    assert_eq!(suspected_hardware(data), Some(hardware));
    if let Some(Mac(bytes)) = hardware.mac() {
        assert!(bytes[0] & 1 == 0 && bytes != [0; 6], "a card that nobody has");
        assert_eq!(Hardware::ethernet(Mac(bytes)).mac(), hardware.mac());
    }
    let payload = request.payload_max() + 28;
    assert!((usize::from(MESSAGE_BYTES_MIN)..=usize::from(MESSAGE_BYTES_MAX)).contains(&payload));
    for name in [
        request.host_name(),
        request.fqdn().and_then(|fqdn| fqdn.name).and_then(|name| sanitised(name.as_bytes())),
    ] {
        assert!(name.is_none_or(|name| is_label(&name)), "a name that is none");
    }
    for sub in 0..=255 {
        let _ = request.relay_address(sub);
        if let Some(value) = request.relay_sub_option(sub) {
            assert!(value.len() <= 255);
        }
    }
    assert!(request.client_identifier().is_none_or(|id| (2..=255).contains(&id.len())));
    assert_eq!(
        request.architectures().len(),
        request.message.options.get(93).map_or(0, |value| value.len() / 2)
    );
    let _ = (request.message_type(), request.requested_address(), request.server_identifier());
    let _ = (request.lease_secs(), request.vendor_class(), request.rapid_commit(), request.relay_agent());
    decided(&request, config);
}

fn decided(request: &Request<'_>, config: &Config) {
    let who = Who::of_request(request, config);
    assert!(!who.because.is_empty());
    for chain in [Chain::Sound, Chain::Looping] {
        let boot = decide(request, &config.boot, request.message.hardware, who.client.uuid, chain);
        if let Some(file) = &boot.file {
            // The client's own words stand in no file name and no URL, but for its card and UUID.
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b":/.?=&-_".contains(&byte);
            assert!(file.bytes().all(plain) && file.len() <= 255, "{file:?}");
        }
    }
}

fn is_label(name: &str) -> bool {
    let sound = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    sound && (1..=63).contains(&name.len()) && !name.starts_with('-') && !name.ends_with('-')
}

fn seeds() -> Vec<Vec<u8>> {
    captures::sent_to(67)
}
