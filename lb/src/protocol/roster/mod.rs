//! Who serves, from how all servers of a front end stand; when the bootstrap machine retires; whether the VIP
//! is offered.

mod compose;
mod retirement;
mod vip;

pub use compose::{Composition, Member, Tier, compose};
pub use retirement::{Attendance, Phase, Retirement, RetirementChange};
pub use vip::{Offer, OfferChange, Serving};

#[cfg(test)]
mod tests;
