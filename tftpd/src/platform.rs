//! Socket calls that no safe wrapper offers: where a datagram went to, from where an answer leaves, what
//! became of one, and segmentation in the kernel.
#![expect(unsafe_code, reason = "control messages and these socket options exist in libc only")]

use std::io;
use std::mem::{MaybeUninit, size_of, zeroed};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd};

/// Room for the control messages of one datagram.
const CONTROL_BYTES: usize = 256;

/// A datagram at the well-known port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Its length; what did not fit into the buffer is gone.
    pub len: usize,
    /// Who sent it.
    pub peer: SocketAddr,
    /// The address it was sent to; `None` where the kernel did not say.
    pub destination: Option<IpAddr>,
    /// The interface it arrived on.
    pub interface: u32,
}

/// An error that the network reported about a datagram of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// The error's number: `ECONNREFUSED` for a closed port.
    pub errno: i32,
    /// Where the datagram went.
    pub peer: SocketAddr,
}

/// Asks the kernel to tell where datagrams go to.
///
/// # Errors
/// The system's refusal.
pub fn tell_destination(socket: &impl AsFd, ipv6: bool) -> io::Result<()> {
    match ipv6 {
        false => set_option(socket, libc::IPPROTO_IP, libc::IP_PKTINFO, 1),
        true => set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1),
    }
}

/// Lets `bytes` wait to be received: beyond the system's limit with the right to do so, else up to it.
///
/// # Errors
/// The system's refusal.
pub fn receive_buffer(socket: &impl AsFd, bytes: libc::c_int) -> io::Result<()> {
    set_option(socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, bytes)
        .or_else(|_| set_option(socket, libc::SOL_SOCKET, libc::SO_RCVBUF, bytes))
}

/// Asks the kernel to keep what the network reports about datagrams of ours, for [`take_report`].
///
/// # Errors
/// The system's refusal.
pub fn keep_reports(socket: &impl AsFd, ipv6: bool) -> io::Result<()> {
    match ipv6 {
        false => set_option(socket, libc::IPPROTO_IP, libc::IP_RECVERR, 1),
        true => set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVERR, 1),
    }
}

/// Lets routers fragment what is too long for a link behind them, instead of losing it silently where
/// reports about it are filtered.
///
/// # Errors
/// The system's refusal.
pub fn allow_fragments(socket: &impl AsFd, ipv6: bool) -> io::Result<()> {
    match ipv6 {
        false => set_option(socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_DONT),
        true => set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_DONT),
    }
}

/// Makes the kernel cut what is sent into datagrams of `bytes` (UDP generic segmentation offload); 0: no more.
///
/// # Errors
/// The kernel is older than 4.18.
pub fn segment(socket: &impl AsFd, bytes: u16) -> io::Result<()> {
    set_option(socket, libc::SOL_UDP, libc::UDP_SEGMENT, bytes.into())
}

/// The MTU of the way to the peer that `socket` is connected to, in octets.
///
/// # Errors
/// The system's refusal.
pub fn path_mtu(socket: &impl AsFd, ipv6: bool) -> io::Result<usize> {
    let (level, name) = match ipv6 {
        false => (libc::IPPROTO_IP, libc::IP_MTU),
        true => (libc::IPPROTO_IPV6, libc::IPV6_MTU),
    };
    let mut mtu: libc::c_int = 0;
    let mut len = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the descriptor is open while borrowed; value and length point to live variables of the
    // announced size, which the kernel does not exceed.
    let result = unsafe {
        libc::getsockopt(socket.as_fd().as_raw_fd(), level, name, (&raw mut mtu).cast(), &raw mut len)
    };
    check(result as isize)?;
    Ok(usize::try_from(mtu).unwrap_or(0))
}

/// Receives a datagram together with its destination ([`tell_destination`]).
///
/// # Errors
/// `WouldBlock` where there is none; else what the system says.
pub fn receive(socket: &impl AsFd, buffer: &mut [u8]) -> io::Result<Received> {
    let mut received = Received { len: 0, peer: UNKNOWN, destination: None, interface: 0 };
    received.len = receive_with(socket, buffer, 0, |peer, control| {
        received.peer = peer.unwrap_or(UNKNOWN);
        match control {
            Control::Destination(address, interface) => {
                received.destination = Some(address);
                received.interface = interface;
            }
            Control::Errno(_) | Control::Other => {}
        }
    })?;
    Ok(received)
}

/// Takes the oldest report about a datagram of ours ([`keep_reports`]); `None`: there is none.
pub fn take_report(socket: &impl AsFd) -> Option<Report> {
    let mut report = Report { errno: 0, peer: UNKNOWN };
    let mut quoted = [0; 64];
    receive_with(socket, &mut quoted, libc::MSG_ERRQUEUE, |peer, control| {
        report.peer = peer.unwrap_or(UNKNOWN);
        if let Control::Errno(errno) = control {
            report.errno = errno;
        }
    })
    .ok()?;
    Some(report)
}

/// Sends `packet` to `peer` so that it comes from `source`.
///
/// # Errors
/// What the system says.
pub fn send_from(
    socket: &impl AsFd,
    packet: &[u8],
    peer: SocketAddr,
    source: Option<IpAddr>,
) -> io::Result<()> {
    let address = socket2::SockAddr::from(peer);
    let mut part = libc::iovec { iov_base: packet.as_ptr().cast_mut().cast(), iov_len: packet.len() };
    let mut control = ControlBuffer([0; CONTROL_BYTES]);
    // SAFETY: an all-zero msghdr is a valid empty one.
    let mut message: libc::msghdr = unsafe { zeroed() };
    message.msg_name = address.as_ptr().cast_mut().cast();
    message.msg_namelen = address.len();
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    if let Some(source) = source {
        message.msg_control = control.0.as_mut_ptr().cast();
        message.msg_controllen = CONTROL_BYTES as _;
        // SAFETY: `msg_control` points to CONTROL_BYTES aligned, zeroed octets, far more than either
        // message needs; the pointers come from the macros of libc for exactly this buffer.
        unsafe {
            let header = libc::CMSG_FIRSTHDR(&raw const message);
            match source {
                IpAddr::V4(source) => {
                    let mut info: libc::in_pktinfo = zeroed();
                    info.ipi_spec_dst.s_addr = u32::from(source).to_be();
                    (*header).cmsg_level = libc::IPPROTO_IP;
                    (*header).cmsg_type = libc::IP_PKTINFO;
                    (*header).cmsg_len = libc::CMSG_LEN(size_of::<libc::in_pktinfo>() as u32) as _;
                    libc::CMSG_DATA(header).cast::<libc::in_pktinfo>().write_unaligned(info);
                    message.msg_controllen = libc::CMSG_SPACE(size_of::<libc::in_pktinfo>() as u32) as _;
                }
                IpAddr::V6(source) => {
                    let mut info: libc::in6_pktinfo = zeroed();
                    info.ipi6_addr.s6_addr = source.octets();
                    (*header).cmsg_level = libc::IPPROTO_IPV6;
                    (*header).cmsg_type = libc::IPV6_PKTINFO;
                    (*header).cmsg_len = libc::CMSG_LEN(size_of::<libc::in6_pktinfo>() as u32) as _;
                    libc::CMSG_DATA(header).cast::<libc::in6_pktinfo>().write_unaligned(info);
                    message.msg_controllen = libc::CMSG_SPACE(size_of::<libc::in6_pktinfo>() as u32) as _;
                }
            }
        }
    }
    // SAFETY: every pointer in `message` is to a variable that lives until the call returns, with its length.
    let result = unsafe { libc::sendmsg(socket.as_fd().as_raw_fd(), &raw const message, libc::MSG_DONTWAIT) };
    check(result).map(drop)
}

/// How often this thread was made to give up its processor while it wanted to go on: 0 on an idle machine.
pub fn involuntary_switches() -> u64 {
    // SAFETY: all-zero is a valid value of this plain structure.
    let mut usage: libc::rusage = unsafe { zeroed() };
    // SAFETY: the pointer is to a live variable of the right type.
    let result = unsafe { libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage) };
    if result == 0 { u64::try_from(usage.ru_nivcsw).unwrap_or(0) } else { 0 }
}

/// A peer that nobody is.
const UNKNOWN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// What a control message says.
enum Control {
    Destination(IpAddr, u32),
    Errno(i32),
    Other,
}

/// Control messages have the alignment of their header.
#[repr(C, align(8))]
struct ControlBuffer([u8; CONTROL_BYTES]);

fn receive_with(
    socket: &impl AsFd,
    buffer: &mut [u8],
    flags: libc::c_int,
    mut note: impl FnMut(Option<SocketAddr>, Control),
) -> io::Result<usize> {
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let mut control = ControlBuffer([0; CONTROL_BYTES]);
    let mut name = MaybeUninit::<libc::sockaddr_storage>::zeroed();
    // SAFETY: an all-zero msghdr is a valid empty one.
    let mut message: libc::msghdr = unsafe { zeroed() };
    message.msg_name = name.as_mut_ptr().cast();
    message.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = CONTROL_BYTES as _;
    // SAFETY: every pointer in `message` is to a live variable, exclusively borrowed, with its length.
    let received =
        unsafe { libc::recvmsg(socket.as_fd().as_raw_fd(), &raw mut message, flags | libc::MSG_DONTWAIT) };
    let len = check(received)?;
    // SAFETY: zeroed and then written by the kernel: initialised either way.
    let peer = socket_address(unsafe { name.assume_init_ref() });
    note(peer, Control::Other);
    // SAFETY: the macros walk the control buffer between `msg_control` and the `msg_controllen` that the
    // kernel set, and each message's data has the length in its header, which is compared with what is read.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(&raw const message);
        while !header.is_null() {
            note(peer, read_control(header));
            header = libc::CMSG_NXTHDR(&raw const message, header);
        }
    }
    Ok(len)
}

/// # Safety
/// `header` points to a whole control message within a live buffer.
unsafe fn read_control(header: *const libc::cmsghdr) -> Control {
    // SAFETY: the caller vouches for the header and for as many octets after it as its length says; nothing
    // is read that is longer.
    unsafe {
        let whole: usize = (*header).cmsg_len as _;
        let room = whole.saturating_sub(libc::CMSG_LEN(0) as usize);
        let data = libc::CMSG_DATA(header);
        match ((*header).cmsg_level, (*header).cmsg_type) {
            (libc::IPPROTO_IP, libc::IP_PKTINFO) if room >= size_of::<libc::in_pktinfo>() => {
                let info = data.cast::<libc::in_pktinfo>().read_unaligned();
                let address = Ipv4Addr::from(u32::from_be(info.ipi_addr.s_addr));
                Control::Destination(address.into(), u32::try_from(info.ipi_ifindex).unwrap_or(0))
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) if room >= size_of::<libc::in6_pktinfo>() => {
                let info = data.cast::<libc::in6_pktinfo>().read_unaligned();
                Control::Destination(Ipv6Addr::from(info.ipi6_addr.s6_addr).into(), info.ipi6_ifindex)
            }
            (libc::IPPROTO_IP, libc::IP_RECVERR) | (libc::IPPROTO_IPV6, libc::IPV6_RECVERR)
                if room >= size_of::<libc::sock_extended_err>() =>
            {
                let error = data.cast::<libc::sock_extended_err>().read_unaligned();
                Control::Errno(i32::try_from(error.ee_errno).unwrap_or(0))
            }
            _ => Control::Other,
        }
    }
}

fn socket_address(storage: &libc::sockaddr_storage) -> Option<SocketAddr> {
    match i32::from(storage.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says that the storage, which is larger and more aligned, holds this type.
            let address = unsafe { &*(&raw const *storage).cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr));
            Some(SocketAddr::new(ip.into(), u16::from_be(address.sin_port)))
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let address = unsafe { &*(&raw const *storage).cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(address.sin6_addr.s6_addr);
            Some(SocketAddr::V6(std::net::SocketAddrV6::new(
                ip,
                u16::from_be(address.sin6_port),
                address.sin6_flowinfo,
                address.sin6_scope_id,
            )))
        }
        _ => None,
    }
}

fn set_option(socket: &impl AsFd, level: i32, name: i32, value: libc::c_int) -> io::Result<()> {
    // SAFETY: the descriptor is open while borrowed; the value is a live integer of the announced size.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    check(result as isize).map(drop)
}

fn check(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn a_datagram_tells_where_it_went_and_its_answer_comes_from_there() {
        let server = UdpSocket::bind("0.0.0.0:0").unwrap();
        tell_destination(&server, false).unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = server.local_addr().unwrap().port();
        client.send_to(b"question", ("127.0.0.5", port)).unwrap();
        server.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
        server.peek(&mut [0; 1]).unwrap();
        let mut buffer = [0; 32];
        let received = receive(&server, &mut buffer).unwrap();
        assert_eq!(&buffer[..received.len], b"question");
        assert_eq!(received.peer, client.local_addr().unwrap());
        assert_eq!(received.destination, Some("127.0.0.5".parse().unwrap()));
        assert_ne!(received.interface, 0);
        send_from(&server, b"answer", received.peer, received.destination).unwrap();
        let (len, from) = client.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..len], from), (&b"answer"[..], SocketAddr::from(([127, 0, 0, 5], port))));
    }

    #[test]
    fn a_closed_port_is_reported_with_its_address() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        keep_reports(&socket, false).unwrap();
        let closed = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert_eq!(take_report(&socket), None);
        socket.send_to(b"x", closed).unwrap();
        assert_eq!(take_report(&socket), Some(Report { errno: libc::ECONNREFUSED, peer: closed }));
    }

    #[test]
    fn a_long_datagram_is_cut_into_segments() {
        let (sender, receiver) =
            (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        segment(&sender, 100).unwrap();
        sender.send_to(&[7; 250], receiver.local_addr().unwrap()).unwrap();
        let lengths = [(); 3].map(|()| receiver.recv(&mut [0; 300]).unwrap());
        assert_eq!(lengths, [100, 100, 50]);
    }
}
