//! Claims about whole files.

use std::collections::BTreeMap;
use std::path::Path;

use faros_common::site::{self, Balance, CheckKind, Site};
use proptest::prelude::*;

use super::*;

/// A load balancer of a cluster in the shape that OpenShift's documentation gives as an example.
const SAMPLE: &str = include_str!("tests/openshift.cfg");
const HEAD: &str = "version = 1\n[cluster]\nname = \"edge\"\ndomain = \"example.com\"\nkind = \"none\"\n\
                    [lan]\ninterface = \"lan0\"\naddress = \"192.168.8.1/24\"\nvip = \"192.168.8.2\"\n";

fn nobody(_: &str) -> Option<IpAddr> {
    None
}

fn nodes(host: &str) -> Option<IpAddr> {
    let nodes: BTreeMap<&str, &str> = [
        ("bootstrap", "192.168.8.10"),
        ("cp0", "192.168.8.11"),
        ("cp1", "192.168.8.12"),
        ("cp2", "192.168.8.13"),
        ("w0", "192.168.8.21"),
        ("w1", "192.168.8.22"),
    ]
    .into();
    nodes.get(host.split('.').next()?)?.parse().ok()
}

fn imported(text: &str) -> Import {
    import(text, &Options { address: &nodes, derived: &[] })
}

/// What was imported, as the site file reads it.
fn loaded(import: &Import) -> Site {
    let text = format!("{HEAD}{}", import.toml);
    site::parse(&text, Path::new("site.toml")).unwrap_or_else(|report| panic!("{report}\n{text}")).site
}

/// The severity of the one finding on `line` that says `what`.
#[track_caller]
fn severity(import: &Import, line: usize, what: &str) -> Severity {
    let list: Vec<_> = import
        .findings
        .iter()
        .filter(|found| found.line == Some(line) && found.what.contains(what))
        .collect();
    assert_eq!(list.len(), 1, "line {line}, {what}: {:#?}", import.findings);
    assert!(!list[0].advice.is_empty());
    list[0].severity
}

fn line_of(text: &str, needle: &str) -> usize {
    text.lines().position(|line| line.contains(needle)).unwrap_or_else(|| panic!("{needle}")) + 1
}

#[test]
fn the_platforms_sample_loads_and_its_faults_are_named() {
    let import = imported(SAMPLE);
    let site = loaded(&import);
    assert_eq!(import.frontends, 4);
    let names: Vec<_> = site.lb.frontends.iter().map(|front| front.name.as_str()).collect();
    assert_eq!(names, ["kube-api", "machine-configs", "routers-tls", "routers-plain"]);
    let [api, configs, routers, _] = &site.lb.frontends[..] else { panic!() };
    assert_eq!((api.check.kind, api.check.path.as_str()), (CheckKind::Https, "/readyz"));
    assert_eq!((api.check.rise, api.check.fall, api.check.interval.as_secs()), (3, 2, 10));
    assert_eq!((api.balance, routers.balance), (Balance::RoundRobin, Balance::Source));
    assert_eq!(api.backends.iter().filter(|backend| backend.backup).count(), 1);
    assert_eq!(api.backends[1].address, "192.168.8.11:6443".parse().unwrap());
    assert_eq!((api.connect_timeout.as_secs(), api.max_connections), (10, 3000));
    assert_eq!(api.idle_timeout.as_secs(), 24 * 3600, "the cut is not taken over");
    assert!(configs.lan_only && !api.lan_only);
    let at = |needle: &str, what: &str| severity(&import, line_of(SAMPLE, needle), what);
    assert_eq!(at("server cp0 cp0.edge.example.com:6443", "the other way round"), Severity::Warning);
    assert_eq!(
        at("timeout client", "connections of \"kube-api\" that are idle for 1m are cut"),
        Severity::Warning
    );
    assert_eq!(at("server w0 w0.edge.example.com:443", "TCP connection alone"), Severity::Warning);
    assert_eq!(at("server w0 w0.edge.example.com:80 ", "TCP connection alone"), Severity::Warning);
    assert_eq!(at("bind *:22623", "the WAN's too"), Severity::Warning);
    assert_eq!(at("server bootstrap bootstrap.edge.example.com:6443", "still among"), Severity::Warning);
    assert_eq!(at("maxconn     3000", "few for an API"), Severity::Note);
    assert_eq!(at("server cp0 cp0.edge.example.com:22623", "is 192.168.8.11 now"), Severity::Note);
}

#[test]
fn names_without_addresses_stay_comments_that_say_what_is_missing() {
    let import = import(SAMPLE, &Options { address: &nobody, derived: &[] });
    assert_eq!(import.frontends, 0);
    assert!(loaded(&import).lb.frontends.is_empty());
    assert!(import.toml.contains("address = \"ADDRESS:6443\""), "{}", import.toml);
    let line = line_of(SAMPLE, "server cp0 cp0.edge.example.com:6443");
    assert_eq!(severity(&import, line, "backends are addresses"), Severity::Unsupported);
}

#[test]
fn what_the_site_derives_is_written_as_a_comment() {
    let import = import(SAMPLE, &Options { address: &nodes, derived: &[6443, 22623, 80, 443] });
    assert_eq!(import.frontends, 0);
    assert!(import.toml.lines().all(|line| line.is_empty() || line.starts_with('#')), "{}", import.toml);
}

#[test]
fn every_key_of_ours_can_come_from_a_file() {
    let text = r#"
defaults common
  timeout client 2h
  timeout server 3h
defaults web from common
  timeout connect 500ms
  maxconn 200
frontend Registry_Front from web
  bind 192.168.8.2:5000-5001,[fd08::2]:5000 accept-proxy name x
  default_backend pool
backend pool from web
  balance random(2)
  option httpchk
  http-check send meth GET uri "/health?deep=1" ver HTTP/1.1 hdr Host registry.example.com
  http-check expect status 200,204-299
  timeout check 1500ms
  default-server check check-ssl inter 2s fastinter 500ms rise 4 fall 5 slowstart 30s on-marked-down shutdown-sessions send-proxy-v2 verify required ca-file /etc/ssl/ca.pem port 5443
  server A 192.168.8.60:5000 weight 10
  server b [fd08::60]:5000 backup
  server "b" 192.168.8.62 disabled
"#;
    let import = imported(text);
    let site = loaded(&import);
    let [front] = &site.lb.frontends[..] else { panic!("{}", import.toml) };
    let listen: Vec<_> = front.listen.iter().map(ToString::to_string).collect();
    assert_eq!(listen, ["192.168.8.2:5000", "192.168.8.2:5001", "[fd08::2]:5000"]);
    assert_eq!((front.name.as_str(), front.balance), ("registry-front", Balance::RandomTwo));
    assert_eq!((front.connect_timeout.as_millis(), front.idle_timeout.as_secs()), (500, 7200));
    assert_eq!((front.max_connections, front.slow_start.as_secs(), front.close_on_down), (200, 30, true));
    assert_eq!(front.send_proxy, Some(site::ProxyVersion::V2));
    assert_eq!(front.accept_proxy.len(), 2);
    let check = &front.check;
    assert_eq!(
        (check.kind, check.path.as_str(), check.port),
        (CheckKind::Https, "/health?deep=1", Some(5443))
    );
    assert_eq!((check.rise, check.fall, check.timeout.as_millis()), (4, 5, 1500));
    assert_eq!((check.interval.as_millis(), check.fast_interval.as_millis()), (2000, 500));
    assert_eq!(check.status, [200..=200, 204..=299]);
    assert_eq!(check.ca.as_deref(), Some(Path::new("/etc/ssl/ca.pem")));
    assert_eq!(check.server_name.as_deref(), Some("registry.example.com"));
    let backends: Vec<_> = front
        .backends
        .iter()
        .map(|backend| format!("{} {} {} {}", backend.name, backend.address, backend.weight, backend.backup))
        .collect();
    assert_eq!(
        backends,
        ["a 192.168.8.60:5000 10 false", "b [fd08::60]:5000 1 true", "b-2 192.168.8.62:5000 0 false"]
    );
}

#[test]
fn what_is_beyond_tcp_is_named_with_its_line() {
    let text = r#"global
  maxconn "${LIMIT}"
defaults
  mode http
frontend web
  bind *:8081 ssl crt /etc/x.pem
  acl static path_beg /static
  use_backend files if static
  http-request set-header X-Y z
  tcp-request connection reject if { src 10.0.0.0/8 }
  default_backend app
backend app
  balance uri
  stick-table type ip size 1m
  option mysql-check user x
  http-check expect rstring ^ok
  server a 192.168.8.60:80 ssl maxconn 10 no-such-option
  server-template t 1-3 host:80
backend files
  server b 192.168.8.61:80
.if defined(X)
stray
"#;
    let import = imported(text);
    assert_eq!(loaded(&import).lb.frontends.len(), 1);
    for (needle, what) in [
        ("LIMIT", "an environment variable"),
        ("bind", "TLS is not ended here"),
        ("acl", "acl decides by content"),
        ("use_backend", "chosen by condition"),
        ("http-request", "http-request decides by content"),
        ("tcp-request", "rules on connections"),
        ("balance uri", "looks into the content"),
        ("stick-table", "stick-table is not taken over"),
        ("mysql-check", "option mysql-check"),
        ("rstring", "http-check expect \"rstring\""),
        ("no-such-option", "TLS towards the server"),
        ("no-such-option", "maxconn of a server"),
        ("no-such-option", "the option \"no-such-option\""),
        ("server-template", "made from a template"),
        (".if", "decided when HAProxy starts"),
        ("stray", "\"stray\" is not taken over"),
    ] {
        assert_eq!(severity(&import, line_of(text, needle), what), Severity::Unsupported, "{what}");
    }
    assert_eq!(severity(&import, 4, "speaks HTTP"), Severity::Warning);
    assert_eq!(
        severity(&import, line_of(text, "server b ") - 1, "no front end leads to \"files\""),
        Severity::Note
    );
}

#[test]
fn a_cluster_that_is_served_badly_is_told_so() {
    let text = "listen api\n bind 192.168.8.2:6443\n mode http\n balance source\n timeout client 30s\n\
                \x20server bootstrap 192.168.8.10:6443 check inter 30s\n server a 192.168.8.11:6443 check inter 30s\n";
    let import = imported(text);
    for (line, what) in [
        (1, "in mode http"),
        (4, "keeps clients with a server"),
        (5, "idle for 30s are cut"),
        (6, "takes its share"),
        (6, "not asked for /readyz"),
        (6, "until a server that is not ready is out"),
    ] {
        assert_eq!(severity(&import, line, what), Severity::Warning, "{what}");
    }
    assert_eq!(severity(&import, 1, "no maxconn"), Severity::Note);
    assert_eq!(severity(&import, 6, "no fastinter"), Severity::Note);
}

#[test]
fn no_path_that_the_site_file_refuses_is_taken_over() {
    for ca in ["ca.pem", "/etc/../ca.pem", "/a\\x02b"] {
        let text = format!(
            "listen l\n bind 192.168.8.2:5000\n option httpchk GET /x\n server a 192.168.8.60:5000 check check-ssl ca-file {ca}\n"
        );
        let import = imported(&text);
        assert_eq!(loaded(&import).lb.frontends[0].check.ca, None, "{ca}");
        assert_eq!(severity(&import, 1, "ca-file is no absolute path"), Severity::Unsupported);
    }
}

#[test]
fn a_monstrous_file_is_bounded() {
    let text = "frontend f\n".to_owned() + &"nonsense x\n".repeat(5000);
    assert_eq!(imported(&text).findings.len(), FINDINGS_MAX + 1);
    assert_eq!(imported(&"x".repeat(FILE_MAX + 1)).findings.len(), 1);
    let many: String = (1..2000)
        .map(|port| format!("listen l{port}\n bind 192.168.8.2:{port}\n server a 192.168.9.1:1\n"))
        .collect();
    assert_eq!(imported(&many).frontends, FRONTENDS_MAX);
}

/// Words that mean something, so that random files come far.
fn word() -> impl Strategy<Value = String> {
    const WORDS: &[&str] = &[
        "defaults",
        "frontend",
        "backend",
        "listen",
        "bind",
        "server",
        "default-server",
        "option",
        "httpchk",
        "check",
        "check-ssl",
        "inter",
        "fastinter",
        "rise",
        "fall",
        "port",
        "weight",
        "backup",
        "timeout",
        "client",
        "connect",
        "check",
        "tunnel",
        "maxconn",
        "balance",
        "source",
        "leastconn",
        "from",
        "a",
        "b",
        "api",
        "*:6443",
        "*:80",
        "192.168.8.2:22623",
        "192.168.8.60:80",
        "[fd08::3]:80",
        "host:80",
        "1",
        "0",
        "2s",
        "1us",
        "9d",
        "300",
        "65536",
        "http-check",
        "send",
        "uri",
        "/x",
        "hdr",
        "Host",
        "é.example",
        "expect",
        "status",
        "200-299,404",
        "string",
        "\"a \\\" b\"",
        "'",
        "\\",
        "#",
        "slowstart",
        "send-proxy",
        "accept-proxy",
        "ca-file",
        "/ca",
        "check-sni",
        "verify",
        "none",
        "mode",
        "tcp",
        "http",
        "default_backend",
        "disabled",
        "global",
        "\u{1b}[2J",
    ];
    prop_oneof![9 => prop::sample::select(WORDS).prop_map(ToOwned::to_owned), 1 => "\\PC{0,6}"]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn whatever_is_imported_is_a_site_file(lines in prop::collection::vec(prop::collection::vec(word(), 1..8), 0..30)) {
        let text: String = lines.iter().map(|words| words.join(" ") + "\n").collect();
        let import = imported(&text);
        let file = format!("{HEAD}{}", import.toml);
        match site::parse(&file, Path::new("site.toml")) {
            Ok(loaded) => prop_assert_eq!(loaded.site.lb.frontends.len(), import.frontends),
            // Sockets that collide, and front ends as servers of others, are for people to disentangle.
            Err(report) => for found in report.errors() {
                let tangled = found.message.contains("is taken by") || found.message.contains("of this bastion")
                    || found.message.contains("front end itself");
                prop_assert!(tangled, "{}\n{}", report, file);
            }
        }
    }
}
