//! Socket calls that no safe wrapper offers: datagrams in batches, with the address they were sent to.
#![expect(unsafe_code, reason = "sendmmsg, recvmmsg and their control messages have no safe wrapper")]

use std::io;
use std::mem::{size_of, zeroed};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd};
use std::ptr::NonNull;

/// The longest request that is taken from a datagram, in octets; one that is longer is cut and shows as such.
pub const REQUEST_BYTES_MAX: usize = 4096;
/// Room for a reply before it is limited to what the client takes, in octets.
pub const REPLY_BYTES: usize = 4096;
/// Datagrams taken from or given to the kernel at once.
pub const BATCH: usize = 32;

/// Buffers lie this far apart, so that the beginnings of a batch's datagrams do not compete for the same cache lines.
const STRIDE: usize = 4096 + 64;
/// Room for one control message with an address of either family.
const CONTROL_BYTES: usize = 64;

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

/// Lets `bytes` wait in either direction: beyond the system's limit with the right to do so, else up to it.
///
/// # Errors
/// The system's refusal.
pub fn buffers(socket: &impl AsFd, bytes: libc::c_int) -> io::Result<()> {
    set_option(socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, bytes)
        .or_else(|_| set_option(socket, libc::SOL_SOCKET, libc::SO_RCVBUF, bytes))?;
    set_option(socket, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, bytes)
        .or_else(|_| set_option(socket, libc::SOL_SOCKET, libc::SO_SNDBUF, bytes))
}

/// Sends whole packets or none, and believes no report about path MTUs: replies are short enough for any link
/// (RFC 9715), forged reports could make fragments of them, and fragments are easy to replace.
///
/// # Errors
/// The system's refusal.
pub fn never_fragment(socket: &impl AsFd, ipv6: bool) -> io::Result<()> {
    match ipv6 {
        false => set_option(socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_PROBE),
        true => set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_PROBE),
    }
}

/// Milliseconds of the monotonic clock and seconds of the date, both as coarse as the kernel's tick (a few
/// milliseconds) and for a tenth of the price of exact ones.
pub fn coarse_clocks() -> (u64, u64) {
    let read = |clock| {
        // SAFETY: all-zero is a valid value of this plain structure.
        let mut time: libc::timespec = unsafe { zeroed() };
        // SAFETY: the pointer is to a live variable of the right type; both clocks exist since Linux 2.6.32.
        unsafe { libc::clock_gettime(clock, &raw mut time) };
        (time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs())
    };
    let (seconds, nanos) = read(libc::CLOCK_MONOTONIC_COARSE);
    (seconds * 1000 + nanos / 1_000_000, read(libc::CLOCK_REALTIME_COARSE).0)
}

/// A datagram of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// What it holds.
    pub bytes: &'a [u8],
    /// Who sent it.
    pub peer: SocketAddr,
    /// The address it was sent to, where the kernel was asked to tell ([`tell_destination`]).
    pub destination: Option<IpAddr>,
    /// Whether it was longer than [`REQUEST_BYTES_MAX`].
    pub cut: bool,
}

/// What became of a batch's replies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Taken by the kernel.
    pub sent: usize,
    /// Refused by it: no route, no room.
    pub refused: usize,
}

/// Room for [`BATCH`] datagrams and their replies. Memory is taken once.
pub struct Batch {
    memory: NonNull<Memory>,
    received: usize,
    replies: usize,
    with_destination: bool,
}

// SAFETY: the memory is this value's own; nothing else points to it.
unsafe impl Send for Batch {}

/// What the kernel reads and writes. The headers point into the other fields, so it never moves.
#[repr(C)]
struct Memory {
    incoming: [libc::mmsghdr; BATCH],
    outgoing: [libc::mmsghdr; BATCH],
    incoming_parts: [libc::iovec; BATCH],
    outgoing_parts: [libc::iovec; BATCH],
    names: [Name; BATCH],
    controls: [Control; BATCH],
    requests: [[u8; STRIDE]; BATCH],
    replies: [[u8; STRIDE]; BATCH],
}

/// An address of either family.
#[repr(C)]
union Name {
    family: libc::sa_family_t,
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
}

/// Control messages have the alignment of their header.
#[repr(C, align(8))]
struct Control([u8; CONTROL_BYTES]);

impl Batch {
    /// An empty batch; `with_destination` for sockets that were told to [`tell_destination`].
    pub fn new(with_destination: bool) -> Self {
        let layout = std::alloc::Layout::new::<Memory>();
        // SAFETY: the layout has a size.
        let memory = unsafe { std::alloc::alloc_zeroed(layout) }.cast::<Memory>();
        let Some(memory) = NonNull::new(memory) else { std::alloc::handle_alloc_error(layout) };
        let batch = Self { memory, received: 0, replies: 0, with_destination };
        let at = memory.as_ptr();
        for index in 0..BATCH {
            // SAFETY: `at` is valid for a whole `Memory`, for which all-zero is a valid value, and `index` lies
            // within each of its arrays. The pointers that are stored are derived from the allocation's own.
            unsafe {
                (*at).incoming_parts[index].iov_base = (&raw mut (*at).requests[index]).cast();
                (*at).incoming_parts[index].iov_len = REQUEST_BYTES_MAX;
                let header = &raw mut (*at).incoming[index].msg_hdr;
                (*header).msg_iov = &raw mut (*at).incoming_parts[index];
                (*header).msg_iovlen = 1;
                (*header).msg_name = (&raw mut (*at).names[index]).cast();
                (*header).msg_namelen = size_of::<Name>() as libc::socklen_t;
                if with_destination {
                    (*header).msg_control = (&raw mut (*at).controls[index]).cast();
                    (*header).msg_controllen = CONTROL_BYTES as _;
                }
                let header = &raw mut (*at).outgoing[index].msg_hdr;
                (*header).msg_iov = &raw mut (*at).outgoing_parts[index];
                (*header).msg_iovlen = 1;
            }
        }
        batch
    }

    /// Waits for datagrams on a blocking `socket`, as long as its receive timeout allows, and returns how many came.
    /// Replies that were not sent are forgotten.
    ///
    /// # Errors
    /// `WouldBlock` where none came in time; else what the system says.
    pub fn receive(&mut self, socket: &impl AsFd) -> io::Result<usize> {
        let at = self.memory.as_ptr();
        for index in 0..self.received {
            // SAFETY: see `new`. What the kernel changed is put back.
            unsafe {
                let header = &raw mut (*at).incoming[index].msg_hdr;
                (*header).msg_namelen = size_of::<Name>() as libc::socklen_t;
                if self.with_destination {
                    (*header).msg_controllen = CONTROL_BYTES as _;
                }
            }
        }
        (self.received, self.replies) = (0, 0);
        // SAFETY: the headers are BATCH many, and each points to live memory of the announced length that nothing
        // else refers to: datagrams borrow the batch.
        let received = unsafe {
            libc::recvmmsg(
                socket.as_fd().as_raw_fd(),
                (&raw mut (*at).incoming).cast(),
                BATCH as libc::c_uint,
                libc::MSG_WAITFORONE as _,
                std::ptr::null_mut(),
            )
        };
        self.received = check(received as isize)?.min(BATCH);
        Ok(self.received)
    }

    /// The datagram number `index` of those received, and room for its reply; `None` where its sender's address makes
    /// no sense.
    #[inline]
    pub fn datagram(&mut self, index: usize) -> Option<(Datagram<'_>, &mut [u8])> {
        assert!(index < self.received, "only what was received can be looked at");
        let at = self.memory.as_ptr();
        // SAFETY: `index` lies within the arrays; all fields are initialised. The request is borrowed shared and the
        // reply exclusively, which are different memory, and both as long as the batch is.
        unsafe {
            let header = &raw const (*at).incoming[index];
            let peer = socket_address(&(*at).names[index], (*header).msg_hdr.msg_namelen)?;
            let destination =
                if self.with_destination { read_destination(&raw const (*header).msg_hdr) } else { None };
            let len = ((*header).msg_len as usize).min(REQUEST_BYTES_MAX);
            let bytes = std::slice::from_raw_parts((&raw const (*at).requests[index]).cast::<u8>(), len);
            let reply =
                std::slice::from_raw_parts_mut((&raw mut (*at).replies[index]).cast::<u8>(), REPLY_BYTES);
            let cut = (*header).msg_hdr.msg_flags & libc::MSG_TRUNC != 0;
            Some((Datagram { bytes, peer, destination, cut }, reply))
        }
    }

    /// Puts the first `len` octets of the room for the reply to datagram `index` on the list of what is to be sent,
    /// from `source` where that is given.
    #[inline]
    pub fn reply(&mut self, index: usize, len: usize, source: Option<IpAddr>) {
        assert!(
            index < self.received && self.replies < BATCH,
            "each datagram of a batch has one reply at most"
        );
        let (at, place) = (self.memory.as_ptr(), self.replies);
        // SAFETY: both indices lie within the arrays. The name is the datagram's own, as the kernel wrote it.
        unsafe {
            (*at).outgoing_parts[place].iov_base = (&raw mut (*at).replies[index]).cast();
            (*at).outgoing_parts[place].iov_len = len.min(REPLY_BYTES);
            let header = &raw mut (*at).outgoing[place].msg_hdr;
            (*header).msg_name = (&raw mut (*at).names[index]).cast();
            (*header).msg_namelen = (*at).incoming[index].msg_hdr.msg_namelen;
            if self.with_destination {
                match source {
                    Some(source) => {
                        (*header).msg_control = (&raw mut (*at).controls[index]).cast();
                        (*header).msg_controllen = CONTROL_BYTES as _;
                        write_source(&mut *header, source);
                    }
                    None => {
                        (*header).msg_control = std::ptr::null_mut();
                        (*header).msg_controllen = 0;
                    }
                }
            }
        }
        self.replies += 1;
    }

    /// Sends the replies listed; one that the system refuses does not hold up the others.
    pub fn send(&mut self, socket: &impl AsFd) -> Sent {
        let at = self.memory.as_ptr();
        let mut outcome = Sent::default();
        let mut next = 0;
        while next < self.replies {
            // SAFETY: `next` and what follows lies within the array; each header points to live, initialised memory.
            let sent = unsafe {
                libc::sendmmsg(
                    socket.as_fd().as_raw_fd(),
                    (&raw mut (*at).outgoing).cast::<libc::mmsghdr>().add(next),
                    (self.replies - next) as libc::c_uint,
                    libc::MSG_DONTWAIT as _,
                )
            };
            match check(sent as isize) {
                Ok(sent) if sent > 0 => {
                    outcome.sent += sent;
                    next += sent;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(_) | Err(_) => {
                    outcome.refused += 1;
                    next += 1;
                }
            }
        }
        self.replies = 0;
        outcome
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this very layout, and freed only here.
        unsafe { std::alloc::dealloc(self.memory.as_ptr().cast(), std::alloc::Layout::new::<Memory>()) };
    }
}

/// Sends `packet` to `peer` so that it comes from `source`, without waiting.
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
    let mut control = Control([0; CONTROL_BYTES]);
    // SAFETY: an all-zero msghdr is a valid empty one.
    let mut message: libc::msghdr = unsafe { zeroed() };
    message.msg_name = address.as_ptr().cast_mut().cast();
    message.msg_namelen = address.len();
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    if let Some(source) = source {
        message.msg_control = control.0.as_mut_ptr().cast();
        message.msg_controllen = CONTROL_BYTES as _;
        // SAFETY: `msg_control` points to CONTROL_BYTES aligned octets.
        unsafe { write_source(&mut message, source) };
    }
    // SAFETY: every pointer in `message` is to a variable that lives until the call returns, with its length.
    let result = unsafe { libc::sendmsg(socket.as_fd().as_raw_fd(), &raw const message, libc::MSG_DONTWAIT) };
    check(result).map(drop)
}

/// Makes `source` the control message of `message`.
///
/// # Safety
/// `msg_control` points to [`CONTROL_BYTES`] octets, aligned like a header.
unsafe fn write_source(message: &mut libc::msghdr, source: IpAddr) {
    // SAFETY: the room is far more than either message needs; the pointers come from the macros of libc for exactly
    // this buffer.
    unsafe {
        let header = libc::CMSG_FIRSTHDR(&raw const *message);
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

/// # Safety
/// `message` was filled by the kernel, and its control buffer lives.
unsafe fn read_destination(message: *const libc::msghdr) -> Option<IpAddr> {
    // SAFETY: the macros walk the control buffer between `msg_control` and the `msg_controllen` that the kernel set,
    // and each message's data has the length in its header, which is compared with what is read.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(message);
        while !header.is_null() {
            let whole: usize = (*header).cmsg_len as _;
            let room = whole.saturating_sub(libc::CMSG_LEN(0) as usize);
            let data = libc::CMSG_DATA(header);
            match ((*header).cmsg_level, (*header).cmsg_type) {
                (libc::IPPROTO_IP, libc::IP_PKTINFO) if room >= size_of::<libc::in_pktinfo>() => {
                    let info = data.cast::<libc::in_pktinfo>().read_unaligned();
                    return Some(Ipv4Addr::from(u32::from_be(info.ipi_addr.s_addr)).into());
                }
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) if room >= size_of::<libc::in6_pktinfo>() => {
                    let info = data.cast::<libc::in6_pktinfo>().read_unaligned();
                    return Some(Ipv6Addr::from(info.ipi6_addr.s6_addr).into());
                }
                _ => header = libc::CMSG_NXTHDR(message, header),
            }
        }
    }
    None
}

/// # Safety
/// The first `len` octets of `name` were written by the kernel.
#[inline]
unsafe fn socket_address(name: &Name, len: libc::socklen_t) -> Option<SocketAddr> {
    // SAFETY: every field is plain data and initialised, at least with zeroes; the family says which one is meant.
    unsafe {
        match i32::from(name.family) {
            libc::AF_INET if len as usize >= size_of::<libc::sockaddr_in>() => {
                let ip = Ipv4Addr::from(u32::from_be(name.v4.sin_addr.s_addr));
                Some(SocketAddr::new(ip.into(), u16::from_be(name.v4.sin_port)))
            }
            libc::AF_INET6 if len as usize >= size_of::<libc::sockaddr_in6>() => {
                let v6 = &name.v6;
                Some(SocketAddr::V6(SocketAddrV6::new(
                    Ipv6Addr::from(v6.sin6_addr.s6_addr),
                    u16::from_be(v6.sin6_port),
                    v6.sin6_flowinfo,
                    v6.sin6_scope_id,
                )))
            }
            _ => None,
        }
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
mod tests;
