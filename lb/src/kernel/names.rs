//! What chains, maps and counters are called.

/// Our table; nothing else is ever touched.
pub(super) const TABLE: &str = "faros_lb";

/// Longer names than this end in a hash; the kernel takes 255 octets.
const NAME_MAX: usize = 120;

/// What is counted of a server, as the first part of the counter's name.
pub(super) const CONNECTIONS: &str = "connections";
/// Octets towards it.
pub(super) const SENT: &str = "sent";
/// Octets from it.
pub(super) const RECEIVED: &str = "received";
/// SYN+ACKs from it.
pub(super) const ANSWERED: &str = "answered";
/// Its resets before the handshake was over.
pub(super) const REFUSED: &str = "refused";
/// Its later resets.
pub(super) const RESETS: &str = "resets";

/// What is counted of a front end: connections that found no server.
pub(super) const NOBODY: &str = "nobody";
/// Connections from where none are allowed.
pub(super) const FOREIGN: &str = "foreign";
/// Connections beyond the limit of their source.
pub(super) const LIMITED: &str = "limited";
/// Segments of connections that nobody knows (any more).
pub(super) const STRAY: &str = "stray";

/// `kind/front`
pub(super) fn of_front(kind: &str, front: &str) -> String {
    bounded(format!("{kind}/{}", plain(front)))
}

/// `kind/front/server`
pub(super) fn of_server(kind: &str, front: &str, server: &str) -> String {
    bounded(format!("{kind}/{}/{}", plain(front), plain(server)))
}

/// As `nft` can read it: anything but letters, digits, `-` and `.` becomes `_` and its number, so that different names
/// stay different.
fn plain(name: &str) -> String {
    let mut plain = String::with_capacity(name.len());
    for character in name.chars() {
        if character.is_ascii_alphanumeric() || matches!(character, '-' | '.') {
            plain.push(character);
        } else {
            plain.push_str(&format!("_{:x}_", u32::from(character)));
        }
    }
    plain
}

fn bounded(name: String) -> String {
    if name.len() <= NAME_MAX {
        return name;
    }
    // FNV-1a, 64 bits: the same in every build. The name is plain ASCII, so any index is a boundary.
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{}-{hash:016x}", &name[..NAME_MAX - 17])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_servers_have_different_names() {
        let long = "x".repeat(300);
        let names = [
            of_server(SENT, "a", "b-c"),
            of_server(SENT, "a-b", "c"),
            of_server(SENT, "a/b", "c"),
            of_server(SENT, "a_b", "c"),
            of_server(SENT, &long, "1"),
            of_server(SENT, &long, "2"),
        ];
        for (index, name) in names.iter().enumerate() {
            assert!(name.len() <= NAME_MAX);
            assert!(!names[..index].contains(name), "{name} is there twice");
        }
    }
}
