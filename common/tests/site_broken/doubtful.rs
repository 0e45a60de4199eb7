//! What loads with a warning.

use crate::Case;
use crate::From::{Minimal, Whole};

pub(crate) fn doubtful() -> Vec<Case> {
    const HEAD: &str = "version = 1\n[cluster]\nname = \"edge\"\ndomain = \"example.com\"\n";
    const LAN: &str = "[lan]\ninterface = \"lan0\"\naddress = \"192.168.8.1/24\"\n";
    const PAIR: &str = "[[node]] #<\nname = \"a\"\nrole = \"control-plane\"\nmac = \"52:54:00:00:00:01\"\naddress = \"192.168.8.2\"\n\
                        [[node]]\nname = \"b\"\nrole = \"control-plane\"\nmac = \"52:54:00:00:00:02\"\naddress = \"192.168.8.3\"\n";
    let whole = |parts: &[&str]| Whole(Box::leak(parts.concat().into_boxed_str()));
    vec![
        (whole(&[HEAD, LAN]), "node", "no node has the role control-plane"),
        (whole(&[HEAD, LAN, PAIR]), "node", "2 control-plane nodes, an even number"),
        (
            whole(&[HEAD, "kind = \"none\"\n[lan]\ninterface = \"lan0\"\naddress = \"127.0.9.1/24\" #<\n"]),
            "lan.address",
            "nobody but this host",
        ),
        (
            whole(&[HEAD, "kind = \"none\"\n[lan]\naddress = \"192.168.8.1/24\"\ninterface = \"lo\" #<\n"]),
            "lan.interface",
            "lo leads to no node",
        ),
        (Minimal("[dns]\nenable = false #<\n"), "dns.enable", "nobody is named"),
        (Minimal("[dns]\nexternal = \"192.168.8.3\" #<\n"), "dns.external", "no effect"),
        (
            Minimal("[dns]\nenable = false\nexternal = \"192.168.8.200\" #<\n"),
            "dns.external",
            "may be leased to another",
        ),
        (Minimal("[gateway]\nmode = \"pat\" #<\n"), "gateway.mode", "no [wan]"),
        (
            Minimal("[[node]] #<\nname = \"a\"\nrole = \"other\"\naddress = \"192.168.8.2\"\n"),
            "node[0].mac",
            "neither mac nor uuid",
        ),
        (
            Minimal(
                "[[node]]\nname = \"a\"\nrole = \"other\"\nmac = \"52:54:00:00:00:01\"\n\
                 bmc = { url = \"ipmi://10.0.0.1\", user = \"x\", password = { env = \"X\" } } #<\n",
            ),
            "node[0].bmc.url",
            "outside the LAN",
        ),
        (
            Minimal(
                "[[node]]\nname = \"a\"\nrole = \"other\"\nmac = \"52:54:00:00:00:01\"\n\
                 bmc = { url = \"ipmi://192.168.8.3\" } #<\n",
            ),
            "node[0].bmc",
            "no user",
        ),
        (Minimal("[dns]\ntransfer = [\"192.168.8.7/28\"] #<\n"), "dns.transfer[0]", "host bits"),
        (
            Minimal(
                "[[dns.record]]\nname = \"x.edge.example.com\" #<\ntype = \"A\"\nvalue = \"192.0.2.1\"\n",
            ),
            "dns.record[0].name",
            "zone twice",
        ),
        (Minimal("[http]\nlisten = \"192.168.8.77\" #<\n"), "http.listen", "no address of this bastion"),
        (
            Minimal(
                "[[lb.frontend]]\nname = \"x\"\nlisten = \"192.168.8.1:5000\"\n\
                 backend = [{ name = \"a\", address = \"192.168.8.3:1\" }]\ncheck = { path = \"/x\" } #<\n",
            ),
            "lb.frontend[0].check.path",
            "asks for no path",
        ),
    ]
}
