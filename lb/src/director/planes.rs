//! What the director asks of the data planes.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use crate::kernel::{KernelFront, Surroundings};
use crate::pool::{Cut, Front, Server};

/// The data planes, as the director sees them.
pub trait Planes: Send + Sync + 'static {
    /// Serves `front` on `listeners`, or goes on serving it with new settings. Of every front end, also of those that the
    /// kernel forwards for: what the kernel does not take arrives here, so that nobody is refused while its rules are
    /// not in yet or cannot be made.
    fn serve(&self, front: Arc<Front>, listeners: Vec<TcpListener>);
    /// Accepts nothing more for the front end of that name.
    fn withdraw(&self, name: &str);
    /// Resets the connections of `server`, on both planes.
    fn hang_up(&self, server: &Arc<Server>, cut: Cut);
    /// How many connections `server` has in the kernel now, where that can be told.
    fn kernel_connections(&self, server: &Server) -> Option<usize>;
    /// What keeps the kernel from forwarding for `front`; `None`: nothing.
    fn obstacle(&self, front: &KernelFront) -> Option<String>;
    /// Makes the kernel forward for `fronts`, and for nobody else, in one step.
    ///
    /// # Errors
    /// What the kernel said; it forwards as before.
    fn apply(&self, fronts: &[KernelFront]) -> Result<(), String>;
    /// Another process tells the kernel what to do from now on; until the next [`Planes::apply`] nothing is put right.
    fn release(&self);
    /// The network around this host is another one.
    fn relocate(&self, surroundings: &Surroundings);
}

/// The listening sockets by address. They stay open while anything refers to them here, so what stops must let go of
/// them too: connections in the queue of a socket that nobody accepts from wait in vain.
#[derive(Debug, Default)]
pub struct Sockets(BTreeMap<SocketAddr, Vec<TcpListener>>);

impl Sockets {
    /// Adds the group of `address`.
    pub fn insert(&mut self, address: SocketAddr, group: Vec<TcpListener>) {
        self.0.insert(address, group);
    }

    /// Whether there are sockets for `address`.
    pub fn contains(&self, address: SocketAddr) -> bool {
        self.0.contains_key(&address)
    }

    /// Lets all go that `wanted` does not name; returns their addresses.
    pub fn retain(&mut self, wanted: impl Fn(SocketAddr) -> bool) -> Vec<SocketAddr> {
        let unwanted: Vec<SocketAddr> = self.0.keys().copied().filter(|&address| !wanted(address)).collect();
        for address in &unwanted {
            self.0.remove(address);
        }
        unwanted
    }

    /// Duplicates of the sockets of these addresses.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn duplicates(&self, addresses: &[SocketAddr]) -> io::Result<Vec<TcpListener>> {
        let wanted = addresses.iter().filter_map(|address| self.0.get(address));
        wanted.flatten().map(TcpListener::try_clone).collect()
    }

    /// Whether `of` holds for every address with its group; all of them are asked.
    pub fn every_group(&self, of: impl Fn(SocketAddr, &[TcpListener]) -> bool) -> bool {
        self.0.iter().fold(true, |every, (address, group)| of(*address, group) && every)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (SocketAddr, &TcpListener)> {
        self.0.iter().flat_map(|(address, group)| group.iter().map(move |socket| (*address, socket)))
    }
}
