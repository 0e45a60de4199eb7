//! What a reply says: the options of the site, of the client, and of what it boots.

use std::net::Ipv4Addr;
use std::time::Duration;

use dhcproto::v4::MessageType;

use super::boot::{Boot, Stage};
use super::identity::Who;
use super::reply::Reply;
use super::request::{Fqdn, Request};
use crate::code;
use crate::config::Config;

/// Sub-options of option 175 for iPXE: 176 = 1, "there is no ProxyDHCP, do not wait for one".
const IPXE_NO_PROXY: [u8; 3] = [176, 1, 1];

/// The lease time for a client that asks for `wished` seconds: never more than the site's, never less than
/// [`crate::config::LEASE_MIN`].
pub fn lease_secs(config: &Config, wished: Option<u32>) -> u32 {
    let secs = |duration: Duration| u32::try_from(duration.as_secs()).unwrap_or(u32::MAX);
    let longest = secs(config.lease);
    let shortest = secs(crate::config::LEASE_MIN).min(longest);
    wished.map_or(longest, |wished| wished.clamp(shortest, longest))
}

/// An OFFER or ACK that gives `address` for `secs`, or an ACK to an INFORM where `lease` is `None`.
pub fn grant(
    config: &Config,
    request: &Request<'_>,
    who: &Who<'_>,
    kind: MessageType,
    lease: Option<(Ipv4Addr, u32)>,
    boot: &Boot,
) -> Reply {
    let mut reply = Reply::new(kind);
    // The operator's own options come first: of equal codes the first one counts.
    let own = who.known.into_iter().flat_map(|known| &known.options);
    for (code, value) in own.chain(&config.options) {
        reply.option(*code, value.clone());
    }
    reply.option(code::SERVER_IDENTIFIER, server_identifier(config, request).octets());
    if let Some((address, secs)) = lease {
        reply.yiaddr = address;
        reply.option(code::LEASE_TIME, secs.to_be_bytes());
        reply.option(code::RENEWAL_TIME, (secs / 2).to_be_bytes());
        reply.option(code::REBINDING_TIME, (secs / 8 * 7 + secs % 8 * 7 / 8).to_be_bytes());
    }
    if kind == MessageType::Ack {
        reply.ciaddr = request.message.ciaddr;
    }
    echo_client_identifier(&mut reply, request);
    site_options(&mut reply, config);
    name_options(&mut reply, config, request, who);
    boot_options(&mut reply, request, boot);
    reply
}

/// A NAK with its reason (RFC 2131 table 3).
pub fn refusal(config: &Config, request: &Request<'_>, why: &str) -> Reply {
    let mut reply = Reply::new(MessageType::Nak);
    reply.option(code::SERVER_IDENTIFIER, server_identifier(config, request).octets());
    echo_client_identifier(&mut reply, request);
    reply.option(code::MESSAGE, why.as_bytes().iter().copied().take(200).collect::<Vec<u8>>());
    reply
}

/// Our identifier towards this client: the LAN address, unless its relay stands in for us (RFC 5107).
pub fn server_identifier(config: &Config, request: &Request<'_>) -> Ipv4Addr {
    let relayed = !request.message.giaddr.is_unspecified();
    let stand_in = relayed.then(|| request.relay_address(super::request::RELAY_SERVER_OVERRIDE)).flatten();
    stand_in.unwrap_or(config.server)
}

/// RFC 6842: the client identifier goes back as it came.
fn echo_client_identifier(reply: &mut Reply, request: &Request<'_>) {
    if let Some(id) = request.message.options.get(code::CLIENT_IDENTIFIER) {
        reply.option(code::CLIENT_IDENTIFIER, id.into_owned());
    }
}

/// What every client is told, asked for or not: nodes boot with clients that forget to ask.
fn site_options(reply: &mut Reply, config: &Config) {
    reply.option(code::SUBNET_MASK, config.prefix.netmask().octets());
    reply.option(code::BROADCAST_ADDRESS, config.prefix.broadcast().octets());
    let lists = [
        (code::ROUTER, config.router.as_slice()),
        (code::DOMAIN_NAME_SERVER, &config.resolvers),
        (code::NTP_SERVERS, &config.clocks),
    ];
    for (code, addresses) in lists.into_iter().filter(|(_, addresses)| !addresses.is_empty()) {
        reply.option(code, addresses.iter().flat_map(Ipv4Addr::octets).collect::<Vec<u8>>());
    }
    reply.option(code::DOMAIN_NAME, config.zone.as_bytes());
    reply.option(code::DOMAIN_SEARCH, wire_name(&config.zone));
}

/// Option 12, and 81 for those who sent it: configured clients are told their full name, so that no
/// node ever calls itself localhost; others keep the name they gave.
fn name_options(reply: &mut Reply, config: &Config, request: &Request<'_>, who: &Who<'_>) {
    let configured = who.name().map(|name| format!("{name}.{}", config.zone));
    if let Some(full) = &configured {
        reply.option(code::HOST_NAME, full.as_bytes());
    }
    let Some(fqdn) = request.fqdn() else { return };
    let full = configured.or_else(|| request.host_name().map(|name| format!("{name}.{}", config.zone)));
    let wire = fqdn.flags & Fqdn::WIRE;
    // The site's DNS always knows its leases, whether a client wants to do it itself or not; a client that
    // wants nothing done (N) is told that nothing is done on its behalf.
    let update = match fqdn.flags {
        flags if flags & Fqdn::NONE != 0 => Fqdn::NONE,
        flags if flags & Fqdn::SERVER != 0 => Fqdn::SERVER,
        _ => Fqdn::SERVER | Fqdn::OVERRIDE,
    };
    let mut value = vec![update | wire, 255, 255];
    match full {
        Some(full) if wire != 0 => value.extend(wire_name(&full)),
        Some(full) => value.extend(full.bytes()),
        None => {}
    }
    reply.option(code::CLIENT_FQDN, value);
}

/// The boot file in every place where a client may look for it.
///
/// Option 60 goes back to HTTP clients only: `PXEClient` in a reply promises a boot server on port 4011
/// (PXE 2.1 section 2.2), which nobody serves here, and option 43 without it is ignored by firmware.
fn boot_options(reply: &mut Reply, request: &Request<'_>, boot: &Boot) {
    if boot.stage == Stage::HttpBoot && boot.file.is_some() {
        reply.option(code::VENDOR_CLASS, *b"HTTPClient");
    }
    if boot.stage == Stage::Ipxe && request.is_ipxe() {
        reply.option(code::ETHERBOOT, IPXE_NO_PROXY);
    }
    // An operator's own boot file or server goes into the fixed fields too.
    let text = |reply: &Reply, code| {
        let value = reply.options.iter().find(|option| option.0 == code).map(|option| option.1.clone())?;
        String::from_utf8(value).ok().map(|text| text.trim_end_matches('\0').to_owned())
    };
    let own_file = text(reply, code::BOOTFILE_NAME);
    let own_server = text(reply, code::TFTP_SERVER_NAME);
    if let Some(server) = own_server.as_ref().and_then(|text| text.parse().ok()).or(boot.server) {
        reply.siaddr = server;
        reply.option(code::TFTP_SERVER_NAME, server.to_string());
    }
    if let Some(file) = own_file.or_else(|| boot.file.clone()) {
        reply.option(code::BOOTFILE_NAME, file.as_bytes());
        reply.file = Some(file);
    }
}

/// A domain name in wire form without compression (RFC 1035 section 3.1); labels that are empty or too long
/// end it.
pub fn wire_name(name: &str) -> Vec<u8> {
    let mut wire = Vec::with_capacity(name.len() + 2);
    for label in name.split('.').take_while(|label| (1..=63).contains(&label.len())) {
        wire.push(label.len() as u8);
        wire.extend_from_slice(label.as_bytes());
    }
    wire.push(0);
    wire
}
