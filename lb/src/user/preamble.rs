//! What comes before a connection's own octets: a PROXY header of the client, read without taking more than it, and one
//! for the server, which goes out together with the client's first octets where they are there already.

use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

use super::session::{Phase, Session, Step, note};
use super::shared::{Core, Micros, contains};
use crate::pool::{Cut, ProxyOut};
use crate::protocol::proxy::{self, HEADER_LEN_MAX, Progress, Reason};

/// How long a client may take to its PROXY header; those who send one have it at hand.
const HEADER_WITHIN: Micros = 5_000_000;

/// The ends of a connection as a PROXY header says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends {
    pub(super) client: SocketAddr,
    pub(super) local: SocketAddr,
}

impl Session {
    /// Begins with an accepted connection.
    pub(super) fn begin(&mut self, core: &mut Core) -> Step {
        let expects = &self.served.front.settings.proxy_in;
        if expects.is_empty() {
            return self.search(core);
        }
        if contains(expects, self.peer.ip()) {
            self.phase = Phase::Header;
            core.arm(self.key.index, core.now + HEADER_WITHIN);
            self.register_client(core)
        } else {
            self.inspects = true;
            self.search(core)
        }
    }

    /// Reads the client's header as far as it has come.
    pub(super) fn read_header(&mut self, core: &mut Core) -> Step {
        let scratch = &mut core.scratch[..HEADER_LEN_MAX];
        let count = match recv(&self.client, &mut *scratch, RecvFlags::PEEK) {
            Ok((count, _)) => count,
            Err(Errno::AGAIN) => return Ok(()),
            Err(_) => return Err(Cut::ClientReset),
        };
        match proxy::read(&scratch[..count]) {
            Progress::Complete { header, consumed } => {
                let ends = header.source.zip(header.destination);
                if !matches!(recv(&self.client, &mut scratch[..consumed], RecvFlags::empty()), Ok((taken, _)) if taken == consumed)
                {
                    return Err(Cut::Internal);
                }
                if let Some((client, local)) = ends {
                    self.search.get_or_insert_default().ends = Some(Ends { client, local });
                }
                self.counts_for_source = self.served.admit(self.source().ip())?;
                self.search(core)
            }
            Progress::Incomplete if !self.up.ending => Ok(()),
            Progress::Incomplete | Progress::Malformed(_) => Err(Cut::ProxyHeader),
        }
    }

    /// The header has not come in time.
    pub(super) fn header_is_late(&mut self, core: &mut Core) -> Step {
        if core.now >= self.since + HEADER_WITHIN {
            return Err(Cut::ProxyHeader);
        }
        core.arm(self.key.index, self.since + HEADER_WITHIN);
        Ok(())
    }

    /// Refuses a header from somebody who may not send one, while all else passes. What might yet become one stays in
    /// the socket until that is clear.
    pub(super) fn inspect(&mut self, core: &mut Core) -> Step {
        let scratch = &mut core.scratch[..HEADER_LEN_MAX];
        let count = match recv(&self.client, &mut *scratch, RecvFlags::PEEK) {
            Ok((count, _)) => count,
            Err(Errno::AGAIN) => {
                self.up.readable = false;
                return Ok(());
            }
            // Reading meets it again.
            Err(_) => 0,
        };
        match proxy::read(&scratch[..count]) {
            Progress::Incomplete if count > 0 && !self.up.ending => self.up.readable = false,
            Progress::Incomplete | Progress::Malformed(Reason::Absent) => self.inspects = false,
            Progress::Complete { .. } | Progress::Malformed(_) => return Err(Cut::ProxyHeader),
        }
        Ok(())
    }

    /// A server has taken the connection.
    pub(super) fn connected(&mut self, flags: EventFlags, core: &mut Core) -> Step {
        self.phase = Phase::Relaying;
        self.since = core.now;
        let taken = core.now.saturating_sub(self.accepted);
        self.connected =
            Some(u32::try_from(taken).unwrap_or(u32::MAX).try_into().unwrap_or(std::num::NonZeroU32::MIN));
        self.active = core.now;
        if let Some(server) = &self.backend {
            server.counters.total.fetch_add(1, Ordering::Relaxed);
            core.shared.succeeded(server);
        }
        self.up.writable = true;
        note(&mut self.down, &mut self.up, flags);
        if let Some(form) = self.served.front.settings.proxy_out {
            self.up.begin_with(self.header(form));
        }
        self.relay(core)?;
        if self.is_registered { Ok(()) } else { self.register_client(core) }
    }

    fn header(&self, form: ProxyOut) -> Vec<u8> {
        let (client, local) = self.ends();
        let mut header = Vec::with_capacity(128);
        match form {
            _ if local.port() == 0 => proxy::write_local(form.version(), &mut header),
            ProxyOut::V1 => proxy::write_v1(client, local, &mut header),
            ProxyOut::V2 => proxy::write_v2(client, local, &mut header),
        }
        header
    }

    /// The client, as far as is known who it is.
    pub(super) fn source(&self) -> SocketAddr {
        self.search.as_ref().and_then(|search| search.ends).map_or(self.peer, |ends| ends.client)
    }

    /// The client, and what it has connected to.
    pub(super) fn ends(&self) -> (SocketAddr, SocketAddr) {
        if let Some(ends) = self.search.as_ref().and_then(|search| search.ends) {
            return (ends.client, ends.local);
        }
        let local = rustix::net::getsockname(self.client.as_fd()).ok();
        let local = local.and_then(|local| SocketAddr::try_from(local).ok());
        // A socket without an address of its own is gone; port 0 says so.
        let nowhere = SocketAddr::new(std::net::Ipv4Addr::UNSPECIFIED.into(), 0);
        (self.peer, local.unwrap_or(nowhere))
    }
}
