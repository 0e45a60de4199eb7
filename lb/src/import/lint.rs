//! What a cluster suffers from: the platform's documentation against what is there.

use std::time::Duration;

use faros_common::site::{Balance, CheckKind};

use super::convert::{API, Front, IDLE_MIN, INGRESS, MACHINE_CONFIG, idle};
use super::{Findings, quoted};

/// The platform's own engineers probe faster than that while something changes.
const SLOW: Duration = Duration::from_secs(2);
/// An API with fewer runs out of them: every kubelet, operator and user holds several watches.
const API_CONNECTIONS_MIN: u32 = 10_000;

/// Looks a front end over.
pub(super) fn check(front: &Front<'_>, found: &mut Findings) {
    let api = front.listens_on(API);
    let machine_config = front.listens_on(MACHINE_CONFIG);
    let ingress = INGRESS.iter().any(|port| front.listens_on(*port));
    if api || machine_config || ingress {
        http_mode(front, found);
        idle_cut(front, found);
    } else if let Some(http) = front.face.http.filter(|http| http.value) {
        found.warning(
            http.line,
            format!("{} speaks HTTP, and is forwarded unread here", quoted(&front.face.name)),
            "headers, cookies and retries of requests are lost: keep HAProxy where they matter",
        );
    }
    everywhere(front, machine_config, found);
    rise_and_fall(front, found);
    if api {
        self::api(front, found);
    }
    if machine_config && front.check.kind == CheckKind::Tcp {
        found.note(
            line_of_check(front),
            "whether machine configs are served is asked with a TCP connection alone",
            "check = { kind = \"https\", path = \"/healthz\" }",
        );
    }
    if ingress && front.check.kind == CheckKind::Tcp {
        found.warning(
            line_of_check(front),
            format!(
                "the ingress {} is checked with a TCP connection alone: a router that drains or is ill stays in",
                quoted(&front.face.name)
            ),
            "check = { kind = \"http\", port = 1936, path = \"/healthz/ready\" }",
        );
    }
    bootstrap(front, found);
    missing(front, found);
}

fn line_of_check(front: &Front<'_>) -> Option<usize> {
    front.back.check.line.or(front.back.servers.first().map(|server| server.line)).or(Some(front.face.line))
}

fn http_mode(front: &Front<'_>, found: &mut Findings) {
    let http = [front.face, front.back].into_iter().find_map(|proxy| proxy.http.filter(|http| http.value));
    let Some(http) = http else { return };
    found.warning(
        front.face.line,
        format!(
            "{} is in mode http (line {}): TLS of the cluster must be passed through, and HAProxy answers itself",
            quoted(&front.face.name),
            http.line
        ),
        "mode tcp; here everything is passed through",
    );
}

fn idle_cut(front: &Front<'_>, found: &mut Findings) {
    let Some(idle) = idle(front.face, front.back).filter(|idle| idle.value < IDLE_MIN) else { return };
    found.warning(
        idle.line,
        format!(
            "connections of {} that are idle for {} are cut: watches, logs, shells and web sockets are",
            quoted(&front.face.name),
            humantime::format_duration(idle.value)
        ),
        "left out: 24h here, and peers that vanished are found by keepalive",
    );
}

fn everywhere(front: &Front<'_>, machine_config: bool, found: &mut Findings) {
    let all = front.face.binds.iter().find(|bind| bind.socket.ip().is_unspecified());
    let Some(bind) = all else { return };
    if machine_config {
        found.warning(
            bind.line,
            format!("{MACHINE_CONFIG} listens on every address, the WAN's too: machine configs hold secrets"),
            "lan-only = true is set; listen on lan.vip",
        );
    } else {
        found.note(
            bind.line,
            format!("{} listens on every address, the WAN's too", quoted(&front.face.name)),
            "listen on lan.vip; gateway.allow says what the WAN may reach",
        );
    }
}

fn rise_and_fall(front: &Front<'_>, found: &mut Findings) {
    for server in &front.back.servers {
        if let (Some(rise), Some(fall)) = (server.options.rise, server.options.fall)
            && rise > fall
        {
            found.warning(
                server.line,
                format!(
                    "fall {fall} rise {rise} is the other way round than the platform's documentation says: two good \
                     answers until up, three bad ones until down"
                ),
                "rise = 2, fall = 3",
            );
        }
    }
}

fn api(front: &Front<'_>, found: &mut Findings) {
    let sticky = front.back.sticky.or(front.face.sticky);
    let source = front.back.balance.as_ref().filter(|_| front.balance == Balance::Source).map(|at| at.line);
    if let Some(line) = source.or(sticky) {
        found.warning(
            line,
            "the API keeps clients with a server, which the platform's documentation forbids",
            "balance = \"least-connections\"",
        );
    }
    let asks_readyz = front.check.kind != CheckKind::Tcp
        && front.check.path.as_deref().is_some_and(|path| path.starts_with("/readyz"));
    if !asks_readyz {
        found.warning(
            line_of_check(front),
            "the API is not asked for /readyz: servers that are starting, stopping or ill stay in",
            "check = { kind = \"https\", path = \"/readyz\" }",
        );
    }
    // From the first bad answer to the last.
    let fast = front.check.fast_interval.unwrap_or(front.check.interval);
    let out = front.check.interval + fast * front.check.fall;
    if out > Duration::from_secs(30) {
        found.warning(
            line_of_check(front),
            format!(
                "it may take {} until a server that is not ready is out",
                humantime::format_duration(out)
            ),
            "30s is the most that the platform's documentation allows: check faster",
        );
    }
    if let Some(connections) = front.max_connections.filter(|bound| *bound < API_CONNECTIONS_MIN) {
        let line = front.face.max_connections.or(front.face.global.max_connections).map(|at| at.line);
        found.note(
            line,
            format!("{connections} connections are few for an API: every client holds several watches"),
            "leave max-connections out: 16384",
        );
    }
}

fn bootstrap(front: &Front<'_>, found: &mut Findings) {
    for server in &front.back.servers {
        if !server.name.contains("bootstrap") && !server.host.contains("bootstrap") {
            continue;
        }
        let what =
            format!("the bootstrap machine is still among the servers of {}", quoted(&front.back.name));
        if server.options.backup {
            found.warning(
                server.line,
                what,
                "take it out once the cluster stands; where the front end is derived it retires by itself",
            );
        } else {
            found.warning(
                server.line,
                format!("{what}, and takes its share"),
                "take it out, or backup = true while the cluster is being installed",
            );
        }
    }
}

fn missing(front: &Front<'_>, found: &mut Findings) {
    let checked = front.back.servers.iter().find(|server| server.options.check);
    if let Some(server) = checked
        && front.check.fast_interval.is_none()
        && front.check.interval > SLOW
    {
        found.note(
            server.line,
            "no fastinter: while something changes it is checked no faster than else",
            "fast-interval is 2s here unless set",
        );
    }
    if front.max_connections.is_none() {
        found.note(
            front.face.line,
            format!("no maxconn for {}, so HAProxy's own bound holds", quoted(&front.face.name)),
            "max-connections is 16384 here unless set",
        );
    }
}
