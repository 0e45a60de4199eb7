//! `farosctl`, the operator's command.
//!
//! It knows the site file and the daemons' admin sockets, and nothing else: whatever it says about a
//! running site, a daemon has said. What it renders from the site file alone, it has the daemon's own library do
//! that would serve it. A command is a function from a session (flags, streams, site) to an
//! [`Exit`]; what it concludes from what daemons say is computed by functions without I/O.
//!
//! | File | Nouns and verbs |
//! |---|---|
//! | `check` | `check`: the site file, and what it names on this host |
//! | `site` | `site schema`, `reference`, `show`, `names` |
//! | `status` | `status`, `version` |
//! | `events` | `events`: one stream out of all daemons' streams |
//! | `leases` | `leases`, `lease …` |
//! | `machine` | which machine a name, MAC, address or UUID means |
//! | `explain` | `explain`: what daemons would answer, and where a machine stalls |
//! | `node` | `node list`, `show`, `install`, `disarm` |
//! | `boot` | `boot loaders`, `script`, `unknown` |
//! | `ca` | `ca init`, `show`, `issue`, `renew`: the site's certificates |
//! | `dns` | `dns query` |
//! | `tang` | `tang …`: disk unlocking |
//! | `lb` | `lb …`: balancing |
//! | `render` | `render zone`: files for other programs |
//! | `reload`, `wait`, `journal`, `lab` | the verbs of these names |

mod boot;
mod ca;
mod check;
mod cli;
mod daemons;
mod dns;
mod events;
mod exit;
mod explain;
mod journal;
mod lab;
mod lb;
mod leases;
mod machine;
mod node;
mod output;
mod reload;
mod render;
mod session;
mod site;
mod status;
mod tang;
mod terminal;
mod wait;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

pub use cli::Cli;
pub use exit::{Exit, Failure};
pub use output::Format;
pub use terminal::Terminal;

use cli::Command;
use session::Session;

/// The whole program: arguments from the command line, streams of the process.
pub fn main() -> ExitCode {
    run(std::env::args_os(), Terminal::of_process()).into()
}

/// Runs one command line (with the program's name in front) on `terminal`.
pub fn run(arguments: impl IntoIterator<Item = OsString>, mut terminal: Terminal) -> Exit {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return explain_usage(&error, &mut terminal),
    };
    let mut session = Session::new(&cli.global, terminal);
    match perform(cli.command, &mut session) {
        Ok(exit) => exit,
        Err(Failure::Because(exit, text)) => {
            session.note(&text);
            exit
        }
        Err(Failure::Said(exit)) => exit,
        Err(Failure::OutputClosed) => Exit::Done,
    }
}

/// Help and version are answers; anything else is a complaint.
fn explain_usage(error: &clap::Error, terminal: &mut Terminal) -> Exit {
    if error.use_stderr() {
        let text = error.render().to_string();
        terminal.note(text.strip_prefix("error: ").unwrap_or(&text).trim_end());
        return Exit::Usage;
    }
    let _ = terminal.print(&error.render().to_string());
    Exit::Done
}

fn perform(command: Command, session: &mut Session) -> Result<Exit, Failure> {
    // What needs no daemon needs no runtime either.
    match command {
        Command::Check { file } => return check::run(session, file),
        Command::Site(command) => return site::run(session, &command),
        Command::Completions { shell } => return completions(session, shell),
        Command::Ca(command) => return ca::run(session, &command),
        Command::Render(arguments) => return render::run(session, &arguments),
        Command::Journal(command) => return journal::run(session, &command),
        Command::Lab(arguments) => return lab::run(session, &arguments),
        Command::Boot(cli::BootCommand::Loaders { command }) => return boot::loaders::run(session, command),
        _ => {}
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
        Failure::failed(format!("cannot start: {error}; see to the limits of this process"))
    })?;
    let exit = runtime.block_on(ask(command, session));
    // A daemon that is slow to answer keeps nobody here.
    runtime.shutdown_background();
    exit
}

async fn ask(command: Command, session: &mut Session) -> Result<Exit, Failure> {
    match command {
        Command::Status => status::run(session).await,
        Command::Version => status::version(session).await,
        Command::Events(arguments) => events::run(session, &arguments).await,
        Command::Leases => leases::list(session).await,
        Command::Lease(command) => leases::run(session, &command).await,
        Command::Explain { machine } => explain::run(session, &machine).await,
        Command::Node(command) => node::run(session, command).await,
        Command::Boot(command) => boot::run(session, command).await,
        Command::Dns(command) => dns::run(session, command).await,
        Command::Tang(command) => tang::run(session, command).await,
        Command::Lb(command) => lb::run(session, command).await,
        Command::Reload { daemons } => reload::run(session, &daemons).await,
        Command::Wait(arguments) => wait::run(session, &arguments).await,
        Command::Check { .. }
        | Command::Site(_)
        | Command::Completions { .. }
        | Command::Ca(_)
        | Command::Render(_)
        | Command::Journal(_)
        | Command::Lab(_) => {
            unreachable!("performed without a runtime")
        }
    }
}

fn completions(session: &mut Session, shell: clap_complete::Shell) -> Result<Exit, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "farosctl", &mut text);
    session.print(&String::from_utf8_lossy(&text))?;
    Ok(Exit::Done)
}
