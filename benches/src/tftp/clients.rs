//! The clients: what is fetched, and with which program.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::netns::{Link, SERVER_ADDRESS};
use crate::process::run_within;
use crate::{Error, programs};

use super::{FILE_NAME, SMALL_NAME};

/// A way to fetch the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Case {
    /// curl, in lock-step.
    Curl {
        /// Bytes per block.
        block: u16,
    },
    /// atftp.
    Atftp {
        /// Blocks per acknowledgement; 1 is lock-step, and the option is not sent then.
        window: u16,
        /// Bytes per block.
        block: u16,
    },
    /// [`CROWD`] times curl at once.
    Crowd {
        /// Bytes per block.
        block: u16,
    },
}

/// Clients of [`Case::Crowd`].
pub const CROWD: usize = 8;

/// The largest block in an Ethernet frame; what OVMF asks for.
pub const BLOCK_OVMF: u16 = 1468;
/// What iPXE asks for.
pub const BLOCK_IPXE: u16 = 1432;
/// RFC 1350, without options.
pub const BLOCK_PLAIN: u16 = 512;

impl Case {
    /// All cases in the order of the tables.
    pub fn all() -> Vec<Self> {
        let mut all = vec![Self::Curl { block: BLOCK_PLAIN }, Self::Curl { block: BLOCK_OVMF }];
        for block in [BLOCK_OVMF, BLOCK_IPXE] {
            all.extend([1, 4, 16, 64].map(|window| Self::Atftp { window, block }));
        }
        all.push(Self::Crowd { block: BLOCK_OVMF });
        all
    }

    /// Its name in tables.
    pub fn name(self) -> String {
        match self {
            Self::Curl { block } => format!("curl {block}"),
            Self::Atftp { window, block } => format!("atftp {block} window {window}"),
            Self::Crowd { block } => format!("{CROWD} × curl {block}"),
        }
    }

    /// Blocks per acknowledgement.
    pub fn window(self) -> u16 {
        match self {
            Self::Atftp { window, .. } => window,
            _ => 1,
        }
    }
}

/// Fetches the file; returns what was received where.
pub fn run(case: Case, link: &Link, dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let clients = if matches!(case, Case::Crowd { .. }) { CROWD } else { 1 };
    let paths: Vec<PathBuf> = (0..clients).map(|number| dir.join(format!("received-{number}"))).collect();
    let mut running = Vec::new();
    for path in &paths {
        let mut command = match case {
            Case::Atftp { window, block } => atftp(link, window, block, FILE_NAME, path)?,
            Case::Curl { block } | Case::Crowd { block } => curl(link, block, FILE_NAME, path)?,
        };
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        running.push(command.spawn().map_err(Error::system(case.name()))?);
    }
    // All are waited for, also when one has failed.
    let outcomes: Vec<Result<(), Error>> = running.into_iter().map(|child| finish(case, child)).collect();
    outcomes.into_iter().collect::<Result<(), Error>>()?;
    Ok(paths)
}

/// Whether the server answers at all.
pub fn answers(link: &Link, dir: &Path) -> Result<bool, Error> {
    let path = dir.join("received-small");
    let mut command = curl(link, BLOCK_PLAIN, SMALL_NAME, &path)?;
    command.args(["--max-time", "1"]).stdout(Stdio::null()).stderr(Stdio::null());
    Ok(command.status().map_err(Error::system("curl"))?.success())
}

/// Whether the server grants windows (RFC 7440): atftp shows the OACK that it receives.
pub fn grants_windows(link: &Link, dir: &Path) -> Result<bool, Error> {
    let mut command = atftp(link, 4, BLOCK_OVMF, SMALL_NAME, &dir.join("received-small"))?;
    command.arg("--trace");
    let said = run_within("atftp", &mut command, &dir.join("atftp.log"), TIME_LIMIT)?;
    let lines = || said.lines().filter(|line| line.contains("OACK"));
    if lines().next().is_none() {
        return Err(Error::Unread { what: format!("atftp (which said: {said})"), wanted: "OACK".to_owned() });
    }
    Ok(lines().any(|line| line.contains("windowsize")))
}

/// No transfer of ours takes longer unless it stands still.
const TIME_LIMIT: Duration = Duration::from_secs(120);

/// A command that is ended when it stands still, without a thread that would have to watch it.
fn limited(link: &Link, program: &str) -> Result<Command, Error> {
    let mut command = link.at_client("timeout");
    command.arg(TIME_LIMIT.as_secs().to_string()).arg(programs::find(program)?);
    Ok(command)
}

fn curl(link: &Link, block: u16, name: &str, to: &Path) -> Result<Command, Error> {
    let mut command = limited(link, "curl")?;
    command.args(["--silent", "--show-error", "--tftp-blksize", &block.to_string(), "--output"]).arg(to);
    command.arg(format!("tftp://{SERVER_ADDRESS}/{name}"));
    Ok(command)
}

fn atftp(link: &Link, window: u16, block: u16, name: &str, to: &Path) -> Result<Command, Error> {
    let mut command = limited(link, "atftp")?;
    command.args(["--option", &format!("blksize {block}")]);
    if window > 1 {
        command.args(["--option", &format!("windowsize {window}")]);
    }
    command.args(["--get", "--remote-file", name, "--local-file"]).arg(to).args([SERVER_ADDRESS, "69"]);
    Ok(command)
}

fn finish(case: Case, child: Child) -> Result<(), Error> {
    let output = child.wait_with_output().map_err(Error::system(case.name()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    Err(Error::Failed { what: format!("{} ended badly ({})", case.name(), output.status), said })
}
