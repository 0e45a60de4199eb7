//! The balancer as strangers meet it: nodes that others' programs play, servers that do what a test wants, and clients
//! that notice how a connection ends.
//!
//! | Module | Theme |
//! |---|---|
//! | [`backend`] | a server on raw sockets whose behaviour a test programs |
//! | [`client`] | connections one by one and in crowds, and how each of them ended |
//! | [`manager`] | a service manager in small: keeps the listening sockets while the daemon is restarted |
//! | [`node`] | a node of the cluster: API, machine configs and ingress, played by nginx |
//! | [`site`] | the site that the tests play on |
//! | [`wrk`] | a load that counts errors |

pub mod backend;
pub mod client;
pub mod manager;
pub mod node;
pub mod site;
pub mod wrk;

use std::path::PathBuf;
use std::time::Duration;

pub use backend::Backend;
pub use client::Crowd;
pub use manager::Manager;
pub use node::Node;
pub use site::Balanced;

/// How long a client of the tests waits before it calls a connection lost: well above every time-out that is promised.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// A number that somebody who runs a test by hand may choose.
pub fn count(variable: &str, usual: usize) -> usize {
    std::env::var(variable).map_or(usual, |text| text.parse().expect("a number"))
}

/// A program that is installed, or only unpacked so that its service does not start (`cargo xtask packages`).
pub fn program(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("a test is a program");
    let target = own.ancestors().find(|place| place.join("CACHEDIR.TAG").exists());
    let peers = target.expect("a test lies in the target directory").join("peers");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places =
        [peers.join("usr/sbin"), peers.join("usr/bin")].into_iter().chain(std::env::split_paths(&path));
    let found = places.chain(["/usr/sbin", "/sbin"].map(PathBuf::from)).map(|place| place.join(name));
    found.into_iter().find(|path| path.is_file()).unwrap_or_else(|| {
        panic!("{name} is not installed; `cargo xtask packages` knows its package");
    })
}

/// Tests that hold for both data planes: each is a function of the plane's name.
#[macro_export]
macro_rules! on_both_planes {
    ($($name:ident),+ $(,)?) => {
        mod user_plane {
            $(#[test] fn $name() { super::$name("user"); })+
        }
        mod kernel_plane {
            $(#[test] fn $name() { super::$name("kernel"); })+
        }
    };
}
