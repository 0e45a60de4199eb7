//! What follows from the site file: names, reverse zones, balancer pools, reservations, who is who.

mod address;
mod frontend;
mod lookup;
mod name;
mod placeholder;
mod reservation;
mod reverse;

pub use lookup::{Owner, OwnerKind, Side};
pub use name::{Pointer, SiteName};
pub use placeholder::{PLACEHOLDERS, Piece, PlaceholderError, placeholders};
pub use reservation::Reservation;
pub use reverse::{ReverseZone, pointer_owner};
