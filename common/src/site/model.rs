//! The site as its daemons see it: proven values, defaults filled in.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::Serialize;

use super::Mac;

/// A whole site. See `site.toml` for the meaning of every key.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Site {
    /// The cluster and its zone.
    pub cluster: Cluster,
    /// The side of the nodes.
    pub lan: Lan,
    /// The uplink, where there is one.
    pub wan: Option<Wan>,
    /// Routing, NAT and firewall.
    pub gateway: Gateway,
    /// DHCP.
    pub dhcp: Dhcp,
    /// DNS.
    pub dns: Dns,
    /// TFTP.
    pub tftp: Tftp,
    /// Boot scripts, Ignition and files.
    pub http: Http,
    /// Disk unlocking.
    pub tang: Tang,
    /// Time.
    pub ntp: Ntp,
    /// Balancing.
    pub lb: Lb,
    /// The web console.
    pub console: Console,
    /// What the rendered installation files need.
    pub install: Option<Install>,
    /// Boot profiles by name.
    pub profiles: BTreeMap<String, Profile>,
    /// The machines of the cluster.
    pub nodes: Vec<Node>,
    /// Guests of the bastion.
    pub vms: Vec<Vm>,
    /// Everything else with a fixed address and a name.
    pub hosts: Vec<Host>,
}

/// The cluster's name and kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cluster {
    /// Its short name.
    pub name: String,
    /// The domain above it.
    pub domain: String,
    /// Which records and front ends are derived.
    pub kind: ClusterKind,
}

impl Cluster {
    /// The cluster zone without a trailing dot: `edge.example.com`.
    pub fn zone(&self) -> String {
        format!("{}.{}", self.name, self.domain)
    }
}

/// What kind of cluster runs on the nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClusterKind {
    /// OpenShift or OKD.
    Openshift,
    /// Any other Kubernetes.
    Kubernetes,
    /// No cluster: nothing is derived.
    None,
}

/// The network of the nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lan {
    /// The interface that carries it.
    pub interface: String,
    /// The ports of the bridge; empty where the interface exists already.
    pub members: Vec<String>,
    /// The bastion's address with the prefix of the network.
    pub address: Ipv4Net,
    /// The bastion's IPv6 address, where IPv6 is used.
    pub address6: Option<Ipv6Net>,
    /// Where `api`, `api-int` and `*.apps` point; the bastion's own address unless set.
    pub vip: Ipv4Addr,
    /// Addresses for dynamic leases.
    pub pool: Option<Ipv4Range>,
    /// Whether the gateway builds interface, addresses and routes itself (appliance).
    pub manage: bool,
}

impl Lan {
    /// The network's prefix, host bits cleared.
    pub fn prefix(&self) -> Ipv4Net {
        self.address.trunc()
    }
}

/// An inclusive range of IPv4 addresses: `192.168.8.128-192.168.8.250`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Ipv4Range {
    /// The lowest address.
    pub first: Ipv4Addr,
    /// The highest address; never below `first`.
    pub last: Ipv4Addr,
}

impl Ipv4Range {
    /// Whether `address` lies in the range.
    pub fn contains(self, address: Ipv4Addr) -> bool {
        (self.first..=self.last).contains(&address)
    }

    /// How many addresses the range holds.
    pub fn len(self) -> usize {
        (u32::from(self.last) - u32::from(self.first)) as usize + 1
    }

    /// Never: a range holds at least one address.
    pub fn is_empty(self) -> bool {
        false
    }

    /// Every address, from the lowest.
    pub fn addresses(self) -> impl DoubleEndedIterator<Item = Ipv4Addr> {
        (u32::from(self.first)..=u32::from(self.last)).map(Ipv4Addr::from)
    }
}

/// The uplink.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Wan {
    /// Its interface.
    pub interface: String,
    /// How it gets its address.
    pub address: WanAddress,
}

/// How the uplink gets its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum WanAddress {
    /// From the network it is plugged into.
    Dhcp,
    /// A fixed one.
    Static(IpNet),
}

/// How packets cross between the sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum GatewayMode {
    /// Only the WAN address is reachable.
    Pat,
    /// Hosts outside may route to what is published.
    Nat,
    /// No forwarding.
    Off,
}

/// What `gateway.allow` may open to the WAN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "each is the service of that name")]
pub enum Published {
    Ssh,
    Console,
    Api,
    Ingress,
    Dns,
    Ntp,
    Tang,
    Http,
}

/// Routing, NAT and firewall.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Gateway {
    /// Whether the daemon runs here.
    pub enable: bool,
    /// Who does it instead.
    pub external: Option<IpAddr>,
    /// How packets cross.
    pub mode: GatewayMode,
    /// What is open to the WAN.
    pub allow: Vec<Published>,
    /// Who on the WAN may reach ssh and console.
    pub admins: Vec<IpNet>,
    /// WAN ports that lead to a LAN address.
    pub forwards: Vec<Forward>,
    /// What the LAN may open towards the WAN; empty: anything.
    pub egress: Vec<Egress>,
}

/// A transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "well known")]
pub enum Transport {
    Tcp,
    Udp,
}

/// One WAN port that leads to a LAN address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Forward {
    /// What it is called in listings.
    pub name: String,
    /// Its transport.
    pub protocol: Transport,
    /// The WAN port.
    pub port: u16,
    /// Where it leads.
    pub to: SocketAddrV4,
    /// Who may use it; empty: anyone.
    pub from: Vec<IpNet>,
}

/// Destinations that the LAN may reach.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Egress {
    /// Prefixes.
    pub to: Vec<IpNet>,
    /// Ports; empty: all.
    pub ports: Vec<PortSpec>,
}

/// A port or a range of ports of one transport: `tcp/443`, `udp/1000-2000`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PortSpec {
    /// Transport.
    pub protocol: Transport,
    /// Ports, inclusive.
    pub ports: RangeInclusive<u16>,
}

/// DHCP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Dhcp {
    /// Whether the daemon runs here.
    pub enable: bool,
    /// Who does it instead.
    pub external: Option<IpAddr>,
    /// Where it listens; port 67 of the LAN address unless set.
    pub listen: Vec<SocketAddr>,
    /// How long a lease lasts.
    pub lease: Duration,
    /// Machines that are never answered.
    pub ignore: Vec<Mac>,
    /// Options for every client, by number.
    pub options: Vec<DhcpOption>,
    /// Whether unknown addresses are refused with NAK (RFC 2131 section 4.3.2).
    pub authoritative: bool,
    /// Whether IPv6 router advertisements are sent on the LAN, so that firmware need not wait for one.
    pub router_advertisements: bool,
}

/// A DHCP option given by number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DhcpOption {
    /// The option's code, 1 to 254.
    pub code: u8,
    /// Its bytes as they go onto the wire.
    pub value: Vec<u8>,
}

/// DNS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Dns {
    /// Whether the daemon runs here.
    pub enable: bool,
    /// Who does it instead.
    pub external: Option<IpAddr>,
    /// Where it listens; port 53 of the LAN addresses unless set.
    pub listen: Vec<SocketAddr>,
    /// Where questions about the rest of the world go.
    pub forward: Vec<DnsUpstream>,
    /// Names kept answerable while the WAN is down.
    pub pin: Vec<String>,
    /// Who may transfer zones, besides the bastion itself.
    pub transfer: Vec<IpNet>,
    /// Records beside the derived ones.
    pub records: Vec<DnsRecord>,
    /// Zones with servers of their own.
    pub conditional: Vec<DnsConditional>,
}

/// A server that questions are forwarded to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DnsUpstream {
    /// Its address.
    pub address: SocketAddr,
    /// The name in its certificate; set for DNS over TLS, absent for plain UDP and TCP.
    pub tls_name: Option<String>,
}

/// A configured record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DnsRecord {
    /// The absolute owner name with its trailing dot.
    pub name: String,
    /// The type's mnemonic, upper case.
    pub kind: String,
    /// The data in master file form.
    pub value: String,
    /// Time to live, where it differs from the zone's.
    pub ttl: Option<Duration>,
}

/// A zone with servers of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DnsConditional {
    /// The zone, absolute.
    pub zone: String,
    /// Its servers.
    pub forward: Vec<DnsUpstream>,
}

/// TFTP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tftp {
    /// Whether the daemon runs here.
    pub enable: bool,
    /// Who does it instead.
    pub external: Option<IpAddr>,
    /// Where it listens; port 69 of the LAN address unless set.
    pub listen: Vec<SocketAddr>,
    /// The tree it serves, read-only.
    pub root: PathBuf,
}

/// Boot scripts, Ignition and files over HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Http {
    /// Whether the daemon runs here.
    pub enable: bool,
    /// Who does it instead.
    pub external: Option<IpAddr>,
    /// Where it listens; [`Http::port`] of the LAN address unless set.
    pub listen: Vec<SocketAddr>,
    /// Its port.
    pub port: u16,
    /// The tree it serves.
    pub root: PathBuf,
}

/// Whom tangd answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TangPolicy {
    /// Everybody on the LAN.
    Open,
    /// Addresses of nodes only.
    KnownNodes,
}

/// Disk unlocking.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tang {
    /// Whether the daemon runs here.
    pub enable: bool,
    /// Who does it instead.
    pub external: Option<IpAddr>,
    /// Where it listens; [`Tang::port`] of the LAN address unless set.
    pub listen: Vec<SocketAddr>,
    /// Its port.
    pub port: u16,
    /// The directory of JWK files.
    pub keys: PathBuf,
    /// Whom it answers.
    pub policy: TangPolicy,
}

/// A source of time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NtpSource {
    /// How it is asked.
    pub kind: NtpSourceKind,
    /// Host name or address; a path for reference clocks.
    pub host: String,
    /// The port, where it is not the usual one.
    pub port: Option<u16>,
}

/// How a source of time is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the scheme of the URL says it")]
pub enum NtpSourceKind {
    Ntp,
    Nts,
    Pool,
    Sock,
    Shm,
    Pps,
}

/// Time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ntp {
    /// Whether the daemon runs here.
    pub enable: bool,
    /// Who does it instead.
    pub external: Option<IpAddr>,
    /// Where it listens; port 123 of the LAN addresses unless set.
    pub listen: Vec<SocketAddr>,
    /// Where the time comes from.
    pub sources: Vec<NtpSource>,
    /// The stratum served without a source, if any is.
    pub local_stratum: Option<u8>,
    /// How long without any source before that.
    pub local_after: Duration,
}

/// Who forwards the bytes of a front end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Plane {
    /// Decided per front end, with a reason.
    Auto,
    /// The daemon.
    User,
    /// The kernel.
    Kernel,
}

/// Layer-4 balancing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Lb {
    /// Whether the daemon runs here.
    pub enable: bool,
    /// Who does it instead.
    pub external: Option<IpAddr>,
    /// The plane of front ends that say nothing else.
    pub plane: Plane,
    /// How long a stopping front end lets connections finish.
    pub drain: Duration,
    /// All front ends: the derived ones first, then the configured ones.
    pub frontends: Vec<Frontend>,
}

/// How a backend is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "well known")]
pub enum Balance {
    LeastConnections,
    RoundRobin,
    RandomTwo,
    Source,
}

/// Addresses that are balanced over backends.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Frontend {
    /// Its name.
    pub name: String,
    /// Where it listens.
    pub listen: Vec<SocketAddr>,
    /// How a backend is chosen.
    pub balance: Balance,
    /// Who forwards.
    pub plane: Plane,
    /// How backends are checked.
    pub check: Check,
    /// The backends.
    pub backends: Vec<Backend>,
    /// Whether it follows from the cluster's kind instead of standing in the file.
    pub derived: bool,
    /// Whether it may be reached from the WAN at all.
    pub lan_only: bool,
}

/// One server behind a front end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Backend {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: SocketAddr,
    /// Its share, 1 unless set.
    pub weight: u16,
    /// Whether it serves only while no other does (the bootstrap machine).
    pub backup: bool,
}

/// What a health check speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "well known")]
pub enum CheckKind {
    Tcp,
    Http,
    Https,
}

/// A health check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What it speaks.
    pub kind: CheckKind,
    /// What it asks for (http, https).
    pub path: String,
    /// The port, where it is not the backend's.
    pub port: Option<u16>,
    /// How often.
    pub interval: Duration,
    /// Good answers until up.
    pub rise: u32,
    /// Bad answers until down.
    pub fall: u32,
}

/// The web console.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Console {
    /// Whether the daemon runs here.
    pub enable: bool,
    /// Where it listens; [`Console::port`] of the LAN address unless set.
    pub listen: Vec<SocketAddr>,
    /// Its port.
    pub port: u16,
}

/// Where a secret stands; never the secret itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SecretSource {
    /// A file, without its final newline.
    File(PathBuf),
    /// An environment variable.
    Env(String),
    /// A systemd credential.
    Credential(String),
}

/// How a cluster is installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum InstallMethod {
    /// Agent-based.
    Agent,
    /// User-provisioned, with a bootstrap machine.
    Upi,
}

/// What the rendered installation files need.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Install {
    /// The release to install.
    pub version: String,
    /// The way.
    pub method: InstallMethod,
    /// The pull secret.
    pub pull_secret: Option<SecretSource>,
    /// Keys of those who may log in.
    pub ssh_keys: Vec<String>,
}

/// What a machine boots when it is armed for installation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Profile {
    /// Its name.
    pub name: String,
    /// The kernel, below the boot roots.
    pub kernel: String,
    /// Initial RAM disks, below the boot roots, in order.
    pub initrd: Vec<String>,
    /// The kernel's arguments, with `{placeholders}`.
    pub args: String,
    /// The Ignition file below the HTTP root, per role; `"*"` for all others.
    pub ignition: BTreeMap<String, String>,
}

impl Profile {
    /// The Ignition file of machines with `role`, if the profile has one.
    pub fn ignition_for(&self, role: Role) -> Option<&str> {
        self.ignition.get(role.name()).or_else(|| self.ignition.get("*")).map(String::as_str)
    }
}

/// What a machine does in the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "well known")]
pub enum Role {
    Bootstrap,
    ControlPlane,
    Worker,
    Other,
}

impl Role {
    /// The name in the site file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bootstrap => "bootstrap",
            Self::ControlPlane => "control-plane",
            Self::Worker => "worker",
            Self::Other => "other",
        }
    }
}

/// A machine of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Node {
    /// Its host name.
    pub name: String,
    /// What it does.
    pub role: Role,
    /// The addresses of its network cards; at least one unless it is known by [`Node::uuid`].
    pub macs: Vec<Mac>,
    /// The SMBIOS UUID, lower case with dashes, where the file gives it.
    pub uuid: Option<String>,
    /// Its reserved address; without one it gets a dynamic lease under its name.
    pub address: Option<Ipv4Addr>,
    /// Its reserved IPv6 address.
    pub address6: Option<Ipv6Addr>,
    /// The disk that the system is installed on.
    pub disk: Option<String>,
    /// The boot profile, a key of [`Site::profiles`].
    pub profile: Option<String>,
    /// Its management controller.
    pub bmc: Option<Bmc>,
    /// DHCP options of its own, by number.
    pub options: Vec<DhcpOption>,
}

/// How the certificate of a management controller is judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BmcTls {
    /// The first certificate seen is pinned.
    TrustOnFirstUse,
    /// Not at all.
    Insecure,
    /// By this authority.
    Ca(PathBuf),
}

/// A management controller, with `[bmc-defaults]` filled in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Bmc {
    /// `redfish://…` or `ipmi://…`.
    pub url: String,
    /// The card's address.
    pub mac: Option<Mac>,
    /// The reserved address.
    pub address: Option<Ipv4Addr>,
    /// Who logs in.
    pub user: Option<String>,
    /// With what.
    pub password: Option<SecretSource>,
    /// How its certificate is judged.
    pub tls: BmcTls,
}

/// A guest of the bastion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Vm {
    /// Its name; the node of that name, if any, is its identity.
    pub node: String,
    /// Processors.
    pub vcpus: u16,
    /// Memory in bytes.
    pub memory: u64,
    /// Disk size in bytes.
    pub disk: u64,
    /// Whether it starts with the bastion.
    pub autostart: bool,
}

/// Anything else with a fixed address and a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Host {
    /// Its name.
    pub name: String,
    /// Its card, where it gets its address by DHCP.
    pub mac: Option<Mac>,
    /// Its address.
    pub address: Ipv4Addr,
    /// DHCP options of its own, by number.
    pub options: Vec<DhcpOption>,
}
