//! Sockets, the serving loop, reload and drain: turns decisions into I/O.
//!
//! One task serves. It takes a batch of datagrams, lets the machine decide, gives leases to the journal and
//! sends what may go out at once; ACKs wait in `held` until the journal's thread has them on disk, while the
//! task goes on receiving. The admin socket's tasks look at the same [`Engine`] under its lock; nothing
//! awaits while holding it. A cancelled serving task loses replies, never promises: those are on disk first.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use faros_common::admin::{AdminRequest, AdminResponse};
use faros_common::daemon::{Context, Control, RunError, Service, Start, StartError};
use faros_common::events::Event;
use faros_common::journal::{Gathering, GroupCommit, Journal, JournalOptions};
use faros_common::sandbox::Sandbox;
use faros_common::site::{Diagnostic, Site};
use faros_common::{clock, tasks};
use tokio::io::unix::{AsyncFd, AsyncFdReadyGuard};
use tokio::sync::Notify;
use tracing::{error, info, warn};

use crate::admin;
use crate::config::Config;
use crate::engine::{Engine, JournalWatch, Wires};
use crate::icmp6;
use crate::metrics::DhcpMetrics;
use crate::platform::{self, Inbox, Received};
use crate::protocol::advertise;
use crate::protocol::arp;
use crate::protocol::clock::{Bridge, LeaseClock, Reading};
use crate::protocol::machine::Machine;
use crate::protocol::message::Hardware;
use crate::protocol::outcome::Arrival;
use crate::protocol::time::Time;
use crate::store::{RECORDS_VERSION, Replayed};

/// Batches taken in one turn of the loop, so that timers and the disk get theirs under a flood.
const BATCHES_PER_TURN: usize = 4;

/// Between two looks at the interface, the disk and the metrics.
const LOOK: Duration = Duration::from_secs(1);

/// The same while the interface is down or missing: the first machine may speak as soon as it is there.
const LOOK_WHILE_DOWN: Duration = Duration::from_millis(100);

/// The journal's name in the state directory.
const JOURNAL: &str = "leases";

/// One machine's ACK leaves as soon as the disk allows. When thousands ask in a second, each write carries a
/// millisecond of them, and the processor is there for the packets.
const GATHERING: Gathering = Gathering { gap: Duration::from_millis(1), records_per_sec_min: 3000 };

/// How long replies may wait for the disk when the daemon stops.
const DRAIN: Duration = Duration::from_secs(5);

/// The DHCP server.
pub struct Dhcpd {
    engine: Mutex<Engine>,
    clock: LeaseClock,
    udp: AsyncFd<OwnedFd>,
    arp: Option<AsyncFd<OwnedFd>>,
    icmp6: Option<AsyncFd<OwnedFd>>,
    reloaded: Notify,
}

/// What is opened while privileged.
pub struct Bound {
    udp: std::net::UdpSocket,
    frames: OwnedFd,
    arp: Option<OwnedFd>,
    icmp6: Option<OwnedFd>,
}

impl Service for Dhcpd {
    const NAME: &'static str = "dhcpd";
    const ABOUT: &'static str = "DHCP for nodes that boot from the network";
    const THREADS_MAX: usize = 1;
    type Config = Config;
    type Bound = Bound;

    fn configure(site: &Site) -> Result<Config, Vec<Diagnostic>> {
        Config::of_site(site)
    }

    fn enabled(site: &Site) -> bool {
        site.dhcp.enable
    }

    fn bind(config: &Config, start: &mut Start) -> Result<Bound, StartError> {
        // Broadcasts belong to no address, so the socket takes all and the interface is checked per packet.
        let udp = start.udp(SocketAddr::from((Ipv4Addr::UNSPECIFIED, config.port)))?;
        platform::prepare_udp(&udp).map_err(|error| system("prepare the DHCP socket", &error))?;
        let frames = platform::open_frames().map_err(|error| {
            let text = format!("cannot open a packet socket ({error}): start as root, or with CAP_NET_RAW");
            if error.kind() == io::ErrorKind::PermissionDenied {
                StartError::Privilege(text)
            } else {
                StartError::System(text)
            }
        })?;
        let arp = optional(platform::open_arp(), "addresses are not probed before they are offered");
        // Opened even where advertisements are switched off, so that a reload can switch them on.
        let icmp6 =
            optional(icmp6::platform::open_socket(), "no router advertisements: iPXE will wait for one");
        Ok(Bound { udp, frames, arp, icmp6 })
    }

    fn sandbox(_config: &Config) -> Sandbox {
        Sandbox::new().syscalls(&[
            libc::SYS_recvmmsg,
            libc::SYS_sendmmsg,
            libc::SYS_recvmsg,
            libc::SYS_sendto,
            libc::SYS_recvfrom,
            libc::SYS_setsockopt,
            libc::SYS_ioctl,
            libc::SYS_bind,
        ])
    }

    fn assemble(config: Config, bound: Bound, context: Context) -> Result<Self, StartError> {
        let options =
            JournalOptions { gathering: Some(GATHERING), ..JournalOptions::new(JOURNAL, RECORDS_VERSION) };
        let (journal, recovered) = Journal::open(&context.state_dir, options)
            .map_err(|error| StartError::System(error.to_string()))?;
        let replayed = Replayed::of(&recovered.records);
        let reading = read_clocks();
        let newest = replayed.leases.iter().map(|lease| lease.heard).max();
        let (lease_clock, bridge) = LeaseClock::start(replayed.stamp.as_ref(), newest, &reading);
        info!(
            event = "leases_loaded",
            leases = replayed.leases.len(),
            unreadable = replayed.unreadable,
            ?bridge,
            "leases loaded"
        );
        if replayed.unreadable > 0 {
            error!(
                event = "leases_unreadable",
                count = replayed.unreadable,
                "records of leases could not be read"
            );
        }
        if bridge == Bridge::Stopped {
            warn!(
                event = "clock_not_believed",
                "the clock is not believable: no lease has aged since the last stop"
            );
        }
        if recovered.report.tmpfs {
            warn!(event = "state_on_tmpfs", "leases are kept in memory only: a power cut loses them");
        }
        let machine = Machine::start(Arc::new(config), replayed.leases);
        let group = GroupCommit::start(journal)
            .map_err(|error| StartError::System(format!("cannot start writing leases: {error}")))?;
        let in_runtime = |error: io::Error| StartError::Internal(format!("cannot watch a socket: {error}"));
        let wires = Wires {
            udp: bound.udp.as_raw_fd(),
            icmp6: bound.icmp6.as_ref().map(AsRawFd::as_raw_fd),
            arp: bound.arp.as_ref().map(AsRawFd::as_raw_fd),
            frames: bound.frames,
        };
        let metrics = DhcpMetrics::register(&context.metrics);
        let journal = JournalWatch::new(&context.state_dir, JOURNAL);
        let engine = Engine::new(machine, group, journal, wires, metrics, context.events);
        Ok(Self {
            engine: Mutex::new(engine),
            clock: lease_clock,
            udp: platform::watch(bound.udp.into()).map_err(in_runtime)?,
            arp: bound.arp.map(platform::watch).transpose().map_err(in_runtime)?,
            icmp6: bound.icmp6.map(platform::watch).transpose().map_err(in_runtime)?,
            reloaded: Notify::new(),
        })
    }

    async fn run(self: Arc<Self>, control: Control) -> Result<(), RunError> {
        let mut inbox = Inbox::default();
        let mut received = Vec::with_capacity(platform::BATCH);
        let mut progress = self.lock().progress();
        let mut look = tokio::time::interval(LOOK);
        self.lock().look_at_link(self.now());
        self.lock().stamp(self.now(), read_clocks());
        loop {
            let (look_again, deadline) = {
                let engine = self.lock();
                (if engine.is_link_up() { LOOK } else { LOOK_WHILE_DOWN }, engine.deadline())
            };
            let wait = deadline.map_or(look_again, |deadline| deadline.since(self.now()));
            tokio::select! {
                () = control.stopping() => break,
                ready = self.udp.readable() => {
                    let mut ready = ready.map_err(|error| RunError::System(format!("the DHCP socket: {error}")))?;
                    if self.receive(&mut inbox, &mut received) {
                        ready.clear_ready();
                    }
                }
                _ = progress.changed() => self.lock().on_progress(self.now()),
                mut ready = readable(self.arp.as_ref()) => {
                    if self.receive_arp() {
                        ready.clear_ready();
                    }
                }
                mut ready = readable(self.icmp6.as_ref()) => {
                    if self.receive_icmp6() {
                        ready.clear_ready();
                    }
                }
                _ = look.tick() => {
                    let mut engine = self.lock();
                    engine.look_at_link(self.now());
                    engine.look_at_storage(self.now(), read_clocks());
                }
                () = tokio::time::sleep(wait.min(look_again)) => {
                    let mut engine = self.lock();
                    if !engine.is_link_up() {
                        engine.look_at_link(self.now());
                    }
                }
                () = self.reloaded.notified() => {}
            }
            tasks::contain("timers", || self.lock().on_timeout(self.now()));
            control.heartbeat();
        }
        self.drain().await
    }

    fn reload(&self, config: Config) -> Result<(), String> {
        let mut engine = self.lock();
        let old = engine.machine.config();
        if config.port != old.port {
            return Err(format!(
                "dhcp.listen: the port changes from {} to {}: restart",
                old.port, config.port
            ));
        }
        engine.on_config(Arc::new(config), self.now());
        drop(engine);
        self.reloaded.notify_one();
        Ok(())
    }

    fn status(&self) -> serde_json::Value {
        let now = self.now();
        admin::status(&self.lock(), now)
    }

    async fn admin(&self, request: AdminRequest) -> Option<AdminResponse> {
        let now = self.now();
        admin::handle(&mut self.lock(), &request, now)
    }
}

impl Dhcpd {
    fn lock(&self) -> MutexGuard<'_, Engine> {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Time {
        self.clock.at(platform::uptime_ms())
    }

    /// Takes what is waiting; true if nothing is left.
    fn receive(&self, inbox: &mut Inbox, received: &mut Vec<Received>) -> bool {
        for _ in 0..BATCHES_PER_TURN {
            match inbox.receive(self.udp.as_raw_fd(), received) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                // What a stranger or a flapping interface can cause: an ICMP error of an earlier reply.
                Err(error) => {
                    tracing::debug!(event = "receive_failed", %error, "receiving failed");
                    return false;
                }
            }
            let mut engine = self.lock();
            let now = self.now();
            engine.metrics.received(received.len());
            for packet in received.iter() {
                let arrival = Arrival {
                    source: packet.source,
                    destination: packet.destination,
                    on_lan: engine.link.is_some_and(|link| link.index == packet.interface),
                };
                engine.on_packet(inbox.bytes(packet), &arrival, now);
            }
            engine.flush(now);
            if received.len() < platform::BATCH {
                return true;
            }
        }
        false
    }

    /// As [`Dhcpd::receive`], for ARP.
    fn receive_arp(&self) -> bool {
        let Some(arp) = &self.arp else { return true };
        let mut buffer = [0; 64];
        for _ in 0..platform::BATCH {
            match platform::receive_frame(arp.as_raw_fd(), &mut buffer) {
                Ok(Some((length, interface))) => {
                    let Some((address, mac)) = arp::claimed(&buffer[..length]) else { continue };
                    let mut engine = self.lock();
                    if engine.link.is_some_and(|link| link.index == interface && link.mac != Some(mac)) {
                        let now = self.now();
                        engine.on_address_in_use(address, Hardware::ethernet(mac), now);
                    }
                }
                Ok(None) => {}
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            }
        }
        false
    }

    /// As [`Dhcpd::receive`], for router solicitations.
    fn receive_icmp6(&self) -> bool {
        let Some(icmp6) = &self.icmp6 else { return true };
        let mut buffer = [0; 1500];
        for _ in 0..platform::BATCH {
            let message = match icmp6::platform::receive(icmp6.as_raw_fd(), &mut buffer) {
                Ok(message) => message,
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            };
            let sound =
                advertise::is_solicitation(&buffer[..message.length], message.hop_limit, message.source);
            let mut engine = self.lock();
            if sound && engine.link.is_some_and(|link| link.index == message.interface) {
                let now = self.now();
                engine.on_solicitation(message.source, now);
            }
        }
        false
    }

    /// Sends what waits for the disk, then ends the journal.
    async fn drain(&self) -> Result<(), RunError> {
        let now = self.now();
        let group = {
            let mut engine = self.lock();
            engine.look_at_storage(now, read_clocks());
            engine.stamp(now, read_clocks());
            engine.group.clone()
        };
        let ended = tokio::time::timeout(DRAIN, group.shutdown()).await;
        self.lock().on_progress(self.now());
        match ended {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(RunError::System(format!("not every lease could be written: {error}"))),
            Err(_) => Err(RunError::System("the disk did not take the last leases in time".to_owned())),
        }
    }
}

/// Waits until there is something to read; for ever where there is no socket.
async fn readable(socket: Option<&AsyncFd<OwnedFd>>) -> AsyncFdReadyGuard<'_, OwnedFd> {
    if let Some(socket) = socket
        && let Ok(ready) = socket.readable().await
    {
        return ready;
    }
    std::future::pending().await
}

/// What the host's clocks say.
pub(crate) fn read_clocks() -> Reading {
    let since_1970 = clock::wall().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Reading {
        boot_id: clock::boot_id().unwrap_or_default(),
        uptime_ms: platform::uptime_ms(),
        wall_ms: u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX),
    }
}

fn system(what: &str, error: &io::Error) -> StartError {
    StartError::System(format!("cannot {what}: {error}"))
}

/// A socket that the daemon can do without.
fn optional(socket: io::Result<OwnedFd>, lost: &'static str) -> Option<OwnedFd> {
    socket.inspect_err(|error| warn!(event = "socket_missing", %error, lost, "running without a socket")).ok()
}

/// An event about the interface.
pub(crate) fn link_event(event: &'static str, interface: &str) -> Event {
    Event::new(event).with("interface", interface)
}
