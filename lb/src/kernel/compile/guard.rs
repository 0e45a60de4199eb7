//! What a front end does not serve.

use faros_common::netlink::nftables::ct_state;

use super::{Compiler, names};
use crate::kernel::rule::{ACK, FIN, RST, Rule, SYN};
use crate::kernel::ruleset::{Family, Shape};
use crate::kernel::wish::KernelFront;

/// Connections that were closed from here: their next segment is reset.
pub(in crate::kernel) fn closed(family: Family) -> String {
    format!("closed{}", family.digit())
}

impl Compiler<'_> {
    /// Sees packets of the front end that are not of an established connection.
    pub(super) fn guard(&mut self, front: &KernelFront, chain: &str) {
        let name = &front.front.name;
        let family = front.family();
        let [foreign, limited, stray] =
            [names::FOREIGN, names::LIMITED, names::STRAY].map(|kind| names::of_front(kind, name));
        let (of, opening) = (FIN | SYN | RST | ACK, SYN);
        let mut rules = vec![
            Rule::new()
                .tcp()
                .flags_not(of, opening)
                .connection_in(family, &closed(family))
                .count(&stray)
                .reset(),
            // A segment outside of its window. Reset, it would end a connection that is alive.
            Rule::new().state(ct_state::INVALID).drop(),
            Rule::new().tcp().flags_not(of, opening).count(&stray).reset(),
        ];
        if front.lan_only {
            let lan_side = self.lan_side();
            rules.push(Rule::new().came_in_elsewhere_than(&lan_side).tcp().count(&foreign).reset());
        }
        let allow = &front.front.settings.allow;
        if !allow.is_empty() {
            let allowed = names::of_front("allow", name);
            let mut entries: Vec<_> = allow
                .iter()
                .filter(|prefix| Family::of(prefix.addr()) == family)
                .map(|&prefix| Rule::new().source_in(prefix).back())
                .collect();
            entries.push(Rule::new().tcp().count(&foreign).reset());
            self.chain(&allowed, None, entries);
            rules.push(Rule::new().jump(&allowed));
        }
        if let Some(limit) = front.front.settings.limits.per_source {
            let sources = names::of_front("sources", name);
            self.set(sources.clone(), Shape::Sources(family));
            rules.push(
                Rule::new().tcp().source_has_more_than(family, limit, &sources).count(&limited).reset(),
            );
        }
        self.rules.counters.extend([foreign, limited, stray]);
        self.chain(chain, None, rules);
    }
}
