//! What is done for each server.

use faros_common::netlink::nftables::Expression;

use super::{Compiler, names};
use crate::kernel::rule::{ACK, RST, Rule, STATUS_ASSURED, SYN};
use crate::kernel::ruleset::{Family, Target, server_key};
use crate::kernel::wish::KernelFront;
use crate::pool::Server;

/// Map from packets towards servers to the chain that counts them.
pub(super) const AHEAD: &str = "ahead";
/// Map from packets from servers to the chain that counts them.
pub(super) const BEHIND: &str = "behind";
/// Map from new connections to the chain that hides the client.
pub(super) const SOURCES: &str = "sources";
/// Map from connections that may be forwarded.
pub(super) const ADMITTED: &str = "admitted";

/// Chain that hides every client.
pub(super) const HIDE: &str = "hide";
/// Chain that hides clients of the LAN.
pub(super) const HIDE_LAN: &str = "hide-lan";

pub(super) fn map(kind: &str, family: Family) -> String {
    format!("{kind}{}", family.digit())
}

/// From packets towards servers to what a map says.
pub(super) fn dispatch(kind: &str) -> [Vec<Expression>; 2] {
    Family::BOTH.map(|family| Rule::new().family(family).by_server_ahead(family, &map(kind, family)).end())
}

impl Compiler<'_> {
    /// Chains and elements of all servers. Octets and failures are told apart by the port asked for and the server's address: of two front
    /// ends on different addresses that agree in both, the first is credited with what is of either; connections are counted for each.
    pub(super) fn servers(&mut self, front: &KernelFront) {
        let serving = front.roster.slots.iter().map(|slot| &slot.server);
        for server in front.servers.iter().chain(serving) {
            self.server(front, server);
        }
    }

    fn server(&mut self, front: &KernelFront, server: &Server) {
        let name = &front.front.name;
        let of = |kind: &str| names::of_server(kind, name, &server.name);
        let [connections, sent, received, answered, refused, resets] = [
            names::CONNECTIONS,
            names::SENT,
            names::RECEIVED,
            names::ANSWERED,
            names::REFUSED,
            names::RESETS,
        ]
        .map(of);
        let translate = Rule::new().tcp().count(&connections).translate_to(server.address);
        self.chain(&of("server"), None, vec![translate]);
        self.chain(&of("ahead"), None, vec![Rule::new().count(&sent).end()]);
        let behind = vec![
            Rule::new().count(&received).end(),
            Rule::new().flags(SYN | RST, 0).accept(),
            Rule::new().flags(SYN | ACK, SYN | ACK).count(&answered).end(),
            // Not assured: the client's part of the handshake has not been seen.
            Rule::new().flags(RST, RST).status_without(STATUS_ASSURED).count(&refused).accept(),
            Rule::new().flags(RST, RST).count(&resets).end(),
        ];
        self.chain(&of("behind"), None, behind);
        self.rules.counters.extend([connections, sent, received, answered, refused, resets]);

        let family = Family::of(server.address.ip());
        let far = !self.site.lan.iter().any(|prefix| prefix.contains(&server.address.ip()));
        let hide = if far || !self.site.gateway { HIDE } else { HIDE_LAN };
        for listen in &front.front.listen {
            let key = server_key(listen.port(), server.address);
            self.element(&map(AHEAD, family), key.clone(), Target::Goto(of("ahead")));
            self.element(&map(BEHIND, family), key.clone(), Target::Goto(of("behind")));
            self.element(&map(SOURCES, family), key.clone(), Target::Goto(hide.to_owned()));
            self.element(&map(ADMITTED, family), key, Target::Accept);
        }
    }
}
