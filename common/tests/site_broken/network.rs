//! LAN, WAN and gateway.

use crate::Case;
use crate::From::{Contract, Minimal, Whole};

pub(crate) fn broken() -> Vec<Case> {
    vec![
        // LAN and WAN.
        (
            Contract("address   = \"192.168.8.1/24\"", "address = \"192.168.8.1\" #<\n"),
            "lan.address",
            "not a valid IPv4 address",
        ),
        (
            Whole(
                "version = 1\n[cluster]\nname = \"edge\"\ndomain = \"example.com\"\nkind = \"none\"\n[lan]\ninterface = \"lan0\"\naddress = \"192.168.8.0/24\" #<\n",
            ),
            "lan.address",
            "network address",
        ),
        (
            Whole(
                "version = 1\n[cluster]\nname = \"edge\"\ndomain = \"example.com\"\nkind = \"none\"\n[lan]\ninterface = \"lan0\"\naddress = \"192.168.8.255/24\" #<\n",
            ),
            "lan.address",
            "broadcast address",
        ),
        (
            Whole(
                "version = 1\n[cluster]\nname = \"edge\"\ndomain = \"example.com\"\nkind = \"none\"\n[lan]\ninterface = \"lan0\"\naddress = \"192.168.8.1/31\" #<\n",
            ),
            "lan.address",
            "/31 makes no LAN",
        ),
        (
            Whole(
                "version = 1\n[cluster]\nname = \"edge\"\ndomain = \"example.com\"\nkind = \"none\"\n[lan]\ninterface = \"lan0\"\naddress = \"192.168.8.1/24\"\npool = \"192.168.8.20-192.168.8.10\" #<\n",
            ),
            "lan.pool",
            "backwards",
        ),
        (
            Whole(
                "version = 1\n[cluster]\nname = \"edge\"\ndomain = \"example.com\"\nkind = \"none\"\n[lan]\ninterface = \"lan0\"\naddress = \"192.168.8.1/24\"\npool = \"192.168.8.20-192.168.9.10\" #<\n",
            ),
            "lan.pool",
            "outside the LAN",
        ),
        (
            Whole(
                "version = 1\n[cluster]\nname = \"edge\"\ndomain = \"example.com\"\nkind = \"none\"\n[lan]\ninterface = \"lan0\"\naddress = \"192.168.8.1/24\"\npool = \"192.168.8.20-192.168.8.255\" #<\n",
            ),
            "lan.pool",
            "broadcast",
        ),
        (
            Contract("vip       = \"192.168.8.2\"", "vip = \"192.168.8.11\" #<\n"),
            "lan.vip",
            "belongs to node cp1",
        ),
        (Contract("vip       = \"192.168.8.2\"", "vip = \"192.168.9.2\" #<\n"), "lan.vip", "outside the LAN"),
        (
            Contract("vip       = \"192.168.8.2\"", "vip = \"192.168.8.130\" #<\n"),
            "lan.vip",
            "inside the pool",
        ),
        (
            Contract("address6  = \"fd08::1/64\"", "address6 = \"fe80::1/64\" #<\n"),
            "lan.address6",
            "link-local",
        ),
        (
            Contract("members   = [\"eno2\", \"eno3\"]", "members = [\"eno2\",\n\"lan0\"] #<\n"),
            "lan.members[1]",
            "the bridge itself",
        ),
        (
            Contract("interface = \"lan0\"", "interface = \"a-very-long-interface\" #<\n"),
            "lan.interface",
            "15 characters",
        ),
        (Contract("interface = \"eno1\"", "interface = \"eno2\" #<\n"), "wan.interface", "member of the LAN"),
        (
            Contract("interface = \"eno1\"", "interface = \"lan0\" #<\n"),
            "wan.interface",
            "the LAN's interface",
        ),
        (Contract("address   = \"dhcp\"", "address = \"192.168.0.7/16\" #<\n"), "wan.address", "overlaps"),
        (Contract("address   = \"dhcp\"", "address = \"DHCP\" #<\n"), "wan.address", "neither"),
        // Gateway.
        (
            Contract("allow = [\"ssh\", \"console\", \"api\", \"ingress\"]", "allow = [\"shh\"] #<\n"),
            "gateway.allow[0]",
            "none of ssh",
        ),
        (Contract("port     = 5000", "port = 6443 #<\n"), "gateway.forward[0].port", "leads to the service"),
        (
            Contract("to       = \"192.168.8.60:5000\"", "to = \"10.0.0.1:5000\" #<\n"),
            "gateway.forward[0].to",
            "outside the LAN",
        ),
        (
            Contract("to       = \"192.168.8.60:5000\"", "to = \"192.168.8.211:443\" #<\n"),
            "gateway.forward[0].to",
            "is a BMC",
        ),
        (
            Contract("to       = \"192.168.8.60:5000\"", "to = \"192.168.8.60\" #<\n"),
            "gateway.forward[0].to",
            "not a valid address",
        ),
        (
            Contract("\"udp/123\"]", "\"123/udp\"] #<\n"),
            "gateway.egress[0].ports[1]",
            "not a valid transport",
        ),
        (
            Contract(
                "[[gateway.egress]]",
                "[[gateway.forward]]\nname = \"registry\" #<\nport = 5001\nto = \"192.168.8.60:1\"\n[[gateway.egress]]",
            ),
            "gateway.forward[1].name",
            "there is a forward",
        ),
        (
            Contract(
                "[[gateway.egress]]",
                "[[gateway.forward]]\nname = \"b\"\nport = 5000 #<\nto = \"192.168.8.60:1\"\n[[gateway.egress]]",
            ),
            "gateway.forward[1].port",
            "another forward",
        ),
        (Minimal("[[gateway.egress]] #<\nto = []\n"), "gateway.egress[0]", "lets nothing out"),
        (
            Contract("members   = [\"eno2\", \"eno3\"]", "members = [\"eno2\", \"eno2\"] #<"),
            "lan.members[1]",
            "a member already",
        ),
    ]
}
