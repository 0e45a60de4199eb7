//! The project's own chores: lab, test, verify, bench.

fn main() {}
