//! The privileged part of a start: directories and sockets.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::options::Options;
use super::{StartError, directory};
use crate::sandbox::Account;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;

/// What [`super::Service::bind`] works with.
#[derive(Debug)]
pub struct Start {
    state_dir: PathBuf,
    run_dir: PathBuf,
    account: Option<Account>,
    handed_udp: Vec<UdpSocket>,
    handed_tcp: Vec<TcpListener>,
    succeeds: bool,
}

impl Start {
    /// Makes the directories and takes over the sockets that systemd hands over.
    pub(super) fn new(options: &Options) -> Result<Self, StartError> {
        let account = (rustix::process::geteuid().is_root() && options.sandbox).then(Account::of_daemons);
        directory::for_sockets(&options.run_dir, account.as_ref())?;
        directory::for_state(&options.state_dir, account.as_ref())?;
        // Only now: the directories above, too, must be open to the user that the daemon becomes.
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
        let mut start = Self {
            state_dir: options.state_dir.clone(),
            run_dir: options.run_dir.clone(),
            account,
            handed_udp: Vec::new(),
            handed_tcp: Vec::new(),
            succeeds: false,
        };
        let mut handed = listenfd::ListenFd::from_env();
        for index in 0..handed.len() {
            if let Ok(Some(socket)) = handed.take_udp_socket(index) {
                start.handed_udp.push(socket);
            } else if let Ok(Some(listener)) = handed.take_tcp_listener(index) {
                start.handed_tcp.push(listener);
            }
        }
        Ok(start)
    }

    /// The daemon's own directory for state, mode 0700.
    pub fn state_dir(&self) -> &Path {
        &self.state_dir
    }

    /// The directory of all admin sockets.
    pub fn run_dir(&self) -> &Path {
        &self.run_dir
    }

    /// The user that the daemon becomes, where it is root now.
    pub fn account(&self) -> Option<&Account> {
        self.account.as_ref()
    }

    /// A further directory that is this daemon's own, made with mode 0700 where it is not there, and given with all that
    /// is in it to [`Start::account`].
    ///
    /// # Errors
    /// The system's refusal, or a directory that can be nobody's own.
    pub fn directory(&self, path: &Path) -> Result<(), StartError> {
        directory::for_state(path, self.account.as_ref())
    }

    /// Takes over from a process that runs still: `listeners` are its sockets, used as those that systemd hands over, and
    /// its admin socket is replaced when this daemon is ready.
    pub fn succeed(&mut self, listeners: Vec<TcpListener>) {
        self.handed_tcp.extend(listeners);
        self.succeeds = true;
    }

    /// Whether there is a predecessor that runs still.
    pub fn succeeds(&self) -> bool {
        self.succeeds
    }

    /// The listening sockets that were handed over and that nobody has asked for, to be closed.
    pub fn unclaimed(&mut self) -> Vec<TcpListener> {
        std::mem::take(&mut self.handed_tcp)
    }

    /// A UDP socket on `address`: one that systemd handed over, or a new one. The address need not exist
    /// yet (`IP_FREEBIND`).
    ///
    /// # Errors
    /// The port is taken or needs privilege; the text says which and what to do.
    pub fn udp(&mut self, address: SocketAddr) -> Result<UdpSocket, StartError> {
        let matches = |socket: &UdpSocket| socket.local_addr().is_ok_and(|local| serves(local, address));
        let socket = match self.handed_udp.iter().position(matches) {
            Some(index) => self.handed_udp.swap_remove(index),
            None => new_socket(address, Type::DGRAM, Protocol::UDP)
                .map_err(|error| explain("udp", address, &error))?
                .into(),
        };
        socket.set_nonblocking(true).map_err(|error| explain("udp", address, &error))?;
        Ok(socket)
    }

    /// At most `count` UDP sockets on `address` among which the kernel spreads the clients (`SO_REUSEPORT`), each
    /// non-blocking; where systemd handed some over, exactly those.
    ///
    /// Nobody else's socket gets into the group: the first one is bound without the option, which fails while anybody
    /// has the port, and takes it on once it is bound.
    ///
    /// # Errors
    /// As [`Start::udp`].
    pub fn udp_group(&mut self, address: SocketAddr, count: usize) -> Result<Vec<UdpSocket>, StartError> {
        let explained = |error| explain("udp", address, &error);
        let matches = |socket: &UdpSocket| socket.local_addr().is_ok_and(|local| serves(local, address));
        let (mut group, others): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.handed_udp).into_iter().partition(matches);
        self.handed_udp = others;
        if group.is_empty() {
            let first = new_socket(address, Type::DGRAM, Protocol::UDP).map_err(explained)?;
            first.set_reuse_port(true).map_err(explained)?;
            let first = UdpSocket::from(first);
            // The port may have been left to the system.
            let address = first.local_addr().map_err(explained)?;
            group.push(first);
            for _ in 1..count {
                group.push(new_member(address, Type::DGRAM, Protocol::UDP).map_err(explained)?.into());
            }
        }
        for socket in &group {
            socket.set_nonblocking(true).map_err(explained)?;
        }
        Ok(group)
    }

    /// A listening TCP socket on `address`, as [`Start::udp`].
    ///
    /// # Errors
    /// As [`Start::udp`].
    pub fn tcp(&mut self, address: SocketAddr) -> Result<TcpListener, StartError> {
        let matches = |socket: &TcpListener| socket.local_addr().is_ok_and(|local| serves(local, address));
        let listener = match self.handed_tcp.iter().position(matches) {
            Some(index) => self.handed_tcp.swap_remove(index),
            None => {
                let socket = new_socket(address, Type::STREAM, Protocol::TCP);
                let listening = socket.and_then(|socket| socket.listen(BACKLOG).map(|()| socket));
                listening.map_err(|error| explain("tcp", address, &error))?.into()
            }
        };
        listener.set_nonblocking(true).map_err(|error| explain("tcp", address, &error))?;
        Ok(listener)
    }

    /// At least one and usually `count` listening TCP sockets on `address` among which the kernel spreads the clients
    /// (`SO_REUSEPORT`), as [`Start::udp_group`]. Where some were handed over, exactly those: a connection that waits in
    /// one of them must find somebody.
    ///
    /// # Errors
    /// As [`Start::udp`].
    pub fn tcp_group(&mut self, address: SocketAddr, count: usize) -> Result<Vec<TcpListener>, StartError> {
        let explained = |error| explain("tcp", address, &error);
        let matches = |socket: &TcpListener| socket.local_addr().is_ok_and(|local| serves(local, address));
        let (group, others): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.handed_tcp).into_iter().partition(matches);
        self.handed_tcp = others;
        if group.is_empty() {
            return tcp_group(address, count);
        }
        for socket in &group {
            socket.set_nonblocking(true).map_err(explained)?;
        }
        Ok(group)
    }
}

/// As [`Start::tcp_group`], of new sockets alone: for an address that comes with a reload, which needs the right to use
/// its port then.
///
/// # Errors
/// As [`Start::udp`].
pub fn tcp_group(address: SocketAddr, count: usize) -> Result<Vec<TcpListener>, StartError> {
    let explained = |error| explain("tcp", address, &error);
    let first = new_socket(address, Type::STREAM, Protocol::TCP).map_err(explained)?;
    first.set_reuse_port(true).map_err(explained)?;
    first.listen(BACKLOG).map_err(explained)?;
    let first = TcpListener::from(first);
    // The port may have been left to the system.
    let address = first.local_addr().map_err(explained)?;
    let mut group = vec![first];
    for _ in 1..count {
        let member = new_member(address, Type::STREAM, Protocol::TCP).map_err(explained)?;
        member.listen(BACKLOG).map_err(explained)?;
        group.push(member.into());
    }
    Ok(group)
}

/// Whether a socket bound to `local` serves `wanted`: the same port, and the same address or all of them.
fn serves(local: SocketAddr, wanted: SocketAddr) -> bool {
    local.port() == wanted.port() && (local.ip() == wanted.ip() || local.ip().is_unspecified())
}

fn new_socket(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind.nonblocking().cloexec(), Some(protocol))?;
    if kind == Type::STREAM {
        // A restarted daemon must not wait for connections of its predecessor. For UDP the same option
        // would let a second daemon steal the port.
        socket.set_reuse_address(true)?;
    }
    bind(&socket, address)?;
    Ok(socket)
}

/// A further socket on an address whose first one has taken on `SO_REUSEPORT`.
fn new_member(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind.nonblocking().cloexec(), Some(protocol))?;
    if kind == Type::STREAM {
        socket.set_reuse_address(true)?;
    }
    socket.set_reuse_port(true)?;
    bind(&socket, address)?;
    Ok(socket)
}

fn bind(socket: &Socket, address: SocketAddr) -> io::Result<()> {
    match address {
        SocketAddr::V4(_) => socket.set_freebind_v4(true)?,
        SocketAddr::V6(_) => {
            socket.set_only_v6(true)?;
            socket.set_freebind_v6(true)?;
        }
    }
    socket.bind(&SockAddr::from(address))
}

fn explain(transport: &str, address: SocketAddr, error: &io::Error) -> StartError {
    match error.kind() {
        io::ErrorKind::AddrInUse => StartError::System(format!(
            "{transport} port {} is already in use on {}: find its owner with `ss -lnp 'sport = :{}'` and stop it",
            address.port(),
            address.ip(),
            address.port()
        )),
        io::ErrorKind::PermissionDenied => StartError::Privilege(format!(
            "may not listen on {transport} {address}: start as root, or with CAP_NET_BIND_SERVICE"
        )),
        _ => StartError::System(format!("cannot listen on {transport} {address}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn start_in(directory: &Path) -> Start {
        let options = Options {
            site: PathBuf::new(),
            state_dir: directory.join("state"),
            run_dir: directory.join("run"),
            log: super::super::options::LogFormat::Text,
            check: false,
            sandbox: false,
        };
        Start::new(&options).unwrap()
    }

    #[test]
    fn a_taken_port_is_named_with_what_to_do() {
        let directory = tempfile::tempdir().unwrap();
        let mut start = start_in(directory.path());
        let taken = start.udp("127.0.0.1:0".parse().unwrap()).unwrap().local_addr().unwrap();
        let first = UdpSocket::bind("127.0.0.1:0").unwrap();
        let error = start.udp(first.local_addr().unwrap()).unwrap_err();
        assert!(matches!(&error, StartError::System(text) if text.contains("already in use")), "{error}");
        assert_ne!(taken.port(), 0);
    }

    #[test]
    fn clients_are_spread_over_a_group() {
        let directory = tempfile::tempdir().unwrap();
        let group = start_in(directory.path()).udp_group("127.0.0.1:0".parse().unwrap(), 3).unwrap();
        assert_eq!(group.len(), 3);
        let address = group[0].local_addr().unwrap();
        for _ in 0..256 {
            UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"x", address).unwrap();
        }
        let received = |socket: &UdpSocket| (0..).take_while(|_| socket.recv(&mut [0; 1]).is_ok()).count();
        let shares: Vec<usize> = group.iter().map(received).collect();
        assert_eq!(shares.iter().sum::<usize>(), 256);
        assert!(shares.iter().all(|&share| share > 20), "{shares:?}");
    }

    #[test]
    fn nobody_joins_the_group_of_another_process() {
        let directory = tempfile::tempdir().unwrap();
        let mut start = start_in(directory.path());
        let group = start.udp_group("127.0.0.1:0".parse().unwrap(), 2).unwrap();
        let address = group[0].local_addr().unwrap();
        let error = start.udp_group(address, 2).unwrap_err();
        assert!(matches!(&error, StartError::System(text) if text.contains("already in use")), "{error}");
    }

    #[test]
    fn connections_are_spread_over_a_group_that_nobody_else_joins() {
        let directory = tempfile::tempdir().unwrap();
        let mut start = start_in(directory.path());
        let group = start.tcp_group("127.0.0.1:0".parse().unwrap(), 3).unwrap();
        let address = group[0].local_addr().unwrap();
        let clients: Vec<_> = (0..64).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
        let accepted = |listener: &TcpListener| (0..).take_while(|_| listener.accept().is_ok()).count();
        let shares: Vec<usize> = group.iter().map(accepted).collect();
        assert_eq!((group.len(), shares.iter().sum::<usize>()), (3, clients.len()));
        assert!(shares.iter().all(|&share| share > 3), "{shares:?}");
        let error = start.tcp_group(address, 2).unwrap_err();
        assert!(matches!(&error, StartError::System(text) if text.contains("already in use")), "{error}");
    }

    #[test]
    fn the_sockets_of_a_predecessor_are_used_as_they_are() {
        let directory = tempfile::tempdir().unwrap();
        let mut start = start_in(directory.path());
        let group = start.tcp_group("127.0.0.1:0".parse().unwrap(), 2).unwrap();
        let other = start.tcp_group("127.0.0.1:0".parse().unwrap(), 1).unwrap();
        let (address, unused) = (group[0].local_addr().unwrap(), other[0].local_addr().unwrap());
        start.succeed(group.into_iter().chain(other).collect());
        assert_eq!(start.tcp_group(address, 4).unwrap().len(), 2);
        assert!(start.succeeds());
        let left: Vec<_> = start.unclaimed().iter().map(|socket| socket.local_addr().unwrap()).collect();
        assert_eq!(left, [unused]);
    }

    #[test]
    fn an_address_that_does_not_exist_yet_can_be_served() {
        let directory = tempfile::tempdir().unwrap();
        start_in(directory.path()).tcp("192.0.2.77:0".parse().unwrap()).unwrap();
    }

    #[test]
    fn state_is_private() {
        let directory = tempfile::tempdir().unwrap();
        let start = start_in(directory.path());
        assert_eq!(start.state_dir().metadata().unwrap().permissions().mode() & 0o777, 0o700);
    }
}
