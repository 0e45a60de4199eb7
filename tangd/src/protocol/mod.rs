//! The protocol: what a request is answered, from its method, target and body, and the keys of the moment.
//!
//! No sockets, files, clock or randomness (save what signatures take). Where a decision from outside comes in between,
//! an exchange is split: [`Recovery::prepare`] finds all faults of a request, so that policy is asked only about requests
//! that would succeed, and [`Recovery::exchange`] computes. [`respond`] is both at once.
//!
//! | Request | Success | Otherwise, in this order |
//! |---|---|---|
//! | any | | 414 target too long, 413 body too large |
//! | `GET /adv` | 200, JWS | 500 no key to advertise or to sign with |
//! | `GET /adv/{thumbprint}` | 200, JWS | 500 as above, 404 unknown or not a signing key |
//! | `POST /rec/{thumbprint}` | 200, JWK | 400 not JSON, 403 `key_ops` or `use` forbid, 400 other `kty` or `alg`, 404 unknown key, 403 not an exchange key, 400 other curve, no point of it, or a `d` of another point, 503 sealed |
//! | another method | | 405 |
//! | another path | | 404 |
//!
//! Deviation: upstream takes coordinates without their leading zeros, with more of them, or not below the prime. RFC 7518
//! section 6.2.1.2 and SEC 1 section 3.2.2 demand one encoding per point; anything else is 400 here.
//!
//! As upstream, though stricter readings exist: a request that carries a private `d` is answered (the `d` is read to be
//! compared with its point, never used, and wiped), and so are our own public key and its negative as the client's point.
//! All are points of a group of prime order, from which an exchange tells nobody more than from any other; upstream's
//! clients and monitoring scripts send them.

pub mod advertisement;
pub mod jwk;
mod recover;
mod reply;
mod request;
mod route;
mod spaced_json;
#[cfg(test)]
mod tests;
pub mod thumbprint;

pub use recover::Recovery;
pub use reply::{Outcome, Reason, Reply};
pub use request::{NESTING_MAX, RequestJwk};
pub use route::{NoRoute, Route};

use crate::keys::KeySet;

/// The largest body of a request, in bytes, as upstream has it: beyond, 413, whatever the request.
pub const BODY_BYTES_MAX: usize = 64 * 1024 - 1;
/// The longest target of a request, in bytes, as upstream has it: from there on, 414.
pub const TARGET_BYTES_MAX: usize = 4096;

/// The answer to a request. `target` is what stands in its request line, undecoded.
#[must_use]
pub fn respond(method: &str, target: &str, body: &[u8], keys: &KeySet) -> Reply {
    if target.len() >= TARGET_BYTES_MAX {
        return Reply::refused(Reason::TargetTooLong);
    }
    if body.len() > BODY_BYTES_MAX {
        return Reply::refused(Reason::BodyTooLarge);
    }
    match Route::of(method, target) {
        Err(NoRoute::Path) => Reply::refused(Reason::NoSuchPath),
        Err(NoRoute::Method) => Reply::refused(Reason::MethodNotAllowed),
        Ok(Route::Advertise) => Reply::advertised(keys.advertisement(), Reason::NothingToAdvertise),
        Ok(Route::AdvertiseKey(thumbprint)) => {
            let reason = match keys.find(thumbprint) {
                _ if keys.advertisement().is_none() => Reason::NothingToAdvertise,
                None => Reason::UnknownKey,
                Some(key) if !key.purpose.signs() => Reason::NotASigningKey,
                Some(_) => Reason::System,
            };
            Reply::advertised(keys.advertisement_signed_by(thumbprint), reason)
        }
        Ok(Route::Recover(thumbprint)) => match Recovery::prepare(thumbprint, body, keys) {
            Ok(recovery) => recovery.exchange(),
            Err(reason) => Reply::refused(reason),
        },
    }
}
