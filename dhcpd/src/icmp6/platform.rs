//! The raw ICMPv6 socket: router solicitations in, router advertisements out.
#![expect(unsafe_code, reason = "these system calls have no safe wrapper")]

use std::ffi::c_int;
use std::io;
use std::mem::{size_of, zeroed};
use std::net::Ipv6Addr;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use crate::platform::{CONTROL_BYTES, Control, check, open, set_option};

/// A raw socket for router solicitations and advertisements.
///
/// # Errors
/// As [`crate::platform::open_frames`], or where the kernel has no IPv6.
pub fn open_socket() -> io::Result<OwnedFd> {
    let socket = open(libc::AF_INET6, libc::SOCK_RAW, libc::IPPROTO_ICMPV6)?;
    const ICMP6_FILTER: c_int = 1;
    // Blocks every type but 133, router solicitation: a set bit blocks.
    let mut filter = [u32::MAX; 8];
    filter[133 >> 5] &= !(1 << (133 & 31));
    // SAFETY: the pointer leads to an array of 32 bytes, which is what this option takes.
    let done = unsafe {
        libc::setsockopt(socket.as_raw_fd(), libc::IPPROTO_ICMPV6, ICMP6_FILTER, filter.as_ptr().cast(), 32)
    };
    check(done)?;
    let fd = socket.as_raw_fd();
    set_option(fd, libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_HOPS, 255)?;
    set_option(fd, libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS, 255)?;
    set_option(fd, libc::IPPROTO_IPV6, libc::IPV6_MULTICAST_LOOP, 0)?;
    set_option(fd, libc::IPPROTO_IPV6, libc::IPV6_RECVHOPLIMIT, 1)?;
    Ok(socket)
}

/// A router solicitation as it came in.
#[derive(Clone, Copy, Debug)]
pub struct Solicitation {
    /// Bytes of the message.
    pub length: usize,
    /// Who sent it.
    pub source: Ipv6Addr,
    /// The interface it came in on.
    pub interface: u32,
    /// How many routers it could still have passed; 255: none was passed.
    pub hop_limit: u8,
}

/// The next ICMPv6 message.
///
/// # Errors
/// `WouldBlock` if nothing is waiting; else what the system says.
pub fn receive(socket: RawFd, buffer: &mut [u8]) -> io::Result<Solicitation> {
    // SAFETY: plain C structures for which all-zero bytes are a valid value.
    let (mut header, mut name): (libc::msghdr, libc::sockaddr_in6) = unsafe { (zeroed(), zeroed()) };
    let mut control = Control([0; CONTROL_BYTES]);
    let mut vector = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    header.msg_name = (&raw mut name).cast();
    header.msg_namelen = size_of::<libc::sockaddr_in6>() as u32;
    header.msg_iov = &raw mut vector;
    header.msg_iovlen = 1;
    header.msg_control = control.0.as_mut_ptr().cast();
    header.msg_controllen = CONTROL_BYTES as _;
    // SAFETY: every pointer in `header` leads to a live, writable value of the length given.
    let received = unsafe { libc::recvmsg(socket, &raw mut header, libc::MSG_DONTWAIT) };
    check(received as c_int)?;
    let mut hop_limit = 0;
    // SAFETY: `header` was filled in by the kernel and its control buffer is alive.
    let mut message = unsafe { libc::CMSG_FIRSTHDR(&raw const header) };
    while !message.is_null() {
        // SAFETY: `message` is not null, so it leads to a whole header; the kernel puts an int behind this kind.
        unsafe {
            if ((*message).cmsg_level, (*message).cmsg_type) == (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT) {
                hop_limit = libc::CMSG_DATA(message).cast::<c_int>().read_unaligned() as u8;
            }
            message = libc::CMSG_NXTHDR(&raw const header, message);
        }
    }
    Ok(Solicitation {
        length: received as usize,
        source: Ipv6Addr::from(name.sin6_addr.s6_addr),
        interface: name.sin6_scope_id,
        hop_limit,
    })
}

/// Sends an ICMPv6 message from `from` to `to` on `interface`; the kernel fills in the checksum.
///
/// # Errors
/// What the system says.
pub fn send(socket: RawFd, interface: u32, from: Ipv6Addr, to: Ipv6Addr, message: &[u8]) -> io::Result<()> {
    // SAFETY: plain C structures for which all-zero bytes are a valid value.
    let (mut header, mut name): (libc::msghdr, libc::sockaddr_in6) = unsafe { (zeroed(), zeroed()) };
    name.sin6_family = libc::AF_INET6 as _;
    name.sin6_addr.s6_addr = to.octets();
    name.sin6_scope_id = interface;
    let mut control = Control([0; CONTROL_BYTES]);
    // The kernel reads the message only, in spite of the pointer's type.
    let mut vector = libc::iovec { iov_base: message.as_ptr().cast_mut().cast(), iov_len: message.len() };
    header.msg_name = (&raw mut name).cast();
    header.msg_namelen = size_of::<libc::sockaddr_in6>() as u32;
    header.msg_iov = &raw mut vector;
    header.msg_iovlen = 1;
    header.msg_control = control.0.as_mut_ptr().cast();
    const INFO_BYTES: u32 = size_of::<libc::in6_pktinfo>() as u32;
    // SAFETY: computes sizes only.
    let (space, length) = unsafe { (libc::CMSG_SPACE(INFO_BYTES), libc::CMSG_LEN(INFO_BYTES)) };
    const { assert!(CONTROL_BYTES >= 40, "room for a header and an in6_pktinfo") };
    header.msg_controllen = space as _;
    let info = libc::in6_pktinfo {
        ipi6_addr: libc::in6_addr { s6_addr: from.octets() },
        ipi6_ifindex: interface as _,
    };
    // SAFETY: the control buffer is alive, aligned, and has room for one message of this size.
    unsafe {
        let message = libc::CMSG_FIRSTHDR(&raw const header);
        (*message).cmsg_level = libc::IPPROTO_IPV6;
        (*message).cmsg_type = libc::IPV6_PKTINFO;
        (*message).cmsg_len = length as _;
        libc::CMSG_DATA(message).cast::<libc::in6_pktinfo>().write_unaligned(info);
    }
    // SAFETY: every pointer in `header` leads to a live value of the length given; the kernel only reads them.
    check(unsafe { libc::sendmsg(socket, &raw const header, libc::MSG_DONTWAIT) } as c_int)
}

/// Listens to all routers' multicast (`ff02::2`) on `interface`.
///
/// # Errors
/// What the system says; having joined already is none.
pub fn join_all_routers(socket: RawFd, interface: u32) -> io::Result<()> {
    let group = libc::ipv6_mreq {
        ipv6mr_multiaddr: libc::in6_addr { s6_addr: Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2).octets() },
        ipv6mr_interface: interface,
    };
    // SAFETY: the pointer leads to a live value of the length given, which is what this option takes.
    let done = unsafe {
        libc::setsockopt(
            socket,
            libc::IPPROTO_IPV6,
            libc::IPV6_ADD_MEMBERSHIP,
            (&raw const group).cast(),
            size_of::<libc::ipv6_mreq>() as u32,
        )
    };
    match check(done) {
        Err(error) if error.raw_os_error() == Some(libc::EADDRINUSE) => Ok(()),
        other => other,
    }
}
