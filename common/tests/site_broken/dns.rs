//! DNS: its cache, its encrypted listeners, its keys.

use crate::Case;
use crate::From::{Contract, Minimal};

/// What a key needs; the mark goes behind what is added.
macro_rules! key {
    ($more:literal) => {
        concat!("[[dns.key]]\nname = \"k\"\nsecret = { file = \"/etc/faros/k\" }\n", $more)
    };
}

pub(crate) fn broken() -> Vec<Case> {
    vec![
        (Minimal("[dns]\ncache = \"64\" #<\n"), "dns.cache", "not a valid size"),
        (Minimal("[dns]\ncache = \"64K\" #<\n"), "dns.cache", "out of bounds"),
        (Minimal("[dns]\ncache = \"65G\" #<\n"), "dns.cache", "out of bounds"),
        (Minimal("[dns]\ncache = 64 #<\n"), "dns.cache", "the number 64"),
        (Minimal("[dns]\nstale = \"3\" #<\n"), "dns.stale", "not a valid duration"),
        (Minimal("[dns]\nstale = \"2y\" #<\n"), "dns.stale", "out of bounds"),
        (Minimal("[dns]\nvalidate = \"yes\" #<\n"), "dns.validate", "where true or false is expected"),
        (Minimal("[dns]\nvalidat = true #<\n"), "dns.validat", "unknown key"),
        (Minimal("[dns]\nprivate = [\"*.corp.example\"] #<\n"), "dns.private[0]", "wildcard"),
        (Minimal("[dns]\ntls-listen = \":853\" #<\n"), "dns.tls-listen", "not a valid address"),
        (Minimal("[dns]\ncertificate = \"dnsd.crt\" #<\n"), "dns.certificate", "relative path"),
        // Ports that others have.
        (
            Minimal("[dns]\ntls-listen = \"192.168.8.1:8080\" #<\n"),
            "dns.tls-listen",
            "of dns over TLS is taken by http",
        ),
        (Minimal("[dns]\ntls-listen = \"192.168.8.1:53\" #<\n"), "dns.tls-listen", "taken by dns already"),
        (
            Minimal("[dns]\nquic-listen = \"0.0.0.0:123\" #<\n"),
            "dns.quic-listen",
            "of dns over QUIC is taken by ntp",
        ),
        (
            Minimal("[dns]\ntls-listen = \"192.168.8.1:443\"\nhttps-listen = \"192.168.8.1\" #<\n"),
            "dns.https-listen",
            "taken by dns over TLS",
        ),
        (
            Contract("# listen = [\"192.168.8.1:53\"]", "https-listen = \"192.168.8.2\" #<\n"),
            "dns.https-listen",
            "of dns over HTTPS is taken by front end ingress-https",
        ),
        // Keys.
        (
            Minimal("[dns]\nkey = \"/etc/faros/tls/dnsd.key\" #<\n"),
            "dns.key",
            "a list of tables, [[dns.key]]",
        ),
        (Minimal("[[dns.key]] #<\nname = \"k\"\ntransfer = true\n"), "dns.key[0].secret", "needs the key"),
        (
            Minimal("[[dns.key]]\nname = \"k\"\ntransfer = true\nsecret = \"aGVsbG8=\" #<\n"),
            "dns.key[0].secret",
            "a secret stands in the site file",
        ),
        (
            Minimal(key!("update = [\"apps\"]\nalgorithm = \"hmac-sha265\" #<\n")),
            "dns.key[0].algorithm",
            "none of",
        ),
        (Minimal(key!("update = [\"*.apps\"] #<\n")), "dns.key[0].update[0]", "wildcard"),
        (
            Minimal(key!("update = [\"example.org.\"] #<\n")),
            "dns.key[0].update[0]",
            "in no zone of this site",
        ),
        (
            Minimal(key!("update = [\"example.com.\"] #<\n")),
            "dns.key[0].update[0]",
            "in no zone of this site",
        ),
        (
            Minimal(key!("update = [\"9.168.192.in-addr.arpa.\"] #<\n")),
            "dns.key[0].update[0]",
            "in no zone of this site",
        ),
        (
            Minimal(key!("update = [\"@\"]\ntypes = [\"SOA\"] #<\n")),
            "dns.key[0].types[0]",
            "cannot be configured",
        ),
        (Minimal(key!("update = [\"@\"]\ntypes = [] #<\n")), "dns.key[0].types", "no type"),
        (
            Minimal(key!(
                "transfer = true\n[[dns.key]]\nname = \"K.\" #<\nsecret = { env = \"K\" }\ntransfer = true\n"
            )),
            "dns.key[1].name",
            "there is a key \"k\" already",
        ),
        (
            Minimal("[[dns.key]]\nname = \"*.k\" #<\nsecret = { env = \"K\" }\ntransfer = true\n"),
            "dns.key[0].name",
            "wildcard",
        ),
    ]
}

pub(crate) fn doubtful() -> Vec<Case> {
    vec![
        (
            Minimal("[dns]\nnegative-trust-anchors = [\"corp.example.\"] #<\n"),
            "dns.negative-trust-anchors",
            "while nothing is validated",
        ),
        (Minimal("[dns]\nprivate = [\"lab.edge.example.com\"] #<\n"), "dns.private[0]", "this site's own"),
        (Minimal("[dns]\ncertificate = \"/x.crt\" #<\n"), "dns.certificate", "certificate-key is not set"),
        (
            Minimal("[dns]\ncertificate-key = \"/x.key\" #<\n"),
            "dns.certificate-key",
            "certificate is not set",
        ),
        (Minimal("[dns]\nlisten = \"192.168.8.77\" #<\n"), "dns.listen", "no address of this bastion"),
        (
            Minimal("[dns]\nquic-listen = \"192.168.8.77\" #<\n"),
            "dns.quic-listen",
            "no address of this bastion",
        ),
        (
            Minimal("[[dns.key]] #<\nname = \"k\"\nsecret = { env = \"K\" }\n"),
            "dns.key[0]",
            "neither update nor transfer",
        ),
        (
            Minimal(key!("transfer = true\nalgorithm = \"hmac-sha1\" #<\n")),
            "dns.key[0].algorithm",
            "old clients",
        ),
    ]
}
