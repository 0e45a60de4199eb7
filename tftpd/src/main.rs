//! Hands over to `faros_common::daemon`.

fn main() {}
