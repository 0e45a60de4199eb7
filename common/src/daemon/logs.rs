//! Logs on standard error: lines for people, or JSON.

use std::io;

use tracing_subscriber::EnvFilter;

use super::options::LogFormat;

/// What is logged unless `FAROS_LOG` says otherwise. Libraries that talk to strangers warn of whatever a stranger
/// does; daemons count that.
const USUAL: &str =
    "info,h2=error,hickory_net=off,hickory_server=error,quinn=error,quinn_proto=error,rustls=error";

/// Installs the subscriber; a second call in one process changes nothing.
pub(super) fn install(format: LogFormat) {
    let filter = EnvFilter::try_from_env("FAROS_LOG").unwrap_or_else(|_| EnvFilter::new(USUAL));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    // journald writes its own time beside every line.
    let in_journal = std::env::var_os("JOURNAL_STREAM").is_some();
    let _ = match format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Text if in_journal => {
            builder.without_time().with_ansi(false).with_target(false).try_init()
        }
        LogFormat::Text => {
            builder.with_ansi(io::IsTerminal::is_terminal(&io::stderr())).with_target(false).try_init()
        }
    };
}
