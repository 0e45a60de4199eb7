//! The wire format of DNS: reading requests, writing replies. No sockets, files, clock or randomness of its own.
//!
//! | Module | What it holds | Source |
//! |---|---|---|
//! | [`name`] | names in wire form, and the hash that tables use | RFC 1035 section 3.1, RFC 4034 section 6.1 |
//! | [`code`] | types, classes, response codes, option codes | IANA "DNS parameters" |
//! | [`message`] | a request, read without allocation | RFC 1035 section 4, RFC 6891, RFC 8945 |
//! | [`edns`] | the OPT record of requests and replies | RFC 6891, 7828, 7830, 7873, 8914 |
//! | [`body`] | what follows the question of a reply | RFC 1035 section 4.1.4, RFC 3597 |
//! | [`reply`] | the frame around a body, truncation | RFC 2181 section 9, RFC 9471 |
//! | [`cookie`] | server cookies | RFC 7873, RFC 9018 |
//! | [`rate`] | response rate limiting | |
//! | [`time`] | the clock readings that everything here is given | |

pub mod body;
pub mod code;
pub mod cookie;
pub mod edns;
pub mod message;
pub mod name;
pub mod rate;
pub mod reply;
pub mod time;
