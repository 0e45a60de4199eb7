//! From proxies to front ends in our terms.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use faros_common::site::{Balance, CheckKind, ProxyVersion};

use super::check::Speaks;
use super::proxy::{At, Kind, Proxy};
use super::server::{Server, ServerOptions};
use super::{ENTRIES_MAX, FRONTENDS_MAX, Findings, Options, quoted};

/// A label of DNS has no more octets.
const NAME_MAX: usize = 63;
/// PATH_MAX of Linux, without the final zero.
const PATH_MAX: usize = 4095;
/// Checks without `inter`, `rise` and `fall`.
const INTERVAL: Duration = Duration::from_secs(2);
const RISE: u32 = 2;
const FALL: u32 = 3;
/// Idle times below it cut what a cluster's clients keep open.
pub(super) const IDLE_MIN: Duration = Duration::from_secs(600);
/// Where a cluster's API, machine configs and ingress listen.
pub(super) const API: u16 = 6443;
pub(super) const MACHINE_CONFIG: u16 = 22623;
pub(super) const INGRESS: [u16; 2] = [80, 443];

/// A front end, with the proxies that it was made of.
#[derive(Clone, Debug)]
pub(super) struct Front<'p> {
    pub(super) name: String,
    pub(super) listen: Vec<SocketAddr>,
    pub(super) balance: Balance,
    pub(super) check: Check,
    pub(super) backends: Vec<Backend>,
    pub(super) lan_only: bool,
    pub(super) connect: Option<Duration>,
    pub(super) idle: Option<Duration>,
    pub(super) max_connections: Option<u32>,
    pub(super) accept_proxy: bool,
    pub(super) send_proxy: Option<ProxyVersion>,
    pub(super) slow_start: Option<Duration>,
    pub(super) close_on_down: bool,
    /// Derived from the cluster's kind: written as a comment.
    pub(super) derived: bool,
    /// Who listens.
    pub(super) face: &'p Proxy,
    /// Who has the servers; the same for `listen`.
    pub(super) back: &'p Proxy,
}

/// A check.
#[derive(Clone, Debug)]
pub(super) struct Check {
    pub(super) kind: CheckKind,
    pub(super) path: Option<String>,
    pub(super) port: Option<u16>,
    pub(super) interval: Duration,
    pub(super) fast_interval: Option<Duration>,
    pub(super) timeout: Option<Duration>,
    pub(super) rise: u32,
    pub(super) fall: u32,
    pub(super) status: Vec<RangeInclusive<u16>>,
    pub(super) body: Option<String>,
    pub(super) ca: Option<String>,
    pub(super) server_name: Option<String>,
}

/// A server; without an address it is written as a comment.
#[derive(Clone, Debug)]
pub(super) struct Backend {
    pub(super) name: String,
    pub(super) host: String,
    pub(super) address: Option<SocketAddr>,
    pub(super) port: u16,
    pub(super) weight: u16,
    pub(super) backup: bool,
}

impl Front<'_> {
    /// Whether it can be loaded as it is.
    pub(super) fn is_live(&self) -> bool {
        !self.derived && self.backends.iter().any(|backend| backend.address.is_some())
    }

    pub(super) fn listens_on(&self, port: u16) -> bool {
        self.listen.iter().any(|socket| socket.port() == port)
    }
}

/// The front ends of all proxies.
pub(super) fn frontends<'p>(
    proxies: &'p [Proxy],
    options: &Options<'_>,
    found: &mut Findings,
) -> Vec<Front<'p>> {
    let pools: BTreeMap<&str, &Proxy> = proxies
        .iter()
        .filter(|proxy| proxy.kind != Kind::Frontend)
        .map(|proxy| (proxy.name.as_str(), proxy))
        .collect();
    let mut used = BTreeSet::new();
    let mut names = BTreeSet::new();
    let mut taken = BTreeMap::new();
    let mut fronts: Vec<Front<'p>> = Vec::new();
    for face in proxies.iter().filter(|proxy| !proxy.disabled) {
        let wanted =
            face.default_backend.as_ref().filter(|_| face.kind != Kind::Backend && face.servers.is_empty());
        let back = match (face.kind, wanted) {
            (Kind::Backend | Kind::Defaults, _) => continue,
            (_, Some(wanted)) => match pools.get(wanted.value.as_str()) {
                Some(back) => *back,
                None => {
                    let what = format!("there is no back end {}", quoted(&wanted.value));
                    found.unsupported(wanted.line, what, "name one that is there");
                    continue;
                }
            },
            (Kind::Frontend, None) => {
                let what = format!("{} has no back end that takes everything", quoted(&face.name));
                found.unsupported(face.line, what, "name it with default_backend");
                continue;
            }
            (Kind::Listen, None) => face,
        };
        used.insert(back.name.as_str());
        if back.disabled || face.binds.is_empty() {
            if face.binds.is_empty() && !back.servers.is_empty() {
                let what = format!("{} listens nowhere", quoted(&face.name));
                found.unsupported(face.line, what, "give it a bind line");
            }
            continue;
        }
        if fronts.len() >= FRONTENDS_MAX {
            let what = format!("more than {FRONTENDS_MAX} front ends");
            found.unsupported(face.line, what, "the site file holds no more");
            break;
        }
        fronts.extend(front(face, back, options, &mut names, &mut taken, found));
    }
    for proxy in
        proxies.iter().filter(|proxy| proxy.kind == Kind::Backend && !used.contains(proxy.name.as_str()))
    {
        let what = format!("no front end leads to {} unconditionally", quoted(&proxy.name));
        found.note(proxy.line, what, "make a front end for it, if it is needed");
    }
    fronts
}

fn front<'p>(
    face: &'p Proxy,
    back: &'p Proxy,
    options: &Options<'_>,
    names: &mut BTreeSet<String>,
    taken: &mut BTreeMap<SocketAddr, String>,
    found: &mut Findings,
) -> Option<Front<'p>> {
    let mut listen: Vec<SocketAddr> = Vec::new();
    for bind in &face.binds {
        if let Some(other) = taken.get(&bind.socket) {
            let what = format!("{} is {} already", bind.socket, quoted(other));
            found.unsupported(bind.line, what, "one front end alone can listen there");
        } else if listen.len() < ENTRIES_MAX {
            taken.insert(bind.socket, face.name.clone());
            listen.push(bind.socket);
        }
    }
    let first = *listen.first()?;
    let derived = listen.iter().all(|socket| options.derived.contains(&socket.port()));
    if derived {
        found.note(
            face.line,
            format!("{} is derived from the cluster's kind and the nodes", quoted(&face.name)),
            "nothing: it is written as a comment",
        );
    }
    let settings = common(back, found);
    let cluster = [API, MACHINE_CONFIG].contains(&first.port()) || INGRESS.contains(&first.port());
    // What would cut a cluster's clients off is left out; the lint says so.
    let idle = idle(face, back).map(|idle| idle.value).filter(|idle| !(cluster && *idle < IDLE_MIN));
    let max_connections = face.max_connections.or(face.global.max_connections).map(|at| at.value);
    Some(Front {
        name: unique(&face.name, names),
        balance: balance(back, found),
        check: check(back, &settings, found),
        backends: backends(back, first.port(), &listen, options, found),
        lan_only: first.port() == MACHINE_CONFIG,
        connect: back.connect.map(|at| bounded(at, 50, 600_000, found)),
        idle: idle.map(|idle| idle.clamp(Duration::from_secs(1), Duration::from_secs(366 * 86_400))),
        max_connections: max_connections.map(|connections| connections.clamp(1, 1_000_000)),
        accept_proxy: face.binds.iter().any(|bind| bind.accept_proxy),
        send_proxy: settings.send_proxy,
        slow_start: settings.slow_start.map(|start| start.min(Duration::from_secs(3600))),
        close_on_down: settings.close_on_down,
        listen,
        derived,
        face,
        back,
    })
}

/// After how long without an octet either way HAProxy cuts a connection.
pub(super) fn idle(face: &Proxy, back: &Proxy) -> Option<At<Duration>> {
    let shorter = [face.client, back.server].into_iter().flatten().min_by_key(|at| at.value);
    back.tunnel.or(face.tunnel).or(shorter)
}

/// The options that hold for all servers: those of the first that is no backup. Others are pointed out.
fn common(back: &Proxy, found: &mut Findings) -> ServerOptions {
    let shown = |options: &ServerOptions| ServerOptions {
        backup: false,
        disabled: false,
        weight: None,
        ..options.clone()
    };
    let regular = back.servers.iter().find(|server| !server.options.backup).or(back.servers.first());
    let Some(regular) = regular else { return ServerOptions::default() };
    let settings = shown(&regular.options);
    for server in back.servers.iter().filter(|server| shown(&server.options) != settings) {
        found.warning(
            server.line,
            format!("{} is checked or treated unlike {}", quoted(&server.name), quoted(&regular.name)),
            "all backends of a front end are treated alike, as that one: make a front end of its own where that matters",
        );
    }
    settings
}

fn backends(
    back: &Proxy,
    port: u16,
    listen: &[SocketAddr],
    options: &Options<'_>,
    found: &mut Findings,
) -> Vec<Backend> {
    let mut names = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let mut backends = Vec::new();
    for server in &back.servers {
        let port = server.port.unwrap_or(port);
        let address = address(server, options, found).map(|ip| SocketAddr::new(ip, port));
        if let Some(address) = address {
            if !seen.insert(address) {
                found.warning(
                    server.line,
                    format!("{address} is a server already"),
                    "weight gives a larger share",
                );
                continue;
            }
            if listen.contains(&address) {
                found.unsupported(
                    server.line,
                    format!("{address} is the front end itself"),
                    "name another server",
                );
                continue;
            }
        }
        if server.options.disabled {
            let what = format!("{} is disabled: it has weight 0", quoted(&server.name));
            found.note(server.line, what, "take weight out to use it");
        }
        let weight = if server.options.disabled { 0 } else { server.options.weight.unwrap_or(1) };
        backends.push(Backend {
            name: unique(&server.name, &mut names),
            host: server.host.clone(),
            address,
            port,
            weight,
            backup: server.options.backup,
        });
    }
    backends
}

fn address(server: &Server, options: &Options<'_>, found: &mut Findings) -> Option<IpAddr> {
    let literal = server.host.parse::<IpAddr>().ok();
    let Some(ip) = literal.or_else(|| (options.address)(&server.host)) else {
        found.unsupported(
            server.line,
            format!(
                "{} is a name, and backends are addresses: they must work before DNS does",
                quoted(&server.host)
            ),
            "write the server's address in its place, or import with --resolve",
        );
        return None;
    };
    if ip.is_unspecified() || ip.is_multicast() {
        found.unsupported(server.line, format!("{ip} is no server's address"), "give the server's own");
        return None;
    }
    if literal.is_none() {
        found.note(
            server.line,
            format!("{} is {ip} now", quoted(&server.host)),
            "see that this address stays",
        );
    }
    Some(ip)
}

fn balance(back: &Proxy, found: &mut Findings) -> Balance {
    let Some(at) = &back.balance else { return Balance::RoundRobin };
    match at.value.as_str() {
        "roundrobin" | "static-rr" => Balance::RoundRobin,
        "leastconn" => Balance::LeastConnections,
        "source" => Balance::Source,
        random if random == "random" || random.starts_with("random(") => Balance::RandomTwo,
        "first" => {
            found.warning(at.line, "balance first is not there", "least-connections is taken instead");
            Balance::LeastConnections
        }
        other => {
            found.unsupported(
                at.line,
                format!("balance {} looks into the content, which stays unread here", quoted(other)),
                "least-connections is taken instead",
            );
            Balance::LeastConnections
        }
    }
}

fn check(back: &Proxy, settings: &ServerOptions, found: &mut Findings) -> Check {
    let lines = &back.check;
    let tls = lines.tls || settings.check_tls || settings.tls;
    let kind = match (lines.speaks, tls) {
        (Speaks::Http, true) => CheckKind::Https,
        (Speaks::Http, false) => CheckKind::Http,
        (Speaks::Tcp, _) => CheckKind::Tcp,
    };
    let limits = (Duration::from_millis(100), Duration::from_secs(3600));
    let interval = settings.interval.unwrap_or(INTERVAL).clamp(limits.0, limits.1);
    if !back.servers.iter().any(|server| server.options.check) && !back.servers.is_empty() {
        found.warning(
            back.line,
            format!("{} checks none of its servers", quoted(&back.name)),
            "here all are: see that the check suits them",
        );
    }
    let http = kind != CheckKind::Tcp;
    let https = kind == CheckKind::Https;
    let wanted = settings.ca.clone().filter(|_| https && !settings.verify_none);
    let ca = wanted.clone().filter(|path| is_absolute(path));
    if ca.is_none() && wanted.is_some() {
        found.unsupported(back.line, "ca-file is no absolute path", "give check.ca one");
    }
    let name = settings.server_name.clone().or_else(|| lines.host.clone());
    let plain = |name: &String| {
        name.len() <= 253
            && name.split('.').all(|label| {
                let bytes = label.as_bytes();
                let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
                label.len() <= NAME_MAX
                    && edge(bytes.first())
                    && edge(bytes.last())
                    && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
            })
            && name.contains(|c: char| c.is_ascii_alphabetic())
    };
    Check {
        kind,
        path: lines.path.clone().filter(|_| http),
        port: settings.check_port.or(lines.port),
        interval,
        fast_interval: settings.fast_interval.map(|fast| fast.clamp(limits.0, interval)),
        timeout: back.check_timeout.map(|at| {
            let least = Duration::from_millis(10);
            let timeout = at.value.max(least).min(interval);
            if timeout < at.value {
                let what = "timeout check is longer than the interval, which is taken instead";
                found.note(at.line, what, "nothing");
            }
            timeout
        }),
        rise: settings.rise.unwrap_or(RISE).max(1),
        fall: settings.fall.unwrap_or(FALL).max(1),
        status: if http { lines.status.clone() } else { Vec::new() },
        body: lines
            .body
            .clone()
            .filter(|text| http && text.len() <= 1024 && !text.chars().any(char::is_control)),
        ca,
        server_name: name.filter(|name| http && plain(name)),
    }
}

/// A path as the site file takes it.
fn is_absolute(path: &str) -> bool {
    path.starts_with('/')
        && path.len() <= PATH_MAX
        && !path.chars().any(char::is_control)
        && !path.split('/').any(|part| part == "..")
}

fn bounded(at: At<Duration>, min_millis: u64, max_millis: u64, found: &mut Findings) -> Duration {
    let bounded = at.value.clamp(Duration::from_millis(min_millis), Duration::from_millis(max_millis));
    if bounded != at.value {
        let shown = humantime::format_duration;
        let what = format!("{} is out of bounds here: {}", shown(at.value), shown(bounded));
        found.note(at.line, what, "nothing");
    }
    bounded
}

/// `name` as a label of DNS, unlike those before.
fn unique(name: &str, names: &mut BTreeSet<String>) -> String {
    let plain: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    let cut = &plain[..plain.len().min(NAME_MAX - 5)];
    let cut = cut.trim_matches('-');
    let cut = if cut.is_empty() { "unnamed" } else { cut };
    // The derived front ends have these.
    let reserved = ["api", "machine-config", "ingress-http", "ingress-https"].contains(&cut);
    let first = if reserved { format!("{cut}-1") } else { cut.to_owned() };
    let mut tries = std::iter::once(first).chain((2_u32..).map(|number| format!("{cut}-{number}")));
    let free = tries.find(|name| !names.contains(name)).unwrap_or_default();
    names.insert(free.clone());
    free
}
