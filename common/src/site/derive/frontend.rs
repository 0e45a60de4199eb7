//! The front ends that follow from the cluster's kind.

use std::net::SocketAddr;
use std::time::Duration;

use crate::site::build::{CONNECT_TIMEOUT, Defaults, IDLE_TIMEOUT};
use crate::site::{Backend, Balance, Check, CheckKind, ClusterKind, Frontend, Role, Site};

/// The Kubernetes API.
const API_PORT: u16 = 6443;
/// OpenShift's machine-config server: what it hands out is secret, so never towards the WAN.
const MACHINE_CONFIG_PORT: u16 = 22623;
/// The ingress routers.
const INGRESS_PORTS: [(&str, u16); 2] = [("ingress-http", 80), ("ingress-https", 443)];
/// Where OpenShift's ingress routers tell how they are.
const ROUTER_STATUS_PORT: u16 = 1936;

/// Two bad answers, a second apart, take a server out within 6 s of whatever happened to it.
const INTERVAL: Duration = Duration::from_secs(3);
const FAST_INTERVAL: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(2);
/// An API server says that it is ready before its pod network works, so one good answer is not enough.
const RISE: u32 = 3;
const FALL: u32 = 2;
/// For the same reason it gets its share little by little.
const SLOW_START: Duration = Duration::from_secs(60);
/// In TLS and HTTP the client speaks first.
const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(60);

impl Site {
    /// The front ends that follow from the cluster's kind and the nodes' roles; those without any backend are left
    /// out, as are nodes without a reserved address.
    pub(crate) fn derived_frontends(&self, defaults: &Defaults) -> Vec<Frontend> {
        let openshift = match self.cluster.kind {
            ClusterKind::None => return Vec::new(),
            ClusterKind::Openshift => true,
            ClusterKind::Kubernetes => false,
        };
        let https = |path: &str| check(CheckKind::Https, path, None);
        // The name that nodes use, for which every API server has a certificate.
        let host = if openshift { "api-int" } else { "api" };
        let name = format!("{host}.{}", self.cluster.zone());
        let mut frontends = vec![Frontend {
            name: "api".to_owned(),
            check: Check {
                ca: defaults.api_ca.clone(),
                server_name: defaults.api_ca.is_some().then_some(name),
                ..https("/readyz")
            },
            backends: self.control_plane(API_PORT),
            slow_start: SLOW_START,
            ..self.frontend(defaults, API_PORT)
        }];
        if openshift {
            frontends.push(Frontend {
                name: "machine-config".to_owned(),
                check: https("/healthz"),
                backends: self.control_plane(MACHINE_CONFIG_PORT),
                lan_only: true,
                slow_start: SLOW_START,
                ..self.frontend(defaults, MACHINE_CONFIG_PORT)
            });
        }
        for (name, port) in INGRESS_PORTS {
            frontends.push(Frontend {
                name: name.to_owned(),
                balance: Balance::Source,
                check: if openshift {
                    check(CheckKind::Http, "/healthz/ready", Some(ROUTER_STATUS_PORT))
                } else {
                    check(CheckKind::Tcp, "/", None)
                },
                backends: self.ingress(port),
                send_proxy: defaults.ingress_send_proxy,
                ..self.frontend(defaults, port)
            });
        }
        frontends.retain(|frontend| !frontend.backends.is_empty());
        frontends
    }

    fn frontend(&self, defaults: &Defaults, port: u16) -> Frontend {
        Frontend {
            name: String::new(),
            listen: defaults.listen.iter().map(|&address| SocketAddr::new(address, port)).collect(),
            balance: Balance::LeastConnections,
            plane: self.lb.plane,
            check: check(CheckKind::Tcp, "/", None),
            backends: Vec::new(),
            derived: true,
            lan_only: false,
            connect_timeout: CONNECT_TIMEOUT,
            idle_timeout: IDLE_TIMEOUT,
            first_byte_timeout: Some(FIRST_BYTE_TIMEOUT),
            max_connections: defaults.max_connections,
            max_per_source: defaults.max_per_source,
            allow: Vec::new(),
            accept_proxy: Vec::new(),
            send_proxy: None,
            congestion_control: defaults.congestion_control.clone(),
            slow_start: Duration::ZERO,
            close_on_down: true,
            log: defaults.log,
        }
    }

    /// The control plane, with the bootstrap machine serving while no other does.
    fn control_plane(&self, port: u16) -> Vec<Backend> {
        let mut backends = self.backends(Role::ControlPlane, port);
        let bootstrap = self.backends(Role::Bootstrap, port);
        backends.extend(bootstrap.into_iter().map(|backend| Backend { backup: true, ..backend }));
        backends
    }

    /// The workers, or the control plane where there are none.
    fn ingress(&self, port: u16) -> Vec<Backend> {
        let workers = self.backends(Role::Worker, port);
        if workers.is_empty() { self.backends(Role::ControlPlane, port) } else { workers }
    }

    fn backends(&self, role: Role, port: u16) -> Vec<Backend> {
        let nodes = self.nodes.iter().filter(|node| node.role == role);
        nodes
            .filter_map(|node| {
                let address = SocketAddr::new(node.address?.into(), port);
                Some(Backend { name: node.name.clone(), address, weight: 1, backup: false })
            })
            .collect()
    }
}

fn check(kind: CheckKind, path: &str, port: Option<u16>) -> Check {
    Check {
        kind,
        path: path.to_owned(),
        port,
        interval: INTERVAL,
        fast_interval: FAST_INTERVAL,
        timeout: TIMEOUT,
        rise: RISE,
        fall: FALL,
        status: vec![200..=299],
        body: None,
        ca: None,
        server_name: None,
    }
}
