//! Server cookies (RFC 7873) in the form that all servers of a site can check (RFC 9018).
//!
//! A client that repeats our cookie has shown that it receives at its address: it is no victim of somebody who
//! forges sources. What follows from that, and whether others are told BADCOOKIE, is the caller's policy.

use std::net::IpAddr;

use siphasher::sip::SipHasher24;

use super::edns::CookieOption;

/// A secret from which cookies are made; the same on all servers that share an address.
pub type Secret = [u8; 16];

/// The only version there is (RFC 9018 section 4.1).
const VERSION: u8 = 1;
/// How old a cookie may be, in seconds (RFC 9018 section 4.3).
const AGE_SECS_MAX: i32 = 3600;
/// How far ahead of our clock a cookie may be, in seconds (RFC 9018 section 4.3).
const AHEAD_SECS_MAX: i32 = 300;
/// From this age on, in seconds, the client gets a fresh cookie (RFC 9018 section 4.3).
const RENEWAL_SECS: i32 = 1800;
/// Version, reserved, time; the hash follows.
const FRONT_BYTES: usize = 8;

/// What a request's cookie says about its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is no cookie.
    None,
    /// The client has none of ours yet.
    ClientOnly,
    /// Ours, and made for this client at this address not long ago.
    Valid,
    /// Old, made by others, or made up.
    Bad,
}

/// The secrets from which this server makes and checks cookies.
#[derive(Clone)]
pub struct Cookies {
    current: Secret,
    previous: Option<Secret>,
}

impl Cookies {
    /// New cookies are made from `current`; those made from `previous` count until they are too old, so that a
    /// change of secrets goes unnoticed (RFC 9018 section 5).
    pub fn new(current: Secret, previous: Option<Secret>) -> Self {
        Self { current, previous }
    }

    /// What the cookie of a request from `client` is worth.
    pub fn verdict(&self, cookie: Option<&CookieOption<'_>>, client: IpAddr, wall_secs: u64) -> Verdict {
        let Some(cookie) = cookie else { return Verdict::None };
        if cookie.server().is_empty() {
            return Verdict::ClientOnly;
        }
        let is_ours = timely_front(cookie, AGE_SECS_MAX, wall_secs).is_some_and(|front| {
            let made_from = |secret| server_cookie(secret, &cookie.client, front, client) == cookie.server();
            made_from(&self.current) || self.previous.as_ref().is_some_and(made_from)
        });
        if is_ours { Verdict::Valid } else { Verdict::Bad }
    }

    /// Client and server cookie for the reply: the same again while it is young and from the current secret, else
    /// a fresh one.
    pub fn reply(&self, cookie: &CookieOption<'_>, client: IpAddr, wall_secs: u64) -> [u8; 24] {
        // Time is 32 bits wide and compared in a circle (RFC 1982).
        let [.., t3, t2, t1, t0] = wall_secs.to_be_bytes();
        let fresh = [VERSION, 0, 0, 0, t3, t2, t1, t0];
        let server = timely_front(cookie, RENEWAL_SECS, wall_secs)
            .map(|front| server_cookie(&self.current, &cookie.client, front, client))
            .filter(|same| same == cookie.server())
            .unwrap_or_else(|| server_cookie(&self.current, &cookie.client, fresh, client));
        let mut reply = [0; 24];
        reply[..8].copy_from_slice(&cookie.client);
        reply[8..].copy_from_slice(&server);
        reply
    }
}

/// The front of a server cookie if it has our form and is no older than `age_secs_max`.
fn timely_front(cookie: &CookieOption<'_>, age_secs_max: i32, wall_secs: u64) -> Option<[u8; FRONT_BYTES]> {
    let server: &[u8; 16] = cookie.server().try_into().ok()?;
    let front = *server.first_chunk::<FRONT_BYTES>()?;
    // The reserved octets may be anything (RFC 9018 section 4.2); the hash covers them.
    let [version, _, _, _, time @ ..] = front;
    let age = (wall_secs as u32).wrapping_sub(u32::from_be_bytes(time)) as i32;
    (version == VERSION && (-AHEAD_SECS_MAX..=age_secs_max).contains(&age)).then_some(front)
}

/// Version, reserved, time and the hash over client cookie, these, and the client's address (RFC 9018 section 4.4).
fn server_cookie(
    secret: &Secret,
    client_cookie: &[u8; 8],
    front: [u8; FRONT_BYTES],
    client: IpAddr,
) -> [u8; 16] {
    let mut input = [0; 32];
    input[..8].copy_from_slice(client_cookie);
    input[8..16].copy_from_slice(&front);
    let len = match client.to_canonical() {
        IpAddr::V4(address) => {
            input[16..20].copy_from_slice(&address.octets());
            20
        }
        IpAddr::V6(address) => {
            input[16..32].copy_from_slice(&address.octets());
            32
        }
    };
    let hash = SipHasher24::new_with_key(secret).hash(&input[..len]);
    let mut cookie = [0; 16];
    cookie[..FRONT_BYTES].copy_from_slice(&front);
    cookie[FRONT_BYTES..].copy_from_slice(&hash.to_le_bytes());
    cookie
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "e5e973e5a6b2a43f48e7dc849e37bfcf";

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    }

    fn secret(text: &str) -> Secret {
        hex(text).try_into().unwrap()
    }

    fn option(text: &str) -> CookieOption<'static> {
        CookieOption::parse(hex(text).leak()).unwrap()
    }

    // RFC 9018 appendix A.1.
    #[test]
    fn a_new_client_learns_its_cookie() {
        let cookies = Cookies::new(secret(SECRET), None);
        let (client, cookie) = ("198.51.100.100".parse().unwrap(), option("2464c4abcf10c957"));
        assert_eq!(cookies.verdict(Some(&cookie), client, 1_559_731_985), Verdict::ClientOnly);
        let reply = cookies.reply(&cookie, client, 1_559_731_985);
        assert_eq!(reply.to_vec(), hex("2464c4abcf10c957010000005cf79f111f8130c3eee29480"));
    }

    // RFC 9018 appendix A.2.
    #[test]
    fn a_cookie_of_forty_minutes_is_valid_and_renewed() {
        let cookies = Cookies::new(secret(SECRET), None);
        let client = "198.51.100.100".parse().unwrap();
        let cookie = option("2464c4abcf10c957010000005cf79f111f8130c3eee29480");
        let now = 0x5cf7_a871;
        assert_eq!(cookies.verdict(Some(&cookie), client, now), Verdict::Valid);
        let reply = cookies.reply(&cookie, client, now);
        assert_eq!(reply.to_vec(), hex("2464c4abcf10c957010000005cf7a871d4a564a1442aca77"));
    }

    // RFC 9018 appendix A.3: the reserved octets are not zero.
    #[test]
    fn reserved_octets_are_hashed_as_received() {
        let cookies = Cookies::new(secret(SECRET), None);
        let client = "203.0.113.203".parse().unwrap();
        let cookie = option("fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5");
        let now = 0x5cf7_9500;
        assert_eq!(cookies.verdict(Some(&cookie), client, now), Verdict::Valid);
        let later = cookies.reply(&cookie, client, 0x5cf7_a9ac);
        assert_eq!(later.to_vec(), hex("fc93fc62807ddb86010000005cf7a9acf73a7810aca2381e"));
    }

    // RFC 9018 appendix A.4: an IPv6 client, and a secret that was changed.
    #[test]
    fn a_cookie_of_the_previous_secret_is_valid_and_renewed() {
        let (old, new) = ("dd3bdf9344b678b185a6f5cb60fca715", "445536bcd2513298075a5d379663c962");
        let client = "2001:db8:220:1:59de:d0f4:8769:82b8".parse().unwrap();
        let cookie = option("22681ab97d52c298010000005cf7c57926556bd0934c72f8");
        let now = 0x5cf7_c609;
        assert_eq!(Cookies::new(secret(new), None).verdict(Some(&cookie), client, now), Verdict::Bad);
        let cookies = Cookies::new(secret(new), Some(secret(old)));
        assert_eq!(cookies.verdict(Some(&cookie), client, now), Verdict::Valid);
        let reply = cookies.reply(&cookie, client, now);
        assert_eq!(reply.to_vec(), hex("22681ab97d52c298010000005cf7c609a6bb79d16625507a"));
    }

    #[test]
    fn a_cookie_lives_an_hour_and_may_be_five_minutes_ahead() {
        let cookies = Cookies::new(secret(SECRET), None);
        let client = "192.0.2.1".parse().unwrap();
        let made = 1_800_000_000;
        let reply = cookies.reply(&option("0011223344556677"), client, made);
        let cookie = CookieOption::parse(&reply).unwrap();
        let verdict = |now| cookies.verdict(Some(&cookie), client, now);
        assert_eq!(verdict(made + 3600), Verdict::Valid);
        assert_eq!(verdict(made + 3601), Verdict::Bad);
        assert_eq!(verdict(made - 300), Verdict::Valid);
        assert_eq!(verdict(made - 301), Verdict::Bad);
    }

    #[test]
    fn time_may_wrap_around() {
        let cookies = Cookies::new(secret(SECRET), None);
        let client = "192.0.2.1".parse().unwrap();
        let made = u64::from(u32::MAX) - 5;
        let reply = cookies.reply(&option("0011223344556677"), client, made);
        let cookie = CookieOption::parse(&reply).unwrap();
        assert_eq!(cookies.verdict(Some(&cookie), client, made + 60), Verdict::Valid);
    }

    #[test]
    fn a_young_cookie_is_repeated() {
        let cookies = Cookies::new(secret(SECRET), None);
        let client = "192.0.2.1".parse().unwrap();
        let first = cookies.reply(&option("0011223344556677"), client, 1_000_000);
        let again = |now| cookies.reply(&CookieOption::parse(&first).unwrap(), client, now);
        assert_eq!(again(1_000_000 + 1800), first);
        assert_ne!(again(1_000_000 + 1801), first);
    }

    #[test]
    fn a_cookie_is_bound_to_address_and_client_cookie() {
        let cookies = Cookies::new(secret(SECRET), None);
        let client = "192.0.2.1".parse().unwrap();
        let reply = cookies.reply(&option("0011223344556677"), client, 1_000_000);
        let mut forged = reply;
        forged[0] ^= 1;
        let verdict = |octets: &[u8], client: &str| {
            let cookie = CookieOption::parse(octets).unwrap();
            cookies.verdict(Some(&cookie), client.parse().unwrap(), 1_000_000)
        };
        assert_eq!(verdict(&reply, "192.0.2.1"), Verdict::Valid);
        assert_eq!(verdict(&reply, "::ffff:192.0.2.1"), Verdict::Valid);
        assert_eq!(verdict(&reply, "192.0.2.2"), Verdict::Bad);
        assert_eq!(verdict(&forged, "192.0.2.1"), Verdict::Bad);
        // Cookies of other servers have other lengths.
        assert_eq!(verdict(&reply[..16], "192.0.2.1"), Verdict::Bad);
        assert_eq!(cookies.verdict(None, client, 1_000_000), Verdict::None);
    }

    #[test]
    fn an_unknown_version_is_bad() {
        let cookies = Cookies::new(secret(SECRET), None);
        let client = "192.0.2.1".parse().unwrap();
        let mut reply = cookies.reply(&option("0011223344556677"), client, 1_000_000);
        reply[8] = 2;
        let cookie = CookieOption::parse(&reply).unwrap();
        assert_eq!(cookies.verdict(Some(&cookie), client, 1_000_000), Verdict::Bad);
    }
}
