//! Names that work as written and hardly as meant.

use crate::Case;
use crate::From::Minimal;

pub(crate) fn broken() -> Vec<Case> {
    vec![
        (
            Minimal(
                "[[dns.record]]\nname = \"sub.corp.example.\" #<\ntype = \"NS\"\nvalue = \"ns.corp.example.\"\n",
            ),
            "dns.record[0].name",
            "cannot be delegated here",
        ),
        (
            Minimal(
                "[dns]\nlisten = \"192.168.8.1:5353\"\n[[dns.conditional]]\nzone = \"a.example\"\nforward = [\"192.168.8.1:5353\"] #<\n",
            ),
            "dns.conditional[0].forward[0]",
            "this name server itself",
        ),
    ]
}

pub(crate) fn doubtful() -> Vec<Case> {
    vec![
        (
            Minimal("[[dns.record]]\nname = \"*\" #<\ntype = \"A\"\nvalue = \"192.168.8.60\"\n"),
            "dns.record[0].name",
            "a wildcard in edge.example.com, which pods search",
        ),
        (
            Minimal("[[dns.record]]\nname = \"*.example.com.\" #<\ntype = \"A\"\nvalue = \"192.168.8.60\"\n"),
            "dns.record[0].name",
            "a wildcard in example.com, which pods search",
        ),
        (
            Minimal(
                "[[dns.record]]\nname = \"registry.redhat.io\" #<\ntype = \"A\"\nvalue = \"192.168.8.60\"\n",
            ),
            "dns.record[0].name",
            "in place of the name outside",
        ),
        (
            Minimal(
                "[dns]\npin = [\"mirror.corp\"]\n\
                 [[dns.record]]\nname = \"mirror.corp\" #<\ntype = \"A\"\nvalue = \"192.168.8.60\"\n",
            ),
            "dns.record[0].name",
            "in place of the name outside",
        ),
        (
            Minimal(
                "[[dns.record]]\nname = \"11.8.168.192.in-addr.arpa\" #<\ntype = \"PTR\"\nvalue = \"x\"\n",
            ),
            "dns.record[0].name",
            "stands in the cluster zone",
        ),
        (
            Minimal("[[dns.record]]\nname = \"x.invalid.\" #<\ntype = \"A\"\nvalue = \"192.168.8.60\"\n"),
            "dns.record[0].name",
            "exist for nobody",
        ),
        (
            Minimal(
                "[[host]]\nname = \"nas\"\naddress = \"192.168.8.62\"\n\
                 [[dns.record]]\nname = \"62.8.168.192.in-addr.arpa.\" #<\ntype = \"PTR\"\nvalue = \"other\"\n",
            ),
            "dns.record[0].name",
            "nas.edge.example.com. already",
        ),
        (
            Minimal(
                "[[dns.record]]\nname = \"62.8.168.192.in-addr.arpa.\"\ntype = \"PTR\"\nvalue = \"one.example.\"\n\
                 [[dns.record]] #<\nname = \"62.8.168.192.in-addr.arpa.\"\ntype = \"PTR\"\nvalue = \"two.example.\"\n",
            ),
            "dns.record[1]",
            "another PTR already",
        ),
        (
            Minimal("[[dns.record]]\nname = \"www\"\ntype = \"CNAME\"\nvalue = \"quay\" #<\n"),
            "dns.record[0].value",
            "quay.edge.example.com has no address",
        ),
        (
            Minimal("[[dns.record]]\nname = \"@\"\ntype = \"MX\"\nvalue = \"10 mail\" #<\n"),
            "dns.record[0].value",
            "mail.edge.example.com has no address",
        ),
        (
            Minimal(
                "[[dns.record]]\nname = \"mail\"\ntype = \"CNAME\"\nvalue = \"bastion\"\n\
                 [[dns.record]]\nname = \"@\"\ntype = \"MX\"\nvalue = \"10 mail\" #<\n",
            ),
            "dns.record[1].value",
            "is an alias, which MX records must not lead to",
        ),
        (
            Minimal(
                "[[dns.record]]\nname = \"x\"\ntype = \"A\"\nvalue = \"192.168.8.60\"\nttl = \"7d\" #<\n",
            ),
            "dns.record[0].ttl",
            "others keep this for 7days",
        ),
        (
            Minimal(
                "[[dns.record]]\nname = \"x\"\ntype = \"A\"\nvalue = \"192.168.8.60\"\nttl = \"0s\" #<\n",
            ),
            "dns.record[0].ttl",
            "nobody may keep this",
        ),
        (
            Minimal(
                "[[dns.record]]\nname = \"x\"\ntype = \"A\"\nvalue = \"192.168.8.60\"\nttl = \"1h\"\n\
                 [[dns.record]] #<\nname = \"x\"\ntype = \"A\"\nvalue = \"192.168.8.61\"\n",
            ),
            "dns.record[1]",
            "another ttl",
        ),
        (
            Minimal("[wan]\ninterface = \"eno1\"\naddress = \"dhcp\"\n[dns] #<\nstale = \"1d\"\n"),
            "dns",
            "nobody to ask about names of the outside world",
        ),
        (
            Minimal("[wan] #<\ninterface = \"eno1\"\naddress = \"dhcp\"\n"),
            "wan",
            "nobody to ask about names of the outside world",
        ),
        (
            Minimal(
                "[[host]]\nname = \"hypervisor\"\naddress = \"192.168.8.62\"\n[dns]\nforward = [\"192.168.8.62\"] #<\n",
            ),
            "dns.forward[0]",
            "could go round for ever",
        ),
        (
            Minimal("[[dns.conditional]]\nzone = \"example.com\" #<\nforward = [\"198.51.100.1\"]\n"),
            "dns.conditional[0].zone",
            "above this site's own zone",
        ),
        (
            Minimal(
                "[[dns.conditional]]\nzone = \"8.168.192.in-addr.arpa\" #<\nforward = [\"198.51.100.1\"]\n",
            ),
            "dns.conditional[0].zone",
            "never asked",
        ),
        (
            Minimal("[[dns.conditional]]\nzone = \"onion\" #<\nforward = [\"198.51.100.1\"]\n"),
            "dns.conditional[0].zone",
            "never asked of a server",
        ),
        (Minimal("[dns]\npin = [\"api.edge.example.com\"] #<\n"), "dns.pin[0]", "always answered"),
        (Minimal("[dns]\netcd = true #<\n"), "dns.etcd", "no cluster"),
        (
            crate::From::Whole(
                "version = 1\n[cluster]\nname = \"edge\"\ndomain = \"corp.local\" #<\nkind = \"none\"\n\
                 [lan]\ninterface = \"lan0\"\naddress = \"192.168.8.1/24\"\n",
            ),
            "cluster.domain",
            "by multicast",
        ),
    ]
}
