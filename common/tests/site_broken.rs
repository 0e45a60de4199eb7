//! Broken site files: each is refused with the line, the key and the reason.
//!
//! A case changes the contract's file or adds to a minimal one; `#<` stands on the line that must be named.

use std::path::Path;

use faros_common::site::{self, Report, Severity};

const CONTRACT: &str = include_str!("data/site.toml");
const MINIMAL: &str = "version = 1\n[cluster]\nname = \"edge\"\ndomain = \"example.com\"\nkind = \"none\"\n\
                       [lan]\ninterface = \"lan0\"\naddress = \"192.168.8.1/24\"\npool = \"192.168.8.128-192.168.8.250\"\n";

enum From {
    /// The contract's file with one text in place of another.
    Contract(&'static str, &'static str),
    /// The same, and the finding is on the last line that begins so.
    ContractAt(&'static str, &'static str, &'static str),
    /// The minimal file and this.
    Minimal(&'static str),
    /// This alone.
    Whole(&'static str),
}
use From::{Contract, ContractAt, Minimal, Whole};

impl From {
    fn text(&self) -> String {
        match self {
            Contract(from, to) | ContractAt(from, to, _) => {
                assert!(CONTRACT.contains(from), "the contract has no {from}");
                CONTRACT.replacen(from, to, 1)
            }
            Minimal(more) => format!("{MINIMAL}{more}"),
            Whole(text) => (*text).to_owned(),
        }
    }

    /// The line that must be named: the mark's, or that of the changed text; none for what is missing everywhere.
    fn line(&self) -> Option<usize> {
        let text = self.text();
        let lines = || text.lines().zip(1..);
        match self {
            ContractAt(_, _, needle) => {
                lines().filter(|(line, _)| line.starts_with(needle)).map(|(_, number)| number).last()
            }
            Contract(_, to) if !to.contains("#<") => {
                lines().find(|(line, _)| line.contains(to)).map(|(_, number)| number)
            }
            _ => lines().find(|(line, _)| line.contains("#<")).map(|(_, number)| number),
        }
    }
}

fn report(text: &str) -> Report {
    match site::parse(text, Path::new("site.toml")) {
        Ok(loaded) => loaded.report,
        Err(report) => report,
    }
}

/// Whether the one finding of this severity has the place of the mark, the key and the message.
fn expect(severity: Severity, from: &From, key: &str, fragment: &str) -> Result<(), String> {
    let report = report(&from.text());
    let found: Vec<_> = report.diagnostics.iter().filter(|found| found.severity == severity).collect();
    let [found] = found[..] else {
        return Err(format!("{key} ({fragment}): {} findings instead of one:\n{report}\n", found.len()));
    };
    let line = found.place.map(|place| place.line);
    if found.key == key && line == from.line() && found.message.contains(fragment) && found.help.is_some() {
        Ok(())
    } else {
        Err(format!("{key} in line {:?} ({fragment}): {report}\n", from.line()))
    }
}

#[test]
fn every_broken_file_is_refused_with_line_key_and_reason() {
    let cases = errors();
    assert!(cases.len() >= 45);
    let failed: Vec<String> = cases
        .iter()
        .filter_map(|(from, key, fragment)| expect(Severity::Error, from, key, fragment).err())
        .collect();
    assert!(failed.is_empty(), "{} of {} cases:\n{}", failed.len(), cases.len(), failed.join("\n"));
}

fn errors() -> Vec<(From, &'static str, &'static str)> {
    vec![
        // Syntax.
        (Whole("version = 1\n[cluster #<\n"), "", "not TOML"),
        (Whole("version = 1\nversion = 1 #<\n"), "version", "duplicate key"),
        (Whole("version = 1\n[lan]\nx = @ #<\n"), "", "not TOML"),
        // Keys, types and what is missing.
        (Minimal("[dhcp]\nleas = \"1h\" #<\n"), "dhcp.leas", "unknown key"),
        (Minimal("[dhpc] #<\n"), "dhpc", "unknown key"),
        (
            Minimal(
                "[[node]]\nname = \"a\"\nrole = \"worker\"\nmac = \"52:54:00:00:00:01\"\nbmc = { url = \"ipmi://192.168.8.3\", usr = \"x\", user = \"x\", password = { env = \"X\" } } #<\n",
            ),
            "node[0].bmc.usr",
            "unknown key",
        ),
        (
            Minimal("[[node]] #<\nname = \"a\"\nmac = \"52:54:00:00:00:01\"\n"),
            "node[0].role",
            "needs the key",
        ),
        (
            Whole(
                "version = 2 #<\n[cluster]\nname = \"edge\"\ndomain = \"example.com\"\nkind = \"none\"\n[lan]\ninterface = \"lan0\"\naddress = \"192.168.8.1/24\"\n",
            ),
            "version",
            "version \"2\"",
        ),
        (
            Whole(
                "[cluster]\nname = \"edge\"\ndomain = \"example.com\"\nkind = \"none\"\n[lan]\ninterface = \"lan0\"\naddress = \"192.168.8.1/24\"\n",
            ),
            "version",
            "needs the key",
        ),
        (
            Whole("version = 1\n[cluster]\nname = \"edge\"\ndomain = \"example.com\"\nkind = \"none\"\n"),
            "lan",
            "needs the key",
        ),
        (Minimal("[wan]\ninterface = 5 #<\n"), "wan.interface", "the number 5"),
        (Minimal("[http]\nport = \"8080\" #<\n"), "http.port", "a whole number"),
        (Minimal("[http]\nport = 0 #<\n"), "http.port", "out of bounds"),
        (Minimal("[http]\nport = 65536 #<\n"), "http.port", "out of bounds"),
        (Minimal("[console]\nenable = \"no\" #<\n"), "console.enable", "true or false"),
        (Minimal("[node] #<\nname = \"a\"\n"), "node", "[[node]]"),
        (Minimal("[dhcp]\nignore = \"52:54:00:00:00:99\" #<\n"), "dhcp.ignore", "a list"),
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
        // Disks, controllers and secrets.
        (
            Minimal(
                "[[node]]\nname = \"a\"\nrole = \"worker\"\nmac = \"52:54:00:00:00:01\"\ndisk = \"/dev/sda\"\nstorage-disks = [\"/dev/sda\"] #<\n",
            ),
            "node[0].storage-disks[0]",
            "installed on",
        ),
        (
            Minimal(
                "[[node]]\nname = \"a\"\nrole = \"worker\"\nmac = \"52:54:00:00:00:01\"\ndisk = \"/dev/disk/by-id/wwn-1\"\n[[node]]\nname = \"b\"\nrole = \"worker\"\nmac = \"52:54:00:00:00:02\"\ndisk = \"/dev/disk/by-id/wwn-1\" #<\n",
            ),
            "node[1].disk",
            "another node",
        ),
        (Contract("disk    = \"/dev/vda\"", "disk = \"vda\" #<\n"), "node[3].disk", "names no disk"),
        (
            Contract("password = { credential = \"bmc\" }", "password = \"hunter2\" #<\n"),
            "bmc-defaults.password",
            "a secret stands in the site file",
        ),
        (
            Contract(
                "pull-secret = { file = \"/etc/faros/secrets/pull-secret.json\" }",
                "pull-secret = \"{}\" #<\n",
            ),
            "install.pull-secret",
            "a secret stands in the site file",
        ),
        (
            Contract("password = { credential = \"bmc\" }", "password = { file = \"/a\", env = \"B\" } #<\n"),
            "bmc-defaults.password",
            "2 places",
        ),
        (
            Contract("password = { credential = \"bmc\" }", "password = { file = \"etc/x\" } #<\n"),
            "bmc-defaults.password.file",
            "relative path",
        ),
        (
            Contract("\"redfish://192.168.8.211\"", "\"redfish://admin:secret@192.168.8.211\" #<\n"),
            "node[0].bmc.url",
            "user or a password",
        ),
        (
            Contract("\"redfish://192.168.8.211\"", "\"https://192.168.8.211\" #<\n"),
            "node[0].bmc.url",
            "no way to reach a BMC",
        ),
        (
            Contract("tls      = \"trust-on-first-use\"", "tls = \"none\" #<\n"),
            "bmc-defaults.tls",
            "no way to judge",
        ),
        (
            Contract(
                "\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEXAMPLEEXAMPLEEXAMPLEEXAMPLEEXAMPLEEXAMPLE admin\"",
                "\"-----BEGIN OPENSSH PRIVATE KEY-----\" #<\n",
            ),
            "install.ssh-keys[0]",
            "private key",
        ),
        // Profiles.
        (
            Contract(
                "disk    = \"/dev/vda\"\nprofile = \"rhcos\"",
                "disk = \"/dev/vda\"\nprofile = \"rhcoss\" #<",
            ),
            "node[3].profile",
            "no profile",
        ),
        (
            Contract(
                "[[node]]\nname    = \"cp3\"\nrole    = \"control-plane\"\nmac     = \"52:54:00:00:08:14\"\n",
                "[[node]] #<\nname = \"cp3\"\nrole = \"control-plane\"\n",
            ),
            "node[2].mac",
            "no mac to be known by",
        ),
        (
            Contract("kernel = \"rhcos/kernel\"", "kernel = \"../rhcos/kernel\" #<\n"),
            "profile.rhcos.kernel",
            "climbs out",
        ),
        (
            Contract("kernel = \"rhcos/kernel\"", "kernel = \"/rhcos/kernel\" #<\n"),
            "profile.rhcos.kernel",
            "absolute path",
        ),
        (
            Contract("install_dev={disk}", "install_dev={dsk}"),
            "profile.rhcos.args",
            "there is no placeholder",
        ),
        (Contract("install_dev={disk}", "install_dev={disk"), "profile.rhcos.args", "brace"),
        (
            Contract("disk    = \"/dev/vda\"\nprofile = \"rhcos\"", "profile = \"rhcos\" #<"),
            "node[3].profile",
            "no disk",
        ),
        (
            Contract("worker        = \"rhcos/worker.ign\"", "workers = \"rhcos/worker.ign\" #<\n"),
            "profile.rhcos.ignition.workers",
            "is no role",
        ),
        (
            ContractAt("bootstrap     = \"rhcos/bootstrap.ign\"", "#", "profile = "),
            "node[3].profile",
            "no Ignition file",
        ),
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
    ]
}

#[test]
fn what_is_doubtful_loads_with_a_warning_in_its_place() {
    let cases = warnings();
    let failed: Vec<String> = cases
        .iter()
        .filter_map(|(from, key, fragment)| {
            assert!(!report(&from.text()).has_errors(), "{key}: {}", report(&from.text()));
            expect(Severity::Warning, from, key, fragment).err()
        })
        .collect();
    assert!(failed.is_empty(), "{} of {} cases:\n{}", failed.len(), cases.len(), failed.join("\n"));
}

fn warnings() -> Vec<(From, &'static str, &'static str)> {
    const HEAD: &str = "version = 1\n[cluster]\nname = \"edge\"\ndomain = \"example.com\"\n";
    const LAN: &str = "[lan]\ninterface = \"lan0\"\naddress = \"192.168.8.1/24\"\n";
    const PAIR: &str = "[[node]] #<\nname = \"a\"\nrole = \"control-plane\"\nmac = \"52:54:00:00:00:01\"\naddress = \"192.168.8.2\"\n\
                        [[node]]\nname = \"b\"\nrole = \"control-plane\"\nmac = \"52:54:00:00:00:02\"\naddress = \"192.168.8.3\"\n";
    let whole = |parts: &[&str]| Whole(Box::leak(parts.concat().into_boxed_str()));
    vec![
        (whole(&[HEAD, LAN]), "node", "no node has the role control-plane"),
        (whole(&[HEAD, LAN, PAIR]), "node", "2 control-plane nodes, an even number"),
        (Minimal("[dns]\nenable = false #<\n"), "dns.enable", "nobody is named"),
        (Minimal("[dns]\nexternal = \"192.168.8.3\" #<\n"), "dns.external", "no effect"),
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

#[test]
fn a_report_reads_like_a_compilers() {
    let report = report(&Minimal("[dhcp]\nleas = \"1h\"\n").text());
    assert_eq!(
        report.to_string(),
        "site.toml:11:1: error: dhcp.leas: unknown key \"leas\" (did you mean `lease`? accepted here: enable, listen, \
         external, lease, ignore, options, authoritative, router-advertisements)"
    );
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["diagnostics"][0]["line"], 11);
    assert_eq!(json["diagnostics"][0]["key"], "dhcp.leas");
}
