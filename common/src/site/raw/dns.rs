//! DNS.

use std::net::IpAddr;
use std::time::Duration;

use crate::site::read::{List, OneOrMany, table};
use crate::site::value::{
    AbsolutePath, Bytes, Domain, KeyName, Listen, Prefix, RecordKind, RecordName, Text,
};
use crate::site::{DnsKeyAlgorithm, DnsUpstream, SecretSource};

table! {
    /// DNS.
    RawDns {
        /// Whether it runs here.
        "enable" enable: optional bool = "true";
        /// Where it listens.
        "listen" listen: optional OneOrMany<Listen> = "port 53 of the LAN addresses";
        /// With `enable = false`: who does it instead.
        "external" external: optional IpAddr;
        /// Where questions about the rest of the world go: over UDP and TCP, or with `tls://ADDRESS#NAME` over TLS.
        "forward" forward: optional List<DnsUpstream> = "none: only the site's own names are known";
        /// Names kept answerable while the WAN is down.
        "pin" pin: optional List<Domain> = "none";
        /// Who may transfer zones (AXFR); the bastion itself always may.
        "transfer" transfer: optional List<Prefix> = "nobody else";
        /// Records beside the derived ones.
        "record" record: optional List<RawRecord>;
        /// Zones with servers of their own.
        "conditional" conditional: optional List<RawConditional>;
        /// Whether every query is kept, with who asked, in a log in memory that holds the latest ones.
        "query-log" query_log: optional bool = "false";
        /// Whether answers of the outside world are validated (DNSSEC).
        "validate" validate: optional bool = "false";
        /// Zones that are not validated, because their owners sign them wrongly or they are private (RFC 7646).
        "negative-trust-anchors" negative_trust_anchors: optional List<Domain> = "none";
        /// Zones of others whose answers may hold private addresses; from anywhere else such addresses are dropped.
        "private" private: optional List<Domain> = "none";
        /// How large the cache may grow, from 1M to 64G.
        "cache" cache: optional Bytes = "64M";
        /// How long an expired answer still serves while nobody gives a better one (RFC 8767), up to a year; `0s`: not
        /// at all. Names in `pin` have no limit.
        "stale" stale: optional Duration = "3d";
        /// Whether `etcd-N` and `_etcd-server-ssl._tcp` records are made for the control plane, as OpenShift before 4.4
        /// asked for.
        "etcd" etcd: optional bool = "false";
        /// Where DNS over TLS listens; `[]` switches it off.
        "tls-listen" tls_listen: optional OneOrMany<Listen> = "port 853 of the addresses in `listen`";
        /// Where DNS over HTTPS listens; `[]` switches it off.
        "https-listen" https_listen: optional OneOrMany<Listen> = "port 443 of the addresses in `listen`, or 8443 where something else has 443, such as the cluster's ingress";
        /// Where DNS over QUIC listens; `[]` switches it off.
        "quic-listen" quic_listen: optional OneOrMany<Listen> = "port 853 of the addresses in `listen`";
        /// The certificate of the encrypted listeners, PEM: its own first, then those of intermediate authorities.
        /// `farosctl ca issue dnsd` makes it. Where the file is missing these listeners are off.
        "certificate" certificate: optional AbsolutePath = "/etc/faros/tls/dnsd.crt";
        /// The private key that belongs to the certificate, PEM.
        "certificate-key" certificate_key: optional AbsolutePath = "/etc/faros/tls/dnsd.key";
        /// Keys that sign updates and transfers (TSIG).
        "key" key: optional List<RawKey>;
    }
}

table! {
    /// A record beside the derived ones; several values are several tables.
    RawRecord {
        /// The owner, relative to the cluster zone; a trailing dot makes it absolute, `@` is the zone itself.
        "name" name: required RecordName;
        /// Any common type, or `TYPE123`.
        "type" kind: required RecordKind;
        /// The data as in a master file (`10 mail` for MX).
        "value" data: required Text;
        /// How long others may keep it.
        "ttl" ttl: optional Duration = "the zone's";
    }
}

table! {
    /// A zone with servers of its own.
    RawConditional {
        /// The zone.
        "zone" zone: required Domain;
        /// Its servers.
        "forward" forward: required List<DnsUpstream>;
    }
}

table! {
    /// A key that signs transactions (TSIG, RFC 8945), and what it is good for.
    RawKey {
        /// Its name, as the other side has it too.
        "name" name: required KeyName;
        /// How it signs.
        "algorithm" algorithm: optional DnsKeyAlgorithm = "hmac-sha256";
        /// Where its secret stands, in base64.
        "secret" secret: required SecretSource;
        /// Names that it may change together with everything below them (dynamic UPDATE, RFC 2136): relative to the
        /// cluster zone, or absolute with a trailing dot; `@` is the whole zone.
        "update" update: optional List<RecordName> = "none";
        /// Types of records that it may change.
        "types" types: optional List<RecordKind> = "A, AAAA, CNAME, TXT and SRV";
        /// Whether it may transfer zones (AXFR) from wherever it is used.
        "transfer" transfer: optional bool = "false";
    }
}
