//! Sockets that the standard library does not have: packet and raw ICMPv6 sockets, batches of datagrams
//! with the interface they came in on, and what the kernel knows about an interface.
//!
//! All sockets are opened while the process is privileged. Sending on them afterwards needs no privilege.
#![expect(unsafe_code, reason = "these system calls have no safe wrapper")]

use std::ffi::c_int;
use std::io;
use std::mem::{size_of, zeroed};
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use faros_common::site::Mac;
use tokio::io::unix::AsyncFd;

/// Datagrams taken from or given to the kernel at one go.
pub const BATCH: usize = 64;

/// The longest datagram read; what is longer is cut, and then fails to frame.
const DATAGRAM_BYTES_MAX: usize = 4096;

pub(crate) const CONTROL_BYTES: usize = 64;

/// Bytes of datagrams that may wait, bookkeeping included: a few thousand requests. The kernel doubles it.
const QUEUE_BYTES: c_int = 2 << 20;

/// A datagram as the kernel handed it over.
#[derive(Clone, Copy, Debug)]
pub struct Received {
    /// Its place in the batch's buffers.
    slot: usize,
    length: usize,
    /// Who sent it.
    pub source: SocketAddrV4,
    /// Where it was sent to.
    pub destination: Ipv4Addr,
    /// The interface it came in on.
    pub interface: u32,
}

/// Buffers for [`BATCH`] datagrams, reused.
pub struct Inbox {
    buffers: Box<[[u8; DATAGRAM_BYTES_MAX]]>,
}

impl Default for Inbox {
    fn default() -> Self {
        Self { buffers: vec![[0; DATAGRAM_BYTES_MAX]; BATCH].into_boxed_slice() }
    }
}

impl Inbox {
    /// The bytes of a received datagram, until the next batch.
    pub fn bytes(&self, received: &Received) -> &[u8] {
        &self.buffers[received.slot][..received.length]
    }

    /// Takes what is waiting on `socket`, at most [`BATCH`] datagrams.
    ///
    /// # Errors
    /// `WouldBlock` if nothing is waiting; else what the system says.
    pub fn receive(&mut self, socket: RawFd, into: &mut Vec<Received>) -> io::Result<()> {
        into.clear();
        // SAFETY: all three are plain C structures for which all-zero bytes are a valid value.
        let (mut headers, mut names): ([libc::mmsghdr; BATCH], [libc::sockaddr_in; BATCH]) =
            unsafe { (zeroed(), zeroed()) };
        let mut controls = [Control([0; CONTROL_BYTES]); BATCH];
        // SAFETY: as above.
        let mut vectors: [libc::iovec; BATCH] = unsafe { zeroed() };
        for index in 0..BATCH {
            vectors[index] = libc::iovec {
                iov_base: self.buffers[index].as_mut_ptr().cast(),
                iov_len: DATAGRAM_BYTES_MAX,
            };
            let header = &mut headers[index].msg_hdr;
            header.msg_name = (&raw mut names[index]).cast();
            header.msg_namelen = size_of::<libc::sockaddr_in>() as u32;
            header.msg_iov = &raw mut vectors[index];
            header.msg_iovlen = 1;
            header.msg_control = controls[index].0.as_mut_ptr().cast();
            header.msg_controllen = CONTROL_BYTES as _;
        }
        // SAFETY: every pointer in `headers` leads to an array above or to `self.buffers`, all of which outlive
        // the call and are as long as their lengths say.
        let count = unsafe {
            libc::recvmmsg(
                socket,
                headers.as_mut_ptr(),
                BATCH as u32,
                libc::MSG_DONTWAIT as _,
                std::ptr::null_mut(),
            )
        };
        if count < 0 {
            return Err(io::Error::last_os_error());
        }
        for (slot, message) in headers.iter().enumerate().take(count as usize) {
            let name = &names[slot];
            let Some((interface, destination)) = packet_info(&message.msg_hdr) else { continue };
            into.push(Received {
                slot,
                length: (message.msg_len as usize).min(DATAGRAM_BYTES_MAX),
                source: SocketAddrV4::new(
                    Ipv4Addr::from(u32::from_be(name.sin_addr.s_addr)),
                    u16::from_be(name.sin_port),
                ),
                destination,
                interface,
            });
        }
        Ok(())
    }
}

/// Room for control messages, aligned as `cmsghdr` wants it.
#[derive(Clone, Copy)]
#[repr(align(8))]
pub(crate) struct Control(pub(crate) [u8; CONTROL_BYTES]);

/// The interface and destination address in the control messages of a datagram.
fn packet_info(header: &libc::msghdr) -> Option<(u32, Ipv4Addr)> {
    // SAFETY: `header` was filled in by the kernel, its control buffer is alive and `msg_controllen` long.
    let mut control = unsafe { libc::CMSG_FIRSTHDR(header) };
    while !control.is_null() {
        // SAFETY: `control` is not null, so it leads to a whole header within the control buffer.
        let kind = unsafe { ((*control).cmsg_level, (*control).cmsg_type) };
        if kind == (libc::IPPROTO_IP, libc::IP_PKTINFO) {
            // SAFETY: the kernel puts an `in_pktinfo` behind a header of this kind; it may be unaligned.
            let info = unsafe { libc::CMSG_DATA(control).cast::<libc::in_pktinfo>().read_unaligned() };
            return Some((info.ipi_ifindex as u32, Ipv4Addr::from(u32::from_be(info.ipi_addr.s_addr))));
        }
        // SAFETY: both come from the same message as above.
        control = unsafe { libc::CMSG_NXTHDR(header, control) };
    }
    None
}

/// Prepares a socket for [`Inbox::receive`] and for broadcasts.
///
/// # Errors
/// What the system says.
pub fn prepare_udp(socket: &UdpSocket) -> io::Result<()> {
    socket.set_broadcast(true)?;
    set_option(socket.as_raw_fd(), libc::IPPROTO_IP, libc::IP_PKTINFO, 1)?;
    // A site that powers on at once must not overflow the queue. Unprivileged, the kernel caps it at rmem_max.
    let fd = socket.as_raw_fd();
    set_option(fd, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, QUEUE_BYTES)
        .or_else(|_| set_option(fd, libc::SOL_SOCKET, libc::SO_RCVBUF, QUEUE_BYTES))
}

/// A datagram to be sent.
pub struct Datagram<'b> {
    /// Where to.
    pub to: SocketAddrV4,
    /// What.
    pub bytes: &'b [u8],
}

/// Sends `datagrams` from `source` in one batch, at most [`BATCH`]; returns how many the kernel took.
///
/// # Errors
/// What the system says about the first one that it did not take, if it took none.
pub fn send_batch(socket: RawFd, source: Ipv4Addr, datagrams: &[Datagram<'_>]) -> io::Result<usize> {
    let count = datagrams.len().min(BATCH);
    // SAFETY: plain C structures for which all-zero bytes are a valid value.
    let (mut headers, mut names, mut vectors): (
        [libc::mmsghdr; BATCH],
        [libc::sockaddr_in; BATCH],
        [libc::iovec; BATCH],
    ) = unsafe { (zeroed(), zeroed(), zeroed()) };
    let mut controls = [Control([0; CONTROL_BYTES]); BATCH];
    for (index, datagram) in datagrams.iter().take(count).enumerate() {
        names[index] = socket_address(datagram.to);
        vectors[index] = libc::iovec {
            iov_base: datagram.bytes.as_ptr().cast_mut().cast(),
            iov_len: datagram.bytes.len(),
        };
        let header = &mut headers[index].msg_hdr;
        header.msg_name = (&raw mut names[index]).cast();
        header.msg_namelen = size_of::<libc::sockaddr_in>() as u32;
        header.msg_iov = &raw mut vectors[index];
        header.msg_iovlen = 1;
        header.msg_control = controls[index].0.as_mut_ptr().cast();
        // SAFETY: computes a size from a size.
        header.msg_controllen = unsafe { libc::CMSG_SPACE(size_of::<libc::in_pktinfo>() as u32) } as _;
        // SAFETY: the control buffer is aligned and longer than one header with an `in_pktinfo`.
        unsafe {
            let control = libc::CMSG_FIRSTHDR(header);
            (*control).cmsg_level = libc::IPPROTO_IP;
            (*control).cmsg_type = libc::IP_PKTINFO;
            (*control).cmsg_len = libc::CMSG_LEN(size_of::<libc::in_pktinfo>() as u32) as _;
            let info = libc::in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: libc::in_addr { s_addr: u32::from(source).to_be() },
                ipi_addr: libc::in_addr { s_addr: 0 },
            };
            libc::CMSG_DATA(control).cast::<libc::in_pktinfo>().write_unaligned(info);
        }
    }
    // SAFETY: the first `count` headers lead to arrays above and to the callers' bytes, all alive and as long as
    // said; the kernel only reads them.
    let sent = unsafe { libc::sendmmsg(socket, headers.as_mut_ptr(), count as u32, libc::MSG_DONTWAIT as _) };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(sent as usize) }
}

fn socket_address(address: SocketAddrV4) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as _,
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from(*address.ip()).to_be() },
        sin_zero: [0; 8],
    }
}

/// A packet socket that sends IPv4 to a card by its hardware address, and receives nothing.
///
/// # Errors
/// Without `CAP_NET_RAW` the system refuses.
pub fn open_frames() -> io::Result<OwnedFd> {
    open(libc::AF_PACKET, libc::SOCK_DGRAM, 0)
}

/// A packet socket for ARP, on all interfaces.
///
/// # Errors
/// As [`open_frames`].
pub fn open_arp() -> io::Result<OwnedFd> {
    open(libc::AF_PACKET, libc::SOCK_DGRAM, c_int::from((libc::ETH_P_ARP as u16).to_be()))
}

/// Narrows a socket of [`open_arp`] to one interface.
///
/// # Errors
/// What the system says; the socket then hears what it heard before.
pub fn bind_arp(socket: RawFd, interface: u32) -> io::Result<()> {
    // SAFETY: a plain C structure for which all-zero bytes are a valid value.
    let mut address: libc::sockaddr_ll = unsafe { zeroed() };
    address.sll_family = libc::AF_PACKET as _;
    address.sll_protocol = (libc::ETH_P_ARP as u16).to_be();
    address.sll_ifindex = interface as c_int;
    // SAFETY: the pointer leads to a live value of the length given; the kernel only reads it.
    check(unsafe { libc::bind(socket, (&raw const address).cast(), size_of::<libc::sockaddr_ll>() as u32) })
}

pub(crate) fn open(family: c_int, kind: c_int, protocol: c_int) -> io::Result<OwnedFd> {
    // SAFETY: takes numbers only.
    let fd = unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK, protocol) };
    check(fd)?;
    // SAFETY: the descriptor is new and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Sends `packet` to the card with `hardware` on `interface`; `protocol` is the Ethernet type.
///
/// # Errors
/// What the system says: `ENXIO` or `ENODEV` where the interface is gone, `ENETDOWN` where it is down.
pub fn send_frame(
    socket: RawFd,
    interface: u32,
    protocol: u16,
    hardware: &[u8],
    packet: &[u8],
) -> io::Result<()> {
    // SAFETY: a plain C structure for which all-zero bytes are a valid value.
    let mut address: libc::sockaddr_ll = unsafe { zeroed() };
    address.sll_family = libc::AF_PACKET as _;
    address.sll_protocol = protocol.to_be();
    address.sll_ifindex = interface as c_int;
    let length = hardware.len().min(address.sll_addr.len());
    address.sll_halen = length as u8;
    address.sll_addr[..length].copy_from_slice(&hardware[..length]);
    // SAFETY: both pointers lead to live values of the lengths given; the kernel only reads them.
    let sent = unsafe {
        libc::sendto(
            socket,
            packet.as_ptr().cast(),
            packet.len(),
            libc::MSG_DONTWAIT,
            (&raw const address).cast(),
            size_of::<libc::sockaddr_ll>() as u32,
        )
    };
    check(sent as c_int)
}

/// The next message on a packet socket and the interface it came in on; own messages that the kernel shows
/// again are left out.
///
/// # Errors
/// `WouldBlock` if nothing is waiting; else what the system says.
pub fn receive_frame(socket: RawFd, buffer: &mut [u8]) -> io::Result<Option<(usize, u32)>> {
    // SAFETY: a plain C structure for which all-zero bytes are a valid value.
    let mut address: libc::sockaddr_ll = unsafe { zeroed() };
    let mut length = size_of::<libc::sockaddr_ll>() as u32;
    // SAFETY: the pointers lead to live, writable values of the lengths given.
    let received = unsafe {
        libc::recvfrom(
            socket,
            buffer.as_mut_ptr().cast(),
            buffer.len(),
            libc::MSG_DONTWAIT,
            (&raw mut address).cast(),
            &raw mut length,
        )
    };
    check(received as c_int)?;
    const PACKET_OUTGOING: u8 = 4;
    let own = address.sll_pkttype == PACKET_OUTGOING;
    Ok((!own).then_some((received as usize, address.sll_ifindex as u32)))
}

/// What the kernel knows about an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its number, which changes when it is made anew.
    pub index: u32,
    /// Its card, where it is Ethernet.
    pub mac: Option<Mac>,
    /// Whether it is up and has a carrier.
    pub up: bool,
}

/// Looks the interface `name` up through `socket`, any socket.
///
/// # Errors
/// `NotFound` if there is none; else what the system says.
pub fn link(socket: RawFd, name: &str) -> io::Result<Link> {
    let index = ioctl(socket, name, libc::SIOCGIFINDEX)?;
    // SAFETY: the kernel has filled in the member that belongs to the request.
    let index = unsafe { index.ifr_ifru.ifru_ifindex } as u32;
    let card = ioctl(socket, name, libc::SIOCGIFHWADDR)?;
    // SAFETY: as above.
    let card = unsafe { card.ifr_ifru.ifru_hwaddr };
    let ethernet = card.sa_family == libc::ARPHRD_ETHER;
    let mut mac = [0; 6];
    for (byte, &raw) in mac.iter_mut().zip(&card.sa_data) {
        *byte = raw as u8;
    }
    let flags = ioctl(socket, name, libc::SIOCGIFFLAGS)?;
    // SAFETY: as above.
    let flags = c_int::from(unsafe { flags.ifr_ifru.ifru_flags });
    let up = flags & libc::IFF_UP != 0 && flags & libc::IFF_RUNNING != 0;
    Ok(Link { index, mac: ethernet.then_some(Mac(mac)), up })
}

fn ioctl(socket: RawFd, name: &str, request: libc::Ioctl) -> io::Result<libc::ifreq> {
    // SAFETY: a plain C structure for which all-zero bytes are a valid value.
    let mut ifreq: libc::ifreq = unsafe { zeroed() };
    // The last byte stays NUL.
    if name.len() >= ifreq.ifr_name.len() {
        return Err(io::ErrorKind::NotFound.into());
    }
    for (slot, byte) in ifreq.ifr_name.iter_mut().zip(name.bytes()) {
        *slot = byte as _;
    }
    // SAFETY: these requests read the name from, and write their answer to, a live `ifreq`.
    match check(unsafe { libc::ioctl(socket, request, &raw mut ifreq) }) {
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Err(io::ErrorKind::NotFound.into()),
        Err(error) => Err(error),
        Ok(()) => Ok(ifreq),
    }
}

/// A socket that the runtime watches.
///
/// # Errors
/// What the system says.
pub fn watch(socket: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` names the same open descriptor for as long as it lives, and the watcher owns it.
    unsafe { AsyncFd::register(socket) }.map_err(|error| error.into_parts().1)
}

/// Milliseconds since boot, time in suspension included.
pub fn uptime_ms() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer leads to a live, writable timespec.
    let done = unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut time) };
    debug_assert_eq!(done, 0, "every kernel since 2.6.39 has this clock");
    time.tv_sec as u64 * 1000 + time.tv_nsec as u64 / 1_000_000
}

pub(crate) fn set_option(socket: RawFd, level: c_int, name: c_int, value: c_int) -> io::Result<()> {
    // SAFETY: the pointer leads to a live int, and all options set here take an int.
    check(unsafe {
        libc::setsockopt(socket, level, name, (&raw const value).cast(), size_of::<c_int>() as u32)
    })
}

pub(crate) fn check(result: c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
