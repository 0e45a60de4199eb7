//! ICMPv6 on the LAN.

pub mod platform;

use std::net::Ipv6Addr;

/// Where the kernel lists IPv6 addresses (proc(5)).
const ADDRESSES: &str = "/proc/net/if_inet6";

/// Not usable as a source: duplicate address detection has failed, or is not over (`IFA_F_DADFAILED`,
/// `IFA_F_TENTATIVE`).
const UNUSABLE: u32 = 0x08 | 0x40;

/// The link-local address of `interface`, once it may be used. Hosts ignore an advertisement from any other
/// source (RFC 4861 section 6.1.2).
pub fn link_local(interface: u32) -> Option<Ipv6Addr> {
    link_local_in(&std::fs::read_to_string(ADDRESSES).ok()?, interface)
}

fn link_local_in(list: &str, interface: u32) -> Option<Ipv6Addr> {
    list.lines().find_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        let address = Ipv6Addr::from(u128::from_str_radix(fields.next()?, 16).ok()?);
        let mut number = || u32::from_str_radix(fields.next()?, 16).ok();
        let (index, _prefix, _scope, flags) = (number()?, number()?, number()?, number()?);
        let usable = index == interface && address.is_unicast_link_local() && flags & UNUSABLE == 0;
        usable.then_some(address)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tentative_address_is_no_source() {
        let list = "fd080000000000000000000000000001 03 40 00 80     lan0\n\
                    fe80000000000000505400fffe000801 03 40 20 c0     lan0\n\
                    fe80000000000000505400fffe000802 04 40 20 80     up0\n";
        assert_eq!(link_local_in(list, 3), None);
        assert_eq!(link_local_in(list, 4), Some("fe80::5054:ff:fe00:802".parse().unwrap()));
        let later = list.replace(" c0 ", " 80 ");
        assert_eq!(link_local_in(&later, 3), Some("fe80::5054:ff:fe00:801".parse().unwrap()));
        assert_eq!(link_local_in("garbage\n\n", 3), None);
    }
}
