//! The site file that our daemon is measured with: nothing but what the link demands, all else default.

use std::path::Path;

use crate::netns::{PREFIX_LENGTH, SERVER_ADDRESS, SERVER_INTERFACE};

/// First address of the dynamic pool of every DHCP server.
pub const POOL_FIRST: &str = "10.77.16.0";
/// Last address of the dynamic pool of every DHCP server: room for 61 000 leases.
pub const POOL_LAST: &str = "10.77.255.250";
/// Lease time of every DHCP server, in seconds.
pub const LEASE_SECS: u32 = 3600;

/// The site file. `boot` is the tree that TFTP serves.
pub fn text(boot: &Path) -> String {
    format!(
        "version = 1\n\n\
         [cluster]\nname = \"bench\"\ndomain = \"example.com\"\nkind = \"none\"\n\n\
         [lan]\ninterface = \"{SERVER_INTERFACE}\"\naddress = \"{SERVER_ADDRESS}/{PREFIX_LENGTH}\"\n\
         pool = \"{POOL_FIRST}-{POOL_LAST}\"\n\n\
         [dhcp]\nlease = \"{LEASE_SECS}s\"\n\n\
         [tftp]\nroot = \"{}\"\n",
        boot.display()
    )
}
