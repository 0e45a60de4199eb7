//! The host names and addresses that a certificate holds for.

use std::net::{IpAddr, SocketAddr};

use faros_common::site::Site;

use crate::exit::Failure;

/// Where the daemon `name` can be reached, as far as the site file says: the bastion's own name and addresses, and
/// wherever else it listens, the VIP among them.
pub(super) fn of(site: &Site, name: &str) -> Vec<String> {
    let mut names = vec![site.absolute("bastion").trim_end_matches('.').to_owned()];
    add(&mut names, [site.lan.address.addr().to_string()]);
    add(&mut names, site.lan.address6.map(|net| net.addr().to_string()));
    for address in listens(site, name) {
        let unspecified = address.ip().is_unspecified();
        // Every address of the family: those that the file knows are in already, but for the VIP.
        let reached = match address.ip() {
            IpAddr::V4(_) if unspecified => Some(IpAddr::V4(site.lan.vip)),
            IpAddr::V6(_) if unspecified => None,
            address => Some(address),
        };
        add(&mut names, reached.map(|address| address.to_string()));
    }
    names
}

/// Adds what is not there yet.
pub(super) fn add(names: &mut Vec<String>, further: impl IntoIterator<Item = String>) {
    for name in further {
        let name = name.to_ascii_lowercase();
        if !names.contains(&name) {
            names.push(name);
        }
    }
}

/// Refuses what is neither an address nor a host name.
pub(super) fn check(names: &[String]) -> Result<(), Failure> {
    for name in names {
        let host = name.strip_prefix("*.").unwrap_or(name);
        let label = |label: &str| {
            let plain = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            plain
                && !label.is_empty()
                && label.len() <= 63
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        // A wrong address would otherwise pass for a name of numbers.
        let numbers = host.split('.').all(|label| label.bytes().all(|byte| byte.is_ascii_digit()));
        let is_name = host.len() <= 253 && host.split('.').all(label) && !numbers;
        if name.parse::<IpAddr>().is_err() && !is_name {
            return Err(Failure::usage(format!(
                "{name:?} is neither a host name nor an address; as in --san dns.example.com --san 192.168.8.1"
            )));
        }
    }
    Ok(())
}

/// Where the daemon `name` listens, of those that the site file knows.
fn listens(site: &Site, name: &str) -> Vec<SocketAddr> {
    match name {
        "dnsd" => {
            let dns = &site.dns;
            [&dns.listen, &dns.tls_listen, &dns.https_listen, &dns.quic_listen]
                .into_iter()
                .flatten()
                .copied()
                .collect()
        }
        "ignition-http" => site.http.listen.clone(),
        "tangd" => [&site.tang.listen, &site.tang.tls_listen].into_iter().flatten().copied().collect(),
        "ntp" => site.ntp.listen.clone(),
        "console" => site.console.listen.clone(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn site(more: &str) -> Site {
        let text = format!(
            "version = 1\n[cluster]\nname = \"edge\"\ndomain = \"example.com\"\nkind = \"none\"\n\
             [lan]\ninterface = \"lan0\"\naddress = \"192.168.8.1/24\"\naddress6 = \"fd08::1/64\"\n\
             vip = \"192.168.8.2\"\n{more}"
        );
        faros_common::site::parse(&text, Path::new("site.toml")).unwrap().site
    }

    const OWN: [&str; 3] = ["bastion.edge.example.com", "192.168.8.1", "fd08::1"];

    #[test]
    fn a_daemon_is_reached_by_the_bastions_name_and_wherever_it_listens() {
        assert_eq!(of(&site(""), "dnsd"), OWN);
        assert_eq!(of(&site(""), "anything"), OWN);
        let everywhere = site("[dns]\nlisten = \"0.0.0.0\"\n");
        assert_eq!(of(&everywhere, "dnsd"), [&OWN[..], &["192.168.8.2"]].concat());
        let vip = site("[dns]\nlisten = [\"192.168.8.1\", \"192.168.8.2\"]\n");
        assert_eq!(of(&vip, "dnsd"), [&OWN[..], &["192.168.8.2"]].concat());
        assert_eq!(of(&vip, "console"), OWN);
        let console = site("[console]\nlisten = \"192.168.8.2\"\n");
        assert_eq!(of(&console, "console"), [&OWN[..], &["192.168.8.2"]].concat());
    }

    #[test]
    fn names_are_told_from_slips() {
        let good = ["dns.example.com", "*.apps.example.com", "a", "192.0.2.1", "fd08::2", "x1.2"];
        assert!(check(&good.map(str::to_owned)).is_ok());
        for bad in ["", "192.0.2.300", "a b", "-a", "a..b", "*", "a.*.b", "https://a", "fd08::g", "ä.example"]
        {
            assert!(check(&[bad.to_owned()]).is_err(), "{bad}");
        }
    }
}
