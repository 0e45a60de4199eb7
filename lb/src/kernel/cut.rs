//! Ending the connections of a server.
//!
//! They are remembered as closed, then forgotten by connection tracking; the rules reset what still comes of them. That
//! does not depend on what the kernel makes of segments of unknown connections (`nf_conntrack_tcp_loose`).

use std::net::SocketAddr;

use faros_common::netlink::conntrack::{Ends, Filter, Flow, Status, TcpState};
use faros_common::netlink::nftables::{Batch, Element};
use tracing::debug;

use super::compile::closed;
use super::error::KernelError;
use super::plane::Shared;
use super::ruleset::{Family, connection_key};
use super::state::State;
use super::table::{self, CLOSED_MAX};
use crate::pool::Server;

const TCP: u8 = 6;

impl Shared {
    /// Ends them and says how many there were.
    pub(super) fn cut(&self, server: &Server) -> Result<usize, KernelError> {
        let connections = self.state().cut(server)?;
        for flow in connections.iter().filter(|flow| is_open(flow)) {
            let (client, service) = ends(flow);
            self.prober.probe(service, client);
        }
        debug!(frontend = %server.frontend, server = %server.name, connections = connections.len(), "connections cut");
        Ok(connections.len())
    }
}

impl State {
    /// The connections that our rules have given to the server.
    pub(super) fn connections_of(&mut self, server: &Server) -> Result<Vec<Flow>, KernelError> {
        let address = server.address;
        let filter = Filter {
            reply: Ends::from(address.ip(), address.port()),
            protocol: Some(TCP),
            status: Some((Status::DESTINATION_NAT, Status::DESTINATION_NAT)),
            ..Filter::default()
        };
        let mut flows = self.conntrack.flows(&filter)?;
        // Other front ends may have the same server, and other tables other ways to it.
        let front = self.fronts.iter().find(|front| front.front.name == server.frontend);
        flows.retain(|flow| {
            front.is_none_or(|front| {
                front.front.listen.iter().any(|listen| {
                    let anywhere = listen.ip().is_unspecified() || front.published;
                    listen.port() == flow.original.destination_port
                        && (anywhere || listen.ip() == flow.original.destination)
                })
            })
        });
        Ok(flows)
    }

    fn cut(&mut self, server: &Server) -> Result<Vec<Flow>, KernelError> {
        let connections = self.connections_of(server)?;
        if self.wanted.is_some() {
            self.remember_closed(&connections)?;
        }
        for flow in &connections {
            self.conntrack.delete(flow)?;
        }
        Ok(connections)
    }

    fn remember_closed(&mut self, connections: &[Flow]) -> Result<(), KernelError> {
        let id = table::id();
        let mut batch = Batch::new();
        for family in Family::BOTH {
            let elements: Vec<Element> = connections
                .iter()
                .filter(|flow| is_open(flow) && Family::of(flow.original.source) == family)
                // A part of the room at a time: old ones leave by themselves.
                .take(CLOSED_MAX as usize / 4)
                .map(|flow| {
                    let (client, service) = ends(flow);
                    Element::new(connection_key(client, service))
                })
                .collect();
            batch.add_elements(&id, &closed(family), &elements);
        }
        if batch.is_empty() {
            return Ok(());
        }
        let known = self.is_current()?;
        match self.nftables.commit(&batch) {
            Ok(()) if known => self.generation = Some(self.nftables.generation()?.id),
            Ok(()) => {}
            // Full, or the table is gone: the connections end all the same, their clients learn it a little later.
            Err(error) => debug!(%error, "closed connections are not remembered"),
        }
        Ok(())
    }
}

fn is_open(flow: &Flow) -> bool {
    !matches!(flow.tcp_state, Some(TcpState::TimeWait | TcpState::Close))
}

/// The client, and what it has connected to.
fn ends(flow: &Flow) -> (SocketAddr, SocketAddr) {
    let original = &flow.original;
    (
        SocketAddr::new(original.source, original.source_port),
        SocketAddr::new(original.destination, original.destination_port),
    )
}
