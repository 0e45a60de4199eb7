//! Questions to TCP that no safe wrapper offers.
#![expect(unsafe_code, reason = "this ioctl and this socket option exist in libc only")]

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsRawFd, BorrowedFd};

/// Octets given to a TCP socket that its peer has not acknowledged (`SIOCOUTQ`, tcp(7)).
///
/// # Errors
/// The system's refusal: not a TCP socket.
pub fn unacknowledged_octets(socket: BorrowedFd<'_>) -> io::Result<u64> {
    let mut octets: libc::c_int = 0;
    // SAFETY: the descriptor is open for as long as it is borrowed, and SIOCOUTQ (the same number as TIOCOUTQ) writes
    // one int to where it is pointed, which `octets` is.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut octets) };
    if result == 0 { Ok(u64::try_from(octets).unwrap_or(0)) } else { Err(io::Error::last_os_error()) }
}

/// Segments of a TCP socket that are on their way: 0 while octets wait says that the peer does not want them yet.
///
/// # Errors
/// The system's refusal: not a TCP socket.
pub fn segments_in_flight(socket: BorrowedFd<'_>) -> io::Result<u32> {
    let mut info = MaybeUninit::<libc::tcp_info>::zeroed();
    let mut len = size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: the descriptor is open for as long as it is borrowed; the kernel writes at most `len` octets to `info`,
    // which is that large.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it was all zeroes, which every field of plain numbers may be, before the kernel wrote into it.
    Ok(unsafe { info.assume_init() }.tcpi_unacked)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn what_a_peer_does_not_read_waits_without_being_on_its_way() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert_eq!(unacknowledged_octets(client.as_fd()).unwrap(), 0);
        client.set_nonblocking(true).unwrap();
        while client.write(&[0; 65536]).is_ok() {}
        assert!(unacknowledged_octets(client.as_fd()).unwrap() > 0);
        for _ in 0..500 {
            if segments_in_flight(client.as_fd()).unwrap() == 0 {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("the peer acknowledged what fitted into its window");
    }
}
