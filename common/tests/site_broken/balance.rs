//! Front ends.

use crate::Case;
use crate::From::{Contract, Minimal};

/// A front end of the minimal file with these keys, and one backend.
fn front(keys: &str) -> crate::From {
    let text = format!(
        "[[lb.frontend]]\nname = \"x\"\n{keys}\n\
         backend = [{{ name = \"a\", address = \"192.168.8.60:5000\" }}]\n"
    );
    Minimal(Box::leak(text.into_boxed_str()))
}

fn treated(keys: &str) -> crate::From {
    front(&format!("listen = \"192.168.8.1:5000\"\n{keys} #<"))
}

fn checked(keys: &str) -> crate::From {
    front(&format!("listen = \"192.168.8.1:5000\"\ncheck = {{ {keys} }} #<"))
}

pub(crate) fn broken() -> Vec<Case> {
    let backend = |address: &str| {
        let text = format!(
            "[[lb.frontend]]\nname = \"x\"\nlisten = [\"192.168.8.1:5000\", \"0.0.0.0:5001\"]\n\
             backend = [{{ name = \"a\", address = \"{address}\" }}] #<\n\
             [[lb.frontend]]\nname = \"y\"\nlisten = \"192.168.8.1:5002\"\n\
             backend = [{{ name = \"a\", address = \"192.168.8.60:5000\" }}]\n"
        );
        Minimal(Box::leak(text.into_boxed_str()))
    };
    const ADDRESS: &str = "lb.frontend[0].backend[0].address";
    vec![
        // A loop, on the way through itself, through every address and through another front end.
        (backend("192.168.8.1:5000"), ADDRESS, "front end itself"),
        (backend("192.168.8.1:5001"), ADDRESS, "front end itself"),
        (backend("127.0.0.1:5001"), ADDRESS, "front end itself"),
        (backend("192.168.8.1:5002"), ADDRESS, "the front end \"y\" of this bastion"),
        (
            Contract(
                "name = \"reg-a\", address = \"192.168.8.60:5000\"",
                "name = \"reg-a\", address = \"192.168.8.2:6443\"",
            ),
            ADDRESS,
            "the front end \"api\"",
        ),
        // The WAN.
        (
            front("lan-only = true\nlisten = \"198.51.100.2:5000\" #<"),
            "lb.frontend[0].listen",
            "not on the LAN",
        ),
        (
            Contract("plane = \"auto\"", "listen = \"198.51.100.2\" #<\n"),
            "lb.listen",
            "what machine-config hands out is secret",
        ),
        // Bounds.
        (treated("connect-timeout = \"1ms\""), "lb.frontend[0].connect-timeout", "out of bounds"),
        (treated("idle-timeout = \"100ms\""), "lb.frontend[0].idle-timeout", "out of bounds"),
        (treated("first-byte-timeout = \"2h\""), "lb.frontend[0].first-byte-timeout", "out of bounds"),
        (treated("slow-start = \"2h\""), "lb.frontend[0].slow-start", "out of bounds"),
        (treated("max-connections = 0"), "lb.frontend[0].max-connections", "out of bounds"),
        (treated("max-per-source = -1"), "lb.frontend[0].max-per-source", "out of bounds"),
        (treated("allow = []"), "lb.frontend[0].allow", "nobody may use"),
        (treated("allow = \"192.168.8.0/33\""), "lb.frontend[0].allow", "not a valid network"),
        (treated("accept-proxy = [\"balancer\"]"), "lb.frontend[0].accept-proxy[0]", "not a valid network"),
        (treated("send-proxy = \"v3\""), "lb.frontend[0].send-proxy", "none of v1, v2"),
        (
            treated("congestion-control = \"Cubic\""),
            "lb.frontend[0].congestion-control",
            "names no algorithm",
        ),
        (
            treated("congestion-control = \"a-name-too-long-for-it\""),
            "lb.frontend[0].congestion-control",
            "names no algorithm",
        ),
        // Checks.
        (
            checked("interval = \"1s\", fast-interval = \"2s\""),
            "lb.frontend[0].check.fast-interval",
            "slower than interval, 1s",
        ),
        (checked("timeout = \"1ms\""), "lb.frontend[0].check.timeout", "out of bounds"),
        (checked("kind = \"http\", status = 99"), "lb.frontend[0].check.status", "no status of HTTP"),
        (checked("kind = \"http\", status = []"), "lb.frontend[0].check.status", "no status counts as good"),
        (
            checked("kind = \"http\", status = [\"399-200\"]"),
            "lb.frontend[0].check.status[0]",
            "the statuses run backwards",
        ),
        (checked("kind = \"https\", ca = \"ca.pem\""), "lb.frontend[0].check.ca", "relative path"),
        (checked("kind = \"https\", server-name = \"a b\""), "lb.frontend[0].check.server-name", "\"a b\""),
        // The kernel plane.
        (
            treated("plane = \"kernel\"\naccept-proxy = \"192.168.8.0/24\""),
            "lb.frontend[0].accept-proxy",
            "the kernel plane knows no accept-proxy",
        ),
        (
            treated("plane = \"kernel\"\nfirst-byte-timeout = \"10s\""),
            "lb.frontend[0].first-byte-timeout",
            "the kernel plane knows no first-byte-timeout",
        ),
        (Minimal("[lb]\nplane = \"kernel\"\nlog = true #<\n"), "lb.log", "the kernel plane knows no log"),
    ]
}

pub(crate) fn doubtful() -> Vec<Case> {
    let api = |keys: &str| front(&format!("listen = \"192.168.8.1:6443\"\n{keys} #<"));
    vec![
        (api("balance = \"source\""), "lb.frontend[0].balance", "without persistence"),
        (api("idle-timeout = \"1m\""), "lb.frontend[0].idle-timeout", "silent for longer"),
        (treated("accept-proxy = \"0.0.0.0/0\""), "lb.frontend[0].accept-proxy", "claim any source"),
        (
            treated("max-connections = 10\nmax-per-source = 11"),
            "lb.frontend[0].max-per-source",
            "never reached",
        ),
        (
            checked("interval = \"1s\", timeout = \"2s\""),
            "lb.frontend[0].check.timeout",
            "longer than interval, 1s",
        ),
        (checked("body = \"ok\""), "lb.frontend[0].check.body", "asks for no body"),
        (
            checked("kind = \"http\", ca = \"/etc/faros/ca.pem\""),
            "lb.frontend[0].check.ca",
            "no certificate to check",
        ),
    ]
}
