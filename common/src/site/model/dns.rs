//! DNS.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use serde::Serialize;

use crate::site::SecretSource;

/// DNS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Dns {
    /// Whether the daemon runs here.
    pub enable: bool,
    /// Who does it instead.
    pub external: Option<IpAddr>,
    /// Where it listens; port 53 of the LAN addresses unless set.
    pub listen: Vec<SocketAddr>,
    /// Where questions about the rest of the world go.
    pub forward: Vec<DnsUpstream>,
    /// Names kept answerable while the WAN is down.
    pub pin: Vec<String>,
    /// Who may transfer zones, besides the bastion itself.
    pub transfer: Vec<IpNet>,
    /// Records beside the derived ones.
    pub records: Vec<DnsRecord>,
    /// Zones with servers of their own.
    pub conditional: Vec<DnsConditional>,
    /// Whether every query is kept in the log that `farosctl` shows.
    pub query_log: bool,
    /// Whether answers of the outside world are validated (DNSSEC).
    pub validate: bool,
    /// Zones that are not validated, absolute (RFC 7646).
    pub negative_trust_anchors: Vec<String>,
    /// Zones of others whose answers may hold private addresses, absolute.
    pub private: Vec<String>,
    /// How large the cache may grow, in bytes.
    pub cache_bytes: u64,
    /// How long an expired answer may still serve while nobody gives a better one (RFC 8767); zero: not at all.
    pub stale: Duration,
    /// Whether `etcd-N` and `_etcd-server-ssl._tcp` records are made for the control plane.
    pub etcd: bool,
    /// Where DNS over TLS listens (RFC 7858); port 853 of the plain addresses unless set.
    pub tls_listen: Vec<SocketAddr>,
    /// Where DNS over HTTPS listens (RFC 8484); port 443 of the plain addresses unless set, or 8443 where 443 is taken.
    pub https_listen: Vec<SocketAddr>,
    /// Where DNS over QUIC listens (RFC 9250); port 853 of the plain addresses unless set.
    pub quic_listen: Vec<SocketAddr>,
    /// The certificate chain of the encrypted listeners (PEM). Where the file is missing they are off.
    pub certificate: PathBuf,
    /// The private key that belongs to it (PEM).
    pub key: PathBuf,
    /// Keys that sign transactions (TSIG, RFC 8945).
    pub keys: Vec<DnsKey>,
}

/// A server that questions are forwarded to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DnsUpstream {
    /// Its address.
    pub address: SocketAddr,
    /// The name in its certificate; set for DNS over TLS, absent for plain UDP and TCP.
    pub tls_name: Option<String>,
}

/// A configured record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DnsRecord {
    /// The absolute owner name with its trailing dot.
    pub name: String,
    /// The type's mnemonic, upper case.
    pub kind: String,
    /// The data in master file form.
    pub value: String,
    /// Time to live, where it differs from the zone's.
    pub ttl: Option<Duration>,
}

/// A zone with servers of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DnsConditional {
    /// The zone, absolute.
    pub zone: String,
    /// Its servers.
    pub forward: Vec<DnsUpstream>,
}

/// A key that signs transactions (TSIG, RFC 8945), and what it is good for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DnsKey {
    /// Its name, absolute: `external-dns.`.
    pub name: String,
    /// How it signs.
    pub algorithm: DnsKeyAlgorithm,
    /// Where its secret stands, in base64.
    pub secret: SecretSource,
    /// Names that it may change together with everything below them (RFC 2136), absolute.
    pub update: Vec<String>,
    /// Types of records that it may change: mnemonics, upper case.
    pub types: Vec<String>,
    /// Whether it may transfer zones (AXFR).
    pub transfer: bool,
}

/// How a transaction is signed (RFC 8945 section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the name of the algorithm says it")]
pub enum DnsKeyAlgorithm {
    HmacSha1,
    HmacSha224,
    HmacSha256,
    HmacSha384,
    HmacSha512,
}
