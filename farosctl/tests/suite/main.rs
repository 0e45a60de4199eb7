//! `farosctl` from outside: against daemons that answer what they are told to, and against its own pages.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics, wherever it stands")]

mod ca;
mod commands;
mod fake;
mod follow;
mod lb;
mod names;
mod pages;
mod tang;
