//! Relays one address to servers, for measuring the user plane by hand: `relay LISTEN SERVER... [-- KEY=VALUE...]`.
//!
//! Keys: `loops`, `balance` (round-robin, least-connections, random-two, source), `congestion`, `first-byte` (seconds),
//! `proxy` (v1, v2), `idle` (seconds).

use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use faros_common::site::Balance;
use faros_lb::pool::{
    ConnectFailure, ConnectionEnd, Front, FrontCounters, Limits, Observer, ProxyOut, Roster, Server,
    Settings, Slot,
};
use faros_lb::user::UserPlane;
use socket2::{Domain, Socket, Type};

struct Silent;

impl Observer for Silent {
    fn connect_failed(&self, _server: &Arc<Server>, _failure: ConnectFailure) {}
    fn connect_succeeded(&self, _server: &Arc<Server>) {}
    fn ended(&self, _end: &ConnectionEnd) {}
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("relay: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let listen: SocketAddr = arguments.next().ok_or("an address to listen on is missing")?.parse()?;
    let mut servers = Vec::new();
    for argument in arguments.by_ref().take_while(|argument| argument != "--") {
        servers.push(argument.parse::<SocketAddr>()?);
    }
    let mut loops = 2;
    let mut balance = Balance::RoundRobin;
    let mut settings = Settings {
        connect: Duration::from_secs(5),
        idle: Duration::from_secs(24 * 3600),
        first_byte: None,
        limits: Limits { connections: 100_000, per_source: None },
        allow: Vec::new(),
        proxy_in: Vec::new(),
        proxy_out: None,
        congestion: Some("cubic".to_owned()),
        log: false,
        close_on_down: true,
    };
    for argument in arguments {
        match argument.split_once('=').ok_or("KEY=VALUE expected")? {
            ("loops", value) => loops = value.parse()?,
            ("balance", "round-robin") => balance = Balance::RoundRobin,
            ("balance", "least-connections") => balance = Balance::LeastConnections,
            ("balance", "random-two") => balance = Balance::RandomTwo,
            ("balance", "source") => balance = Balance::Source,
            ("congestion", value) => {
                settings.congestion = Some(value.to_owned()).filter(|name| !name.is_empty());
            }
            ("first-byte", value) => settings.first_byte = Some(Duration::from_secs(value.parse()?)),
            ("idle", value) => settings.idle = Duration::from_secs(value.parse()?),
            ("proxy", "v1") => settings.proxy_out = Some(ProxyOut::V1),
            ("proxy", "v2") => settings.proxy_out = Some(ProxyOut::V2),
            (key, value) => return Err(format!("{key}={value} is not known").into()),
        }
    }
    let slot = |address: &SocketAddr| Slot {
        server: Server::new("relay", &address.to_string(), *address),
        weight: 1,
    };
    let roster = Roster::new(balance, servers.iter().map(slot).collect());
    let front = Front {
        name: "relay".into(),
        listen: vec![listen],
        settings,
        roster: Arc::new(ArcSwap::from_pointee(roster)),
        counters: Arc::new(FrontCounters::default()),
    };
    let plane = UserPlane::start(loops, Arc::new(Silent))?;
    let listeners = (0..loops).map(|_| listener(listen)).collect::<Result<Vec<_>, _>>()?;
    plane.serve(Arc::new(front), listeners);
    loop {
        std::thread::sleep(Duration::from_secs(10));
        if std::env::var_os("RELAY_STATUS").is_some() {
            println!("{}", plane.status());
        }
    }
}

fn listener(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    socket.listen(4096)?;
    Ok(socket.into())
}
