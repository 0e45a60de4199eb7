//! Front ends as `[[lb.frontend]]` tables.

use std::fmt::Write;
use std::time::Duration;

use faros_common::site::{Balance, CheckKind, ProxyVersion};

use super::convert::{Backend, Front};

/// All tables, those that cannot be live as comments.
pub(super) fn toml(fronts: &[Front<'_>]) -> String {
    let tables: Vec<String> = fronts.iter().map(commented).collect();
    tables.join("\n")
}

fn commented(front: &Front<'_>) -> String {
    let table = table(front);
    let why = if front.derived {
        "# Derived from cluster.kind and the nodes: not needed.\n"
    } else if front.is_live() {
        return table;
    } else {
        "# Addresses are missing.\n"
    };
    let lines: String = table.lines().map(|line| format!("# {line}\n")).collect();
    format!("{why}{lines}")
}

fn table(front: &Front<'_>) -> String {
    let mut text = String::new();
    let mut key = |name: &str, value: String| {
        let _ = writeln!(text, "{name} = {value}");
    };
    let list = |texts: Vec<String>| format!("[{}]", texts.join(", "));
    key("name", quoted(&front.name));
    key("listen", list(front.listen.iter().map(|socket| quoted(&socket.to_string())).collect()));
    key("balance", quoted(balance(front.balance)));
    key("check", check(front));
    if let Some(connect) = front.connect {
        key("connect-timeout", time(connect));
    }
    if let Some(idle) = front.idle {
        key("idle-timeout", time(idle));
    }
    if let Some(connections) = front.max_connections {
        key("max-connections", connections.to_string());
    }
    if front.lan_only {
        key("lan-only", "true".to_owned());
    }
    if front.accept_proxy {
        // HAProxy believes anybody; the site file's own check says that somebody should narrow it.
        key("accept-proxy", "[\"0.0.0.0/0\", \"::/0\"]".to_owned());
    }
    if let Some(version) = front.send_proxy {
        key("send-proxy", quoted(if version == ProxyVersion::V1 { "v1" } else { "v2" }));
    }
    if let Some(start) = front.slow_start {
        key("slow-start", time(start));
    }
    if front.close_on_down {
        key("close-on-down", "true".to_owned());
    }
    let backends: String = front.backends.iter().map(backend).collect();
    key("backend", format!("[\n{backends}]"));
    format!("[[lb.frontend]]\n{text}")
}

fn check(front: &Front<'_>) -> String {
    let check = &front.check;
    let kind = match check.kind {
        CheckKind::Tcp => "tcp",
        CheckKind::Http => "http",
        CheckKind::Https => "https",
    };
    let mut keys = vec![format!("kind = {}", quoted(kind))];
    keys.extend(check.path.as_ref().map(|path| format!("path = {}", quoted(path))));
    keys.extend(check.port.map(|port| format!("port = {port}")));
    keys.push(format!("interval = {}", time(check.interval)));
    keys.extend(check.fast_interval.map(|fast| format!("fast-interval = {}", time(fast))));
    keys.extend(check.timeout.map(|timeout| format!("timeout = {}", time(timeout))));
    keys.push(format!("rise = {}, fall = {}", check.rise, check.fall));
    if !check.status.is_empty() {
        let ranges = check.status.iter().map(|range| match range.start() == range.end() {
            true => range.start().to_string(),
            false => format!("\"{}-{}\"", range.start(), range.end()),
        });
        keys.push(format!("status = [{}]", ranges.collect::<Vec<_>>().join(", ")));
    }
    keys.extend(check.body.as_ref().map(|body| format!("body = {}", quoted(body))));
    keys.extend(check.ca.as_ref().map(|ca| format!("ca = {}", quoted(ca))));
    keys.extend(check.server_name.as_ref().map(|name| format!("server-name = {}", quoted(name))));
    format!("{{ {} }}", keys.join(", "))
}

fn backend(backend: &Backend) -> String {
    let (comment, address) = match backend.address {
        Some(address) => ("  ", address.to_string()),
        None => ("  # ", format!("ADDRESS:{}", backend.port)),
    };
    let mut keys = vec![format!("name = {}, address = {}", quoted(&backend.name), quoted(&address))];
    if backend.weight != 1 {
        keys.push(format!("weight = {}", backend.weight));
    }
    if backend.backup {
        keys.push("backup = true".to_owned());
    }
    let host =
        if backend.address.is_none() { format!(" # {}", backend.host.escape_debug()) } else { String::new() };
    format!("{comment}{{ {} }},{host}\n", keys.join(", "))
}

fn balance(balance: Balance) -> &'static str {
    match balance {
        Balance::LeastConnections => "least-connections",
        Balance::RoundRobin => "round-robin",
        Balance::RandomTwo => "random-two",
        Balance::Source => "source",
    }
}

fn time(time: Duration) -> String {
    // Finer than the site file needs it.
    let whole = Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    quoted(&humantime::format_duration(whole).to_string())
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            control if control.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(control));
            }
            plain => quoted.push(plain),
        }
    }
    quoted.push('"');
    quoted
}
