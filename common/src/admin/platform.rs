//! Who is at the other end of a Unix socket.
#![expect(unsafe_code, reason = "SO_PEERGROUPS has no safe wrapper")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// More groups than this are not asked for; such a peer counts as a member of none.
const GROUPS_MAX: usize = 1024;

/// The supplementary groups of the peer (unix(7), SO_PEERGROUPS).
pub(super) fn peer_groups(socket: BorrowedFd<'_>) -> io::Result<Vec<u32>> {
    let mut groups = vec![0_u32; GROUPS_MAX];
    let mut length = (groups.len() * size_of::<u32>()) as libc::socklen_t;
    // SAFETY: the pointer and `length` describe the whole of `groups`, which outlives the call; the kernel
    // writes at most `length` bytes and stores how many in `length`.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERGROUPS,
            groups.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    groups.truncate(length as usize / size_of::<u32>());
    Ok(groups)
}
