//! Front ends for tests.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use faros_common::site::Balance;

use super::wish::{KernelFront, Surroundings};
use crate::pool::{Front, FrontCounters, Limits, Roster, Server, Settings, Slot};

pub(super) fn surroundings() -> Surroundings {
    Surroundings {
        lan_interface: "lan0".to_owned(),
        lan: vec!["10.0.0.1/24".parse().unwrap()],
        wan_interface: Some("wan0".to_owned()),
        gateway: true,
    }
}

/// A front end with servers `s0`, `s1`, … of equal weight.
pub(super) fn front(name: &str, listen: &str, servers: &[&str], balance: Balance) -> KernelFront {
    let servers: Vec<_> = (0..)
        .zip(servers)
        .map(|(number, server)| Server::new(name, &format!("s{number}"), server.parse().unwrap()))
        .collect();
    let slots = servers.iter().map(|server| Slot { server: Arc::clone(server), weight: 1 }).collect();
    let roster = Arc::new(Roster::new(balance, slots));
    let settings = Settings {
        connect: Duration::from_secs(5),
        idle: Duration::from_secs(86_400),
        first_byte: None,
        limits: Limits { connections: 16_384, per_source: None },
        allow: Vec::new(),
        proxy_in: Vec::new(),
        proxy_out: None,
        congestion: None,
        log: false,
        close_on_down: true,
    };
    let front = Front {
        name: name.into(),
        listen: vec![listen.parse().unwrap()],
        settings,
        roster: Arc::new(ArcSwap::new(Arc::clone(&roster))),
        counters: Arc::new(FrontCounters::default()),
    };
    KernelFront {
        front: Arc::new(front),
        roster,
        servers,
        lan_only: false,
        published: false,
        demanded: false,
    }
}
