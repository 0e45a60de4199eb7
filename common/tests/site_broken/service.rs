//! Services and balancing.

use crate::Case;
use crate::From::{Contract, Minimal};

pub(crate) fn broken() -> Vec<Case> {
    vec![
        // Services.
        (Contract("lease  = \"1h\"", "lease = \"10s\" #<\n"), "dhcp.lease", "out of bounds"),
        (Contract("lease  = \"1h\"", "lease = \"3600\" #<\n"), "dhcp.lease", "not a valid duration"),
        (
            Contract("lease  = \"1h\"", "options = [{ code = 51, u32 = 5 }] #<\n"),
            "dhcp.options[0].code",
            "not yours to set",
        ),
        (
            Contract("lease  = \"1h\"", "options = [{ code = 119, text = \"a\", u8 = 5 }] #<\n"),
            "dhcp.options[0]",
            "2 values",
        ),
        (
            Contract("lease  = \"1h\"", "options = [{ code = 300, text = \"a\" }] #<\n"),
            "dhcp.options[0].code",
            "out of bounds",
        ),
        (
            Contract("lease  = \"1h\"", "options = [{ code = 43, hex = \"0g\" }] #<\n"),
            "dhcp.options[0].hex",
            "not a valid even number",
        ),
        (
            Contract(
                "lease  = \"1h\"",
                "options = [{ code = 43, hex = \"00\" }, { code = 43, hex = \"01\" }] #<\n",
            ),
            "dhcp.options[1]",
            "already",
        ),
        (Contract("\"1.1.1.1\"]", "\"1.1.1.1.1\"] #<\n"), "dns.forward[1]", "not a valid server"),
        (Contract("\"1.1.1.1\"]", "\"https://1.1.1.1/dns-query\"] #<\n"), "dns.forward[1]", "no way to ask"),
        (Contract("\"1.1.1.1\"]", "\"192.168.8.1\"] #<\n"), "dns.forward[1]", "this name server itself"),
        (
            Contract("value = \"192.168.8.60\"", "value = \"192.168.8.600\" #<\n"),
            "dns.record[0].value",
            "no value of type A",
        ),
        (Contract("type = \"A\" ", "type = \"AAAAA\" #<\n"), "dns.record[0].type", "no record type"),
        (Contract("name = \"registry\" ", "name = \"a.*\" #<\n"), "dns.record[0].name", "wildcard"),
        (
            Contract("name = \"registry\" ", "name = \"cp1\" #<\n"),
            "dns.record[0].name",
            "follows from the site file",
        ),
        (
            Contract("name = \"registry\" ", "name = \"*.apps\" #<\n"),
            "dns.record[0].name",
            "follows from the site file",
        ),
        (
            Contract("zone    = \"corp.example.\"", "zone = \"lab.edge.example.com\" #<\n"),
            "dns.conditional[0].zone",
            "site's own zone",
        ),
        (
            Contract("\"ntp://192.0.2.123\"]", "\"ntp:/192.0.2.123\"] #<\n"),
            "ntp.sources[1]",
            "not a valid source",
        ),
        (Contract("\"ntp://192.0.2.123\"]", "\"nts://192.0.2.123\"] #<\n"), "ntp.sources[1]", "certificate"),
        (Contract("local-stratum = 10", "local-stratum = 16 #<\n"), "ntp.local-stratum", "out of bounds"),
        (Contract("keys   = \"/var/lib/faros/tang\"", "keys = \"tang\" #<\n"), "tang.keys", "relative path"),
        (Contract("port   = 7500", "port = 8080 #<\n"), "tang.port", "taken by http"),
        (
            Contract("port = 9090", "port = 6443\nlisten = [\"192.168.8.2\"] #<\n"),
            "console.listen[0]",
            "taken by front end api",
        ),
        // Balancing.
        (
            Contract("listen  = [\"192.168.8.2:5000\"]", "listen = [\"192.168.8.2:6443\"] #<\n"),
            "lb.frontend[0].listen[0]",
            "taken by front end api",
        ),
        (
            Contract("listen  = [\"192.168.8.2:5000\"]", "listen = [\"192.168.8.2\"] #<\n"),
            "lb.frontend[0].listen[0]",
            "here is none",
        ),
        (
            Contract("name = \"reg-b\", address", "name = \"reg-a\", address  "),
            "lb.frontend[0].backend[1].name",
            "there is a backend",
        ),
        (Contract("weight = 2 }", "weight = 257 }"), "lb.frontend[0].backend[1].weight", "out of bounds"),
        (
            Contract("name    = \"registry\"\nlisten", "name = \"api\" #<\nlisten"),
            "lb.frontend[0].name",
            "there is a front end",
        ),
        (
            Contract("path = \"/healthz\"", "path = \"healthz\""),
            "lb.frontend[0].check.path",
            "no path to ask for",
        ),
        (
            Contract("balance = \"least-connections\"", "balance = \"leastconn\" #<\n"),
            "lb.frontend[0].balance",
            "none of",
        ),
        (Contract("drain = \"30s\"", "drain = \"2h\" #<\n"), "lb.drain", "out of bounds"),
        (
            Minimal(
                "[[dns.record]]\nname = \"x\"\ntype = \"A\"\nvalue = \"192.0.2.1\"\n[[dns.record]] #<\nname = \"x\"\ntype = \"a\"\nvalue = \"192.0.2.1\"\n",
            ),
            "dns.record[1]",
            "same record",
        ),
        (
            Minimal(
                "[[dns.record]]\nname = \"x\"\ntype = \"CNAME\"\nvalue = \"y\"\n[[dns.record]] #<\nname = \"x\"\ntype = \"A\"\nvalue = \"192.0.2.1\"\n",
            ),
            "dns.record[1]",
            "no other record",
        ),
        (
            Minimal("[[dns.record]]\nname = \"@\" #<\ntype = \"NS\"\nvalue = \"y\"\n"),
            "dns.record[0].name",
            "cannot have a NS record",
        ),
        (
            Minimal("[[dns.record]]\nname = \"x\"\ntype = \"SOA\" #<\nvalue = \"y\"\n"),
            "dns.record[0].type",
            "cannot be configured",
        ),
        (
            Minimal(
                "[[dns.conditional]]\nzone = \"a.example\"\nforward = [\"192.0.2.1\"]\n[[dns.conditional]]\nzone = \"A.example.\" #<\nforward = [\"192.0.2.1\"]\n",
            ),
            "dns.conditional[1].zone",
            "has servers already",
        ),
        (
            Minimal("[[dns.conditional]] #<\nzone = \"a.example\"\nforward = []\n"),
            "dns.conditional[0]",
            "no server to ask",
        ),
        (Minimal("[ntp]\nsources = [\"192.168.8.1\"] #<\n"), "ntp.sources[0]", "this time server itself"),
        (
            Minimal("[dns]\nenable = false\nexternal = \"0.0.0.0\" #<\n"),
            "dns.external",
            "no address of another machine",
        ),
        (Minimal("[tftp]\nroot = \"/srv/../etc\" #<\n"), "tftp.root", "climbs out"),
        (Minimal("[http]\nlisten = \":8080\" #<\n"), "http.listen", "not a valid address"),
        (
            Contract(
                "name = \"reg-a\", address = \"192.168.8.60:5000\"",
                "name = \"reg-a\", address = \"192.168.8.2:5000\"",
            ),
            "lb.frontend[0].backend[0].address",
            "front end itself",
        ),
        (
            Contract("address = \"192.168.8.61:5000\"", "address = \"192.168.8.60:5000\", backup = true"),
            "lb.frontend[0].backend[1].address",
            "is a backend already",
        ),
        (Minimal("[lb]\nlisten = \"192.168.8.1:80\" #<\n"), "lb.listen", "no place here"),
        (
            Minimal("[[lb.frontend]]\nname = \"x\"\nlisten = \"192.168.8.1:80\"\nbackend = [] #<\n"),
            "lb.frontend[0].backend",
            "without a backend",
        ),
        (
            Contract("interval = \"5s\"", "interval = \"5ms\""),
            "lb.frontend[0].check.interval",
            "out of bounds",
        ),
    ]
}
