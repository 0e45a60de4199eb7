//! Names, addresses and cards.

use crate::Case;
use crate::From::{Contract, ContractAt, Minimal};

pub(crate) fn broken() -> Vec<Case> {
    vec![
        // Identity.
        (
            Contract("address = \"192.168.8.12\"", "address = \"192.168.8.11\" #<\n"),
            "node[1].address",
            "belongs to node cp1",
        ),
        (Contract("name    = \"cp2\"", "name = \"cp1\" #<\n"), "node[1].name", "belongs to node cp1"),
        (Contract("\"52:54:00:00:08:14\"", "\"5254.0000.0812\" #<\n"), "node[2].mac", "belongs to node cp2"),
        (
            Contract(
                "[\"52-54-00-00-08-12\", \"525400000013\"]",
                "[\"52-54-00-00-08-12\",\n\"52:54:00:00:08:12\"] #<\n",
            ),
            "node[1].mac[1]",
            "belongs to node cp2",
        ),
        (Contract("\"52:54:00:00:08:14\"", "\"53:54:00:00:08:14\" #<\n"), "node[2].mac", "multicast"),
        (Contract("\"52:54:00:00:08:14\"", "\"00:00:00:00:00:00\" #<\n"), "node[2].mac", "no machine"),
        (Contract("\"52:54:00:00:08:14\"", "\"ff:ff:ff:ff:ff:ff\" #<\n"), "node[2].mac", "broadcast"),
        (Contract("\"52:54:00:00:08:14\"", "\"52:54:00:00:08:*\" #<\n"), "node[2].mac", "not a valid MAC"),
        (Contract("\"52:54:00:00:08:14\"", "\"52:54:00:00:08:1O\" #<\n"), "node[2].mac", "not a valid MAC"),
        (Contract("\"52:54:00:00:08:14\"", "525400000814 #<\n"), "node[2].mac", "the number 525400000814"),
        (
            Contract("address = \"192.168.8.13\"", "address = \"192.168.9.13\" #<\n"),
            "node[2].address",
            "outside the LAN",
        ),
        (
            Contract("address = \"192.168.8.13\"", "address = \"192.168.8.200\" #<\n"),
            "node[2].address",
            "inside the pool",
        ),
        (
            Contract("address = \"192.168.8.13\"", "address = \"192.168.8.1\" #<\n"),
            "node[2].address",
            "belongs to this bastion",
        ),
        (
            Contract("address = \"192.168.8.13\"", "address = \"192.168.8.255\" #<\n"),
            "node[2].address",
            "broadcast",
        ),
        (
            Contract("address = \"192.168.8.13\"", "address = \"192.168.8.013\" #<\n"),
            "node[2].address",
            "not a valid IPv4",
        ),
        (
            Contract("address = \"192.168.8.62\"", "address = \"192.168.8.13\" #<\n"),
            "host[0].address",
            "belongs to node cp3",
        ),
        (
            Contract("address = \"192.168.8.211\" }", "address = \"192.168.8.11\" } #<\n"),
            "node[0].bmc.address",
            "belongs to node cp1",
        ),
        (Contract("name    = \"printer\"", "name = \"api\" #<\n"), "host[0].name", "reserved"),
        (Contract("name    = \"printer\"", "name = \"bastion\" #<\n"), "host[0].name", "reserved"),
        (
            ContractAt("name    = \"printer\"", "name = \"cp1-mgmt\" #<\n", "bmc     = { url = \"redfish"),
            "node[0].bmc",
            "belongs to host cp1-mgmt",
        ),
        (Contract("name    = \"printer\"", "name = \"Printer\" #<\n"), "host[0].name", "upper-case"),
        (
            Contract("name    = \"printer\"", "name = \"print_er\" #<\n"),
            "host[0].name",
            "not a valid host name",
        ),
        (
            Contract("name    = \"printer\"", "name = \"printer.edge.example.com\" #<\n"),
            "host[0].name",
            "more than one label",
        ),
        (
            Contract(
                "name    = \"printer\"",
                "name = \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\" #<\n",
            ),
            "host[0].name",
            "longer than the 63",
        ),
        (
            Contract("name    = \"printer\"", "name = \"рrinter\" #<\n"),
            "host[0].name",
            "not a valid host name",
        ),
        (
            ContractAt("mac     = \"52:54:00:aa:00:01\"", "mac = \"52:54:00:00:00:99\" #<\n", "ignore = "),
            "dhcp.ignore[0]",
            "is ignored",
        ),
        (
            Contract("domain = \"example.com\"", "domain = \"exa mple.com\" #<\n"),
            "cluster.domain",
            "not a valid host name",
        ),
        (Contract("name   = \"edge\"", "name = \"edge.one\" #<\n"), "cluster.name", "more than one label"),
        (
            Contract("kind   = \"openshift\"", "kind = \"openshfit\" #<\n"),
            "cluster.kind",
            "none of openshift",
        ),
        (
            Minimal(
                "[[node]]\nname = \"a\"\nrole = \"worker\"\nuuid = \"00000000-0000-0000-0000-000000000000\" #<\n",
            ),
            "node[0].uuid",
            "boards without one",
        ),
        (Minimal("[[vm]] #<\nvcpus = 2\n"), "vm[0].node", "neither node nor name"),
        (Minimal("[[vm]]\nname = \"a\"\n[[vm]]\nname = \"a\" #<\n"), "vm[1].name", "guest already"),
        (Minimal("[[vm]]\nname = \"a\"\nmemory = \"16\" #<\n"), "vm[0].memory", "not a valid size"),
        (
            Minimal(
                "[[node]]\nname = \"a\"\nrole = \"worker\"\nmac = \"52:54:00:00:00:01\"\nuuid = \"4c4c4544-0042-3510-8052-b4c04f4d3732\"\n[[node]]\nname = \"b\"\nrole = \"worker\"\nmac = \"52:54:00:00:00:02\"\nuuid = \"4C4C4544004235108052B4C04F4D3732\" #<\n",
            ),
            "node[1].uuid",
            "another node already",
        ),
        (
            Minimal(
                "[[node]]\nname = \"a\"\nrole = \"worker\"\nmac = \"52:54:00:00:00:01\"\naddress6 = \"fd08::11\" #<\n",
            ),
            "node[0].address6",
            "LAN with IPv6",
        ),
        (
            Contract("address = \"192.168.8.13\"", "address = \"192.168.8.13\"\naddress6 = \"fd09::1\" #<"),
            "node[2].address6",
            "no host's address",
        ),
        (
            Contract("address = \"192.168.8.13\"", "address = \"192.168.8.13\"\naddress6 = \"fd08::1\" #<"),
            "node[2].address6",
            "belongs to this bastion",
        ),
        (Minimal("[[vm]]\nnode = \"a\"\nname = \"b\" #<\n"), "vm[0].name", "both node and name"),
        (Contract("vcpus     = 4", "mac = \"52:54:00:00:0a:01\" #<\n"), "vm[0].mac", "has its mac itself"),
        (
            Minimal(
                "[[vm]]\nname = \"a\"\nmac = \"52:54:00:00:00:01\"\n[[host]]\nname = \"b\"\naddress = \"192.168.8.5\"\nmac = \"52:54:00:00:00:01\" #<\n",
            ),
            "host[0].mac",
            "belongs to guest a",
        ),
        (
            Minimal(
                "[[vm]]\nname = \"a\"\naddress = \"192.168.8.5\"\n[[host]]\nname = \"b\"\naddress = \"192.168.8.5\" #<\n",
            ),
            "host[0].address",
            "belongs to guest a",
        ),
        (
            Minimal("[[vm]]\nname = \"a\"\n[[host]]\nname = \"a\" #<\naddress = \"192.168.8.5\"\n"),
            "host[0].name",
            "belongs to guest a",
        ),
    ]
}
