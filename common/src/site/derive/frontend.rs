//! The front ends that follow from the cluster's kind.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::site::build::{CHECK_FALL, CHECK_INTERVAL, CHECK_RISE};
use crate::site::{Backend, Balance, Check, CheckKind, ClusterKind, Frontend, Role, Site};

/// The Kubernetes API.
const API_PORT: u16 = 6443;
/// OpenShift's machine-config server: what it hands out is secret, so never towards the WAN.
const MACHINE_CONFIG_PORT: u16 = 22623;
/// The ingress routers.
const INGRESS_PORTS: [(&str, u16); 2] = [("ingress-http", 80), ("ingress-https", 443)];
/// Where OpenShift's ingress routers tell how they are.
const ROUTER_STATUS_PORT: u16 = 1936;

impl Site {
    /// The front ends that follow from the cluster's kind and the nodes' roles, listening on `listen`; those
    /// without any backend are left out, as are nodes without a reserved address.
    pub(crate) fn derived_frontends(&self, listen: &[IpAddr]) -> Vec<Frontend> {
        let openshift = match self.cluster.kind {
            ClusterKind::None => return Vec::new(),
            ClusterKind::Openshift => true,
            ClusterKind::Kubernetes => false,
        };
        let https = |path: &str| check(CheckKind::Https, path, None);
        let mut frontends = vec![Frontend {
            name: "api".to_owned(),
            check: https("/readyz"),
            backends: self.control_plane(API_PORT),
            ..self.frontend(listen, API_PORT)
        }];
        if openshift {
            frontends.push(Frontend {
                name: "machine-config".to_owned(),
                check: https("/healthz"),
                backends: self.control_plane(MACHINE_CONFIG_PORT),
                lan_only: true,
                ..self.frontend(listen, MACHINE_CONFIG_PORT)
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
                ..self.frontend(listen, port)
            });
        }
        frontends.retain(|frontend| !frontend.backends.is_empty());
        frontends
    }

    fn frontend(&self, listen: &[IpAddr], port: u16) -> Frontend {
        Frontend {
            name: String::new(),
            listen: listen.iter().map(|&address| SocketAddr::new(address, port)).collect(),
            balance: Balance::LeastConnections,
            plane: self.lb.plane,
            check: check(CheckKind::Tcp, "/", None),
            backends: Vec::new(),
            derived: true,
            lan_only: false,
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
    let interval: Duration = CHECK_INTERVAL;
    Check { kind, path: path.to_owned(), port, interval, rise: CHECK_RISE, fall: CHECK_FALL }
}
