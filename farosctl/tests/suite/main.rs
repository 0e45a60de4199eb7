//! `farosctl` from outside: against daemons that answer what they are told to, and against its own pages.

mod commands;
mod fake;
mod follow;
mod pages;
