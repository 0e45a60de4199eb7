//! The clients of the Tang benchmark, which it runs at the client's end of its link; see `faros_benches::tang::load`.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use faros_benches::tang::load::{self, Asking};

/// Ask a Tang server again and again.
#[derive(Debug, Parser)]
struct Arguments {
    /// Whom to ask
    server: SocketAddr,
    /// For what; /rec/… with a random point
    path: String,
    /// Over one connection per client
    #[arg(long)]
    keep: bool,
    /// How many at once
    #[arg(long, default_value_t = 8)]
    clients: usize,
    /// For how long
    #[arg(long, default_value_t = 1000)]
    millis: u64,
}

fn main() -> ExitCode {
    let Arguments { server, path, keep, clients, millis } = Arguments::parse();
    match load::request(&path) {
        Ok(request) => {
            let asking = Asking { server, request, kept: keep };
            println!("{}", load::run(&asking, clients, Duration::from_millis(millis)));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("tang-load: {error}");
            ExitCode::FAILURE
        }
    }
}
