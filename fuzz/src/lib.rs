//! Fuzz targets: every parser that reads what others wrote, and every machine that is told by others what
//! happened.
//!
//! | Part | Role |
//! |---|---|
//! | `src/<target>.rs` | what is fed, what must hold, inputs to begin with |
//! | `fuzz_targets/<target>.rs` | the same as a libFuzzer program |
//! | `regressions/<target>/` | inputs that once broke a claim |
//! | `tests/replay.rs` | seeds and regressions once more, without libFuzzer |
//!
//! A claim is an `assert!` with a plain reason; memory is measured as well ([`Target::memory`]). How to run:
//! `docs/fuzzing.md`.

pub mod admin_query;
pub mod boot_script;
pub mod dhcp_lease_record;
pub mod dhcp_machine;
pub mod dhcp_options;
pub mod dhcp_packet;
pub mod dhcp_reply_round_trip;
pub mod dhcp_request;
pub mod dns_cache;
pub mod dns_query;
pub mod dns_update;
pub mod dns_upstream_reply;
pub mod dns_zone;
pub mod http_conditional;
pub mod http_head;
pub mod http_identity;
pub mod http_range;
pub mod http_target;
pub mod ignition_config;
pub mod journal_log;
pub mod journey;
pub mod lan_neighbours;
pub mod lb_haproxy_cfg;
pub mod lb_proxy;
pub mod mac;
pub mod site_file;
pub mod tang_key_file;
pub mod tang_request;
pub mod tftp_name;
pub mod tftp_netascii;
pub mod tftp_packet;
pub mod tftp_request;
pub mod tftp_transfer;

mod captures;
mod dhcp_site;
mod input;
mod platform;
mod site;
mod target;

pub use target::Target;

/// Every target.
pub const TARGETS: &[Target] = &[
    mac::TARGET,
    site_file::TARGET,
    journal_log::TARGET,
    admin_query::TARGET,
    dhcp_options::TARGET,
    dhcp_request::TARGET,
    dhcp_packet::TARGET,
    dhcp_machine::TARGET,
    dhcp_reply_round_trip::TARGET,
    dhcp_lease_record::TARGET,
    lan_neighbours::TARGET,
    tftp_packet::TARGET,
    tftp_request::TARGET,
    tftp_name::TARGET,
    tftp_netascii::TARGET,
    tftp_transfer::TARGET,
    http_head::TARGET,
    http_target::TARGET,
    http_range::TARGET,
    http_conditional::TARGET,
    http_identity::TARGET,
    boot_script::TARGET,
    journey::TARGET,
    ignition_config::TARGET,
    dns_cache::TARGET,
    dns_query::TARGET,
    dns_update::TARGET,
    dns_zone::TARGET,
    dns_upstream_reply::TARGET,
    tang_request::TARGET,
    tang_key_file::TARGET,
    lb_proxy::TARGET,
    lb_haproxy_cfg::TARGET,
];
