//! Users and groups by name, from `/etc/passwd` and `/etc/group`.
//!
//! Read directly: the C library's look-ups need its dynamic form, which static builds do not have.

use std::fs;

/// The user that daemons become, and the one they fall back to.
const USERS: [&str; 2] = ["faros", "nobody"];

/// A user that a daemon can become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// Its id.
    pub uid: u32,
    /// Its primary group.
    pub gid: u32,
}

impl Account {
    /// The account that daemons run as: `faros`, or `nobody` where there is none; ids 65534 where there is
    /// no list of users at all, as in a container made from nothing.
    pub fn of_daemons() -> Self {
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        USERS.iter().find_map(|name| find(&passwd, name)).unwrap_or(Self {
            name: "65534".to_owned(),
            uid: 65534,
            gid: 65534,
        })
    }
}

/// The id of the group `name`, where the host has it.
pub(crate) fn group_id(name: &str) -> Option<u32> {
    let groups = fs::read_to_string("/etc/group").ok()?;
    let line = groups.lines().find(|line| line.split(':').next() == Some(name))?;
    line.split(':').nth(2)?.parse().ok()
}

fn find(passwd: &str, name: &str) -> Option<Account> {
    let fields: Vec<&str> =
        passwd.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| fields[0] == name)?;
    Some(Account {
        name: name.to_owned(),
        uid: fields.get(2)?.parse().ok()?,
        gid: fields.get(3)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_found_by_its_whole_name() {
        let passwd = "root:x:0:0::/root:/bin/sh\nfarosx:x:1:1::/:\nfaros:x:977:978::/:/usr/sbin/nologin\n";
        let account = find(passwd, "faros").unwrap();
        assert_eq!((account.uid, account.gid), (977, 978));
        assert_eq!(find(passwd, "far"), None);
    }
}
