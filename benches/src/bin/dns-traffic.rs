//! What the DNS benchmark runs inside its namespaces beside the servers that it measures; see `faros_benches::dns`.

use std::error::Error;
use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use faros_benches::dns::asker::{self, Patience};
use faros_benches::dns::{generator, message, responders};

/// Clients and servers of the DNS benchmark that are not under measurement themselves.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Give every datagram back with the response bit set
    Echo {
        /// Where to listen
        listen: SocketAddr,
        /// Threads, each with a socket of its own
        #[arg(long, default_value_t = 1)]
        workers: usize,
    },
    /// Have an address for every name
    World {
        /// Where to listen
        listen: SocketAddr,
    },
    /// Ask as fast as the server answers
    Load {
        /// Whom to ask
        server: SocketAddr,
        /// A name and a type per line
        questions: PathBuf,
        /// With EDNS, as dig asks
        #[arg(long)]
        edns: bool,
        /// For how long
        #[arg(long, default_value_t = 1000)]
        millis: u64,
    },
    /// Ask one question after another
    Ask {
        /// Whom to ask
        server: SocketAddr,
        /// A name and a type per line
        questions: PathBuf,
        /// With EDNS, as dig asks
        #[arg(long)]
        edns: bool,
        /// How long to wait for each answer
        #[arg(long, default_value_t = 1000)]
        millis: u64,
        /// How long to go on
        #[arg(long, default_value_t = 60_000)]
        all_millis: u64,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().role) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("dns-traffic: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(role: Role) -> Result<(), Box<dyn Error>> {
    match role {
        Role::Echo { listen, workers } => responders::echo(listen, workers)?,
        Role::World { listen } => responders::world(listen)?,
        Role::Load { server, questions, edns, millis } => {
            let questions = read(&questions, edns)?;
            println!("{}", generator::run(server, &questions, Duration::from_millis(millis))?);
        }
        Role::Ask { server, questions, edns, millis, all_millis } => {
            let questions = read(&questions, edns)?;
            let mut out = std::io::stdout().lock();
            let patience =
                Patience { each: Duration::from_millis(millis), all: Duration::from_millis(all_millis) };
            asker::run(server, &questions, patience, |asked| {
                // Whoever reads it counts the lines.
                let _ = writeln!(out, "{asked}");
            })?;
        }
    }
    Ok(())
}

fn read(path: &Path, edns: bool) -> Result<Vec<Vec<u8>>, Box<dyn Error>> {
    let text = fs::read_to_string(path)?;
    let message = |line: &str| {
        let (name, kind) = line.split_once(' ')?;
        message::query(name, kind, edns)
    };
    let questions: Option<Vec<_>> = text.lines().map(message).collect();
    match questions {
        Some(questions) if !questions.is_empty() => Ok(questions),
        _ => Err(format!("{} holds other things than a name and a type per line", path.display()).into()),
    }
}
