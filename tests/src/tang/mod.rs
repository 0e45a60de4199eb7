//! Tang as strangers speak it: Debian's own server beside ours on one directory of keys, and real clients.
//!
//! | Module | Theme |
//! |---|---|
//! | [`clevis`] | `clevis`, pointed at whichever server a test wants |
//! | [`http`] | requests byte by byte, good and bad ones |
//! | [`machine`] | a virtual machine that unlocks its disk as it boots |
//! | [`points`] | random points on the curves, and what an exchange has to give |

pub mod clevis;
pub mod http;
pub mod machine;
pub mod points;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};

use faros_lab::{Lab, Namespace, Process};
use serde_json::Value;

use crate::{eventually, machine_at, site};

pub use clevis::{Clevis, Naming};
pub use http::{Reply, exchange};

const BASTION: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 8, 1));
/// Where our server listens.
pub const OURS: SocketAddr = SocketAddr::new(BASTION, 7500);
/// Where Debian's server listens.
pub const UPSTREAM: SocketAddr = SocketAddr::new(BASTION, 7600);

/// Debian's programs (package tang-common).
pub const UPSTREAM_PROGRAMS: &str = "/usr/libexec";

/// [`site::SITE`] with further lines in `[tang]`.
pub fn text(tang: &str) -> String {
    site::SITE.replace("[tftp]", &format!("[tang]\nrate = 100000\n{tang}\n[tftp]"))
}

/// A site with our server, a client on its LAN, and, where asked for, Debian's server on the same keys.
pub struct Tang {
    // In the order in which they have to go.
    upstream: Option<Process>,
    /// A machine that is no node.
    pub client: Namespace,
    /// The site.
    pub lab: Lab,
}

impl Tang {
    /// A site of [`text`]; no daemon runs yet.
    pub fn built(tang: &str) -> Self {
        let lab = Lab::build_text(&text(tang)).expect("the lab stands");
        site::furnish(&lab);
        let client = machine_at(&lab, "client", site::STRANGER, "192.168.8.20/24");
        Self { upstream: None, client, lab }
    }

    /// [`Tang::built`] with our server running, and so with a pair of keys.
    pub fn running(tang: &str) -> Self {
        let mut site = Self::built(tang);
        site.lab.start_daemon("tangd").expect("tangd starts");
        site
    }

    /// [`Tang::running`] with Debian's server on the same keys.
    pub fn beside_upstream(tang: &str) -> Self {
        let mut site = Self::running(tang);
        site.upstream = Some(start_upstream(site.lab.bastion(), &site.lab, &site.keys(), UPSTREAM));
        site
    }

    /// The directory of keys.
    pub fn keys(&self) -> PathBuf {
        self.lab.site().tang.keys.clone()
    }

    /// `clevis` on the client.
    pub fn clevis(&self) -> Clevis<'_> {
        Clevis::new(&self.client, self.lab.dir())
    }

    /// Every key of the directory that is in use, by file, with its content.
    pub fn visible_keys(&self) -> Vec<(PathBuf, Value)> {
        keys_in(&self.keys()).into_iter().filter(|(path, _)| !is_hidden(path)).collect()
    }

    /// The S256 thumbprint of the first key in use that can `operation` (`sign` or `deriveKey`).
    pub fn thumbprint(&self, operation: &str) -> String {
        let keys = self.visible_keys();
        let fits = |key: &Value| {
            key["key_ops"].as_array().is_some_and(|operations| operations.iter().any(|one| one == operation))
        };
        let (_, key) = keys.iter().find(|(_, key)| fits(key)).expect("a key for it");
        points::thumbprint(key)
    }

    /// The entries of the audit log, oldest first, from the files themselves.
    pub fn audit(&self) -> Vec<Value> {
        let directory = self.lab.state_dir("tangd").join("audit");
        let mut files: Vec<_> = std::fs::read_dir(directory)
            .expect("a log")
            .map(|entry| entry.expect("an entry").path())
            .collect();
        files.sort();
        let mut entries = Vec::new();
        for path in files {
            let text = std::fs::read_to_string(path).expect("the log is text");
            // The last line may be in the middle of being written.
            let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            entries.extend(whole.map(|line| serde_json::from_str::<Value>(line).expect("a line is JSON")));
        }
        entries
    }
}

/// Starts Debian's server on `keys` in `place`: a process per connection, as its socket unit does it.
pub fn start_upstream(place: &Namespace, lab: &Lab, keys: &Path, listen: SocketAddr) -> Process {
    start_upstream_at("TCP-LISTEN", "", place, lab, keys, listen)
}

/// [`start_upstream`] behind TLS, with this certificate and its key (PEM).
pub fn start_upstream_tls(
    place: &Namespace,
    lab: &Lab,
    keys: &Path,
    listen: SocketAddr,
    (certificate, key): (&Path, &Path),
) -> Process {
    let options = format!(",cert={},key={},verify=0", certificate.display(), key.display());
    start_upstream_at("OPENSSL-LISTEN", &options, place, lab, keys, listen)
}

fn start_upstream_at(
    door: &str,
    options: &str,
    place: &Namespace,
    lab: &Lab,
    keys: &Path,
    listen: SocketAddr,
) -> Process {
    let program = Path::new(UPSTREAM_PROGRAMS).join("tangd");
    assert!(program.exists(), "{} is missing; its Debian package is tang-common", program.display());
    let mut command = place.command("socat");
    command
        .arg(format!("{door}:{},bind={},reuseaddr,fork,backlog=128{options}", listen.port(), listen.ip()))
        .arg(format!("EXEC:{} {}", program.display(), keys.display()));
    let process = Process::start(&mut command, lab.log_file(&format!("upstream-{}", listen.port())))
        .expect("socat starts");
    eventually("the other server listens", || {
        place.inside(|| TcpStream::connect(listen).is_ok()).expect("the place is there")
    });
    process
}

/// The keys in a directory, hidden ones too.
pub fn keys_in(directory: &Path) -> Vec<(PathBuf, Value)> {
    let entries = std::fs::read_dir(directory).expect("a directory of keys");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "jwk"));
    paths.sort();
    let read = |path: PathBuf| {
        let content = std::fs::read(&path).expect("a key");
        (path, serde_json::from_slice(&content).expect("a key is JSON"))
    };
    paths.into_iter().map(read).collect()
}

/// Whether a key is rotated out.
pub fn is_hidden(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with('.'))
}

/// A number that somebody who runs a test by hand may choose.
pub fn count(variable: &str, usual: usize) -> usize {
    std::env::var(variable).map_or(usual, |text| text.parse().expect("a number"))
}
