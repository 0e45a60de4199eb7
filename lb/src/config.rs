//! Our part of the site file.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use faros_common::site::{
    Backend, Balance, Check, CheckKind, Diagnostic, Frontend, GatewayMode, Plane, ProxyVersion, Published,
    Severity, Site, Transport,
};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::checks::{Authority, Kind, Probe, Question, Trust};
use crate::kernel::Surroundings;
use crate::pool::{Limits, ProxyOut, Settings};
use crate::protocol::health::Rules;

/// What `lb` needs to know of a site.
#[derive(Clone, Debug)]
pub struct Config {
    /// Every front end, the derived ones first.
    pub frontends: Vec<FrontConfig>,
    /// How long connections may take to end once the daemon stops.
    pub drain: Duration,
    /// The address that follows the health of what is behind it.
    pub vip: IpAddr,
    /// Where this host stands in the network.
    pub surroundings: Surroundings,
    /// Addresses of machines by their names, so that `explain` can be asked for a node.
    pub machines: Vec<(String, IpAddr)>,
}

/// One front end, proven.
#[derive(Clone, Debug, PartialEq)]
pub struct FrontConfig {
    /// Its name.
    pub name: Arc<str>,
    /// Where it listens.
    pub listen: Vec<SocketAddr>,
    /// How a server is chosen.
    pub balance: Balance,
    /// Who shall forward.
    pub plane: Plane,
    /// How servers are checked.
    pub check: Check,
    /// For how long a server that comes up gets a growing share.
    pub slow_start: Duration,
    /// How connections are treated.
    pub settings: Settings,
    /// The servers of the site file.
    pub servers: Vec<Backend>,
    /// Whether it follows from the cluster's kind: its backup is the bootstrap machine, which retires.
    pub derived: bool,
    /// Whether it is for the LAN side and this host alone.
    pub lan_only: bool,
    /// Whether it is published on the WAN.
    pub published: bool,
    /// Why not everybody may connect, where that does not stand in the site file itself.
    pub closed_because: Option<&'static str>,
    /// What only the daemon itself can do of what is asked for, for `plane = "auto"`.
    pub needs_user_plane: Option<&'static str>,
}

impl Config {
    /// Derives our part of `site`.
    ///
    /// # Errors
    /// None: what could be wrong was found when the site file was read.
    pub fn of(site: &Site) -> Result<Self, Vec<Diagnostic>> {
        Ok(Self {
            frontends: site.lb.frontends.iter().map(|frontend| front(site, frontend)).collect(),
            drain: site.lb.drain,
            vip: site.lan.vip.into(),
            surroundings: Surroundings {
                lan_interface: site.lan.interface.clone(),
                lan: own_addresses(site),
                wan_interface: site.wan.as_ref().map(|wan| wan.interface.clone()),
                gateway: site.gateway.enable && site.gateway.mode != GatewayMode::Off,
            },
            machines: site
                .reservations()
                .into_iter()
                .flat_map(|known| {
                    let addresses = known.address.map(IpAddr::V4).into_iter();
                    let addresses = addresses.chain(known.address6.map(IpAddr::V6));
                    let name = known.name;
                    addresses.map(move |address| (name.clone(), address)).collect::<Vec<_>>()
                })
                .collect(),
        })
    }

    /// What is asked for and not there (yet): files of authorities.
    pub fn warnings(&self) -> Vec<Diagnostic> {
        let mut files: Vec<_> =
            self.frontends.iter().filter_map(|front| Some((&front.name, front.check.ca.as_ref()?))).collect();
        files.dedup_by_key(|(_, file)| *file);
        let broken = |(name, file): (&Arc<str>, &std::path::PathBuf)| {
            let failure = Authority::try_file(file).err()?;
            Some(Diagnostic {
                severity: Severity::Warning,
                place: None,
                key: format!("lb.frontend {name}: check.ca"),
                message: failure.to_string(),
                help: Some("until it can be read, every check of this front end fails".to_owned()),
            })
        };
        files.into_iter().filter_map(broken).collect()
    }

    /// Every address that is listened on, with its front end.
    pub fn listeners(&self) -> impl Iterator<Item = (&FrontConfig, SocketAddr)> {
        self.frontends.iter().flat_map(|front| front.listen.iter().map(move |&address| (front, address)))
    }

    /// Whether the kernel may forward for any front end: then the right to tell it so is kept.
    pub fn may_use_kernel(&self) -> bool {
        self.frontends.iter().any(|front| front.plane != Plane::User)
    }
}

impl FrontConfig {
    /// What is asked of a server at `address`.
    pub fn probe(&self, address: SocketAddr) -> Probe {
        let check = &self.check;
        let question = || Question {
            path: check.path.clone(),
            host: check.server_name.clone().unwrap_or_default(),
            statuses: check.status.iter().map(|range| (*range.start(), *range.end())).collect(),
            body: check.body.clone(),
        };
        let kind = match check.kind {
            CheckKind::Tcp => Kind::Tcp,
            CheckKind::Http => Kind::Http(question()),
            CheckKind::Https => {
                let trust = Trust { ca: check.ca.clone(), server_name: check.server_name.clone() };
                Kind::Https(question(), trust)
            }
        };
        let target = SocketAddr::new(address.ip(), check.port.unwrap_or(address.port()));
        // Another port is another service, which expects no header.
        let proxy = self.settings.proxy_out.filter(|_| check.port.is_none());
        Probe { target, kind, proxy, timeout: check.timeout }
    }

    /// How servers are checked, for their machines.
    pub fn rules(&self) -> Rules {
        Rules {
            interval: self.check.interval,
            fast_interval: self.check.fast_interval,
            timeout: self.check.timeout,
            rise: self.check.rise,
            fall: self.check.fall,
            slow_start: self.slow_start,
        }
    }

    /// Whether `source` may connect.
    pub fn admits(&self, source: IpAddr) -> bool {
        let source = source.to_canonical();
        self.settings.allow.is_empty() || self.settings.allow.iter().any(|prefix| prefix.contains(&source))
    }
}

fn front(site: &Site, frontend: &Frontend) -> FrontConfig {
    let (allow, closed_because) = admitted(site, frontend);
    FrontConfig {
        name: frontend.name.as_str().into(),
        listen: frontend.listen.clone(),
        balance: frontend.balance,
        plane: frontend.plane,
        check: frontend.check.clone(),
        slow_start: frontend.slow_start,
        settings: Settings {
            connect: frontend.connect_timeout,
            idle: frontend.idle_timeout,
            first_byte: frontend.first_byte_timeout,
            limits: Limits { connections: frontend.max_connections, per_source: frontend.max_per_source },
            allow,
            proxy_in: frontend.accept_proxy.clone(),
            proxy_out: frontend.send_proxy.map(|version| match version {
                ProxyVersion::V1 => ProxyOut::V1,
                ProxyVersion::V2 => ProxyOut::V2,
            }),
            congestion: frontend.congestion_control.clone(),
            log: frontend.log,
            close_on_down: frontend.close_on_down,
        },
        servers: frontend.backends.clone(),
        derived: frontend.derived,
        lan_only: frontend.lan_only,
        published: !frontend.lan_only && published(site, frontend),
        closed_because,
        needs_user_plane: needs_user_plane(frontend),
    }
}

/// Who may connect, and why not everybody. The WAN gets what `[gateway] allow` or a forward publishes, or what the front
/// end's own `allow` names; everything else is for the LAN and this host.
fn admitted(site: &Site, frontend: &Frontend) -> (Vec<IpNet>, Option<&'static str>) {
    let inside = inside(site);
    if frontend.lan_only {
        let within = |prefix: &&IpNet| inside.iter().any(|own| own.contains(*prefix));
        let named: Vec<IpNet> = frontend.allow.iter().filter(within).copied().collect();
        // An empty list would mean everybody.
        let allow = if named.is_empty() { inside } else { named };
        return (allow, Some("the front end is for the LAN only"));
    }
    if !frontend.allow.is_empty() {
        return (frontend.allow.clone(), None);
    }
    if site.wan.is_none() || published(site, frontend) {
        return (Vec::new(), None);
    }
    (inside, Some("gateway.allow does not publish the front end"))
}

fn published(site: &Site, frontend: &Frontend) -> bool {
    let by_name = match frontend.name.as_str() {
        "api" => Some(Published::Api),
        "ingress-http" | "ingress-https" => Some(Published::Ingress),
        _ => None,
    };
    if frontend.derived && by_name.is_some_and(|name| site.gateway.allow.contains(&name)) {
        return true;
    }
    site.gateway.forwards.iter().any(|forward| {
        forward.protocol == Transport::Tcp && frontend.listen.contains(&SocketAddr::V4(forward.to))
    })
}

fn own_addresses(site: &Site) -> Vec<IpNet> {
    std::iter::once(IpNet::V4(site.lan.address)).chain(site.lan.address6.map(IpNet::V6)).collect()
}

fn networks(site: &Site) -> Vec<IpNet> {
    own_addresses(site).iter().map(IpNet::trunc).collect()
}

/// The networks of the LAN, and this host.
fn inside(site: &Site) -> Vec<IpNet> {
    let mut inside = networks(site);
    inside.push(IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8)));
    inside.push(IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128)));
    inside.push(IpNet::V4(Ipv4Net::new_assert(site.lan.vip, 32)));
    inside
}

fn needs_user_plane(frontend: &Frontend) -> Option<&'static str> {
    // Derived front ends have one as a courtesy.
    let asked_for = frontend.first_byte_timeout.is_some() && !frontend.derived;
    asked_for.then_some("first-byte-timeout: only the user plane waits for the first octet")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The site file of a cluster with three machines, with `more` appended.
    pub(crate) fn site(more: &str) -> Site {
        let text = format!(
            r#"
version = 1
[cluster]
name = "edge"
domain = "example.com"
kind = "openshift"
[lan]
interface = "lan0"
address = "192.168.8.1/24"
vip = "192.168.8.2"
{more}
[[node]]
name = "cp1"
role = "control-plane"
mac = "52:54:00:00:08:11"
address = "192.168.8.11"
[[node]]
name = "cp2"
role = "control-plane"
mac = "52:54:00:00:08:12"
address = "192.168.8.12"
[[node]]
name = "boot"
role = "bootstrap"
mac = "52:54:00:00:08:10"
address = "192.168.8.10"
"#
        );
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        match faros_common::site::load(file.path()) {
            Ok(loaded) => loaded.site,
            Err(report) => panic!("{report}"),
        }
    }

    const WAN: &str = "[wan]\ninterface = \"eno1\"\naddress = \"dhcp\"\n";

    fn front_of<'a>(config: &'a Config, name: &str) -> &'a FrontConfig {
        config.frontends.iter().find(|front| &*front.name == name).unwrap()
    }

    #[test]
    fn machine_configs_are_for_the_lan_only_whatever_the_gateway_allows() {
        let config = Config::of(&site(&format!("{WAN}[gateway]\nallow = [\"api\", \"ingress\"]"))).unwrap();
        let front = front_of(&config, "machine-config");
        assert!(front.admits("192.168.8.11".parse().unwrap()));
        assert!(front.admits("::ffff:192.168.8.11".parse().unwrap()));
        assert!(front.admits("127.0.0.1".parse().unwrap()));
        assert!(!front.admits("203.0.113.5".parse().unwrap()));
        assert!(front_of(&config, "api").admits("203.0.113.5".parse().unwrap()));
    }

    #[test]
    fn the_wan_gets_only_what_the_gateway_publishes() {
        let config = Config::of(&site(&format!("{WAN}[gateway]\nallow = [\"ingress\"]"))).unwrap();
        let outside: IpAddr = "203.0.113.5".parse().unwrap();
        assert!(!front_of(&config, "api").admits(outside));
        assert!(front_of(&config, "ingress-https").admits(outside));
        assert!(front_of(&config, "api").closed_because.is_some());
    }

    #[test]
    fn a_check_of_the_port_itself_greets_as_connections_do() {
        let front = |check: &str| {
            format!(
                "[[lb.frontend]]\nname = \"mail\"\nlisten = [\"192.168.8.2:25\"]\nsend-proxy = \"v2\"\n{check}\n\
                 backend = [{{ name = \"a\", address = \"192.168.8.60:25\" }}]\n"
            )
        };
        let greeting = |check: &str| {
            let config = Config::of(&site(&front(check))).unwrap();
            front_of(&config, "mail").probe("192.168.8.60:25".parse().unwrap()).proxy
        };
        assert_eq!(greeting(""), Some(crate::pool::ProxyOut::V2));
        assert_eq!(greeting("check = { kind = \"http\", port = 8025 }"), None);
    }

    #[test]
    fn without_a_wan_there_is_nobody_to_refuse() {
        let config = Config::of(&site("")).unwrap();
        assert!(front_of(&config, "api").settings.allow.is_empty());
        assert!(!front_of(&config, "machine-config").settings.allow.is_empty());
    }

    #[test]
    fn a_check_may_ask_another_port_than_clients_do() {
        let config = Config::of(&site("")).unwrap();
        let probe = front_of(&config, "ingress-https").probe("192.168.8.11:443".parse().unwrap());
        assert_eq!(probe.target, "192.168.8.11:1936".parse().unwrap());
        assert!(matches!(&probe.kind, Kind::Http(question) if question.path == "/healthz/ready"));
        let api = front_of(&config, "api").probe("192.168.8.11:6443".parse().unwrap());
        assert_eq!(api.target.port(), 6443);
        assert!(matches!(&api.kind, Kind::Https(question, _) if question.path == "/readyz"));
    }
}
