//! Changing ids for the whole process.
#![expect(unsafe_code, reason = "the safe wrappers change ids of one thread only")]

use std::io;

use super::Account;

/// Becomes `account` with its primary group and no other, in all threads.
pub(super) fn become_user(account: &Account) -> io::Result<()> {
    // SAFETY: an empty list of groups is described by length 0; the pointer is not read then.
    check(unsafe { libc::setgroups(0, std::ptr::null()) })?;
    // SAFETY: takes ids by value and touches no memory of ours.
    check(unsafe { libc::setresgid(account.gid, account.gid, account.gid) })?;
    // SAFETY: as above.
    check(unsafe { libc::setresuid(account.uid, account.uid, account.uid) })
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
