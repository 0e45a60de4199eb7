//! Whether this kernel can do what the rules need.

use faros_common::netlink::nftables::{
    Batch, Chain, ChainKind, CommitError, Expression, Family, Hook, Nftables, NumberKind, Object, Rule, Set,
    Table,
};

use super::error::KernelError;
use super::rule::Rule as Words;
use super::ruleset::{Family as Ip, Shape};

/// A table that is there for a moment. It is dormant: no packet sees it.
const NAME: &str = "faros_lb_trial";

/// Makes a table with one of everything, and takes it away again.
///
/// # Errors
/// [`KernelError::Permission`], or [`KernelError::Lacking`] with what the kernel did not know.
pub(super) fn run(nftables: &mut Nftables) -> Result<(), KernelError> {
    let mut table = Table::new(Family::Inet, NAME);
    table.dormant = true;
    let mut batch = Batch::new();
    batch.replace_table(&table);
    batch.add_object(&Object::counter(&table.id, "counted"));
    for shape in [Shape::Servers(Ip::Six), Shape::Closed(Ip::Six), Shape::Slots(2), Shape::Sources(Ip::Four)]
    {
        batch.add_set(&Set { table: table.id.clone(), ..shape.definition(set_name(shape)) });
    }
    let base = |name, kind, hook, priority| Chain::base(&table.id, name, kind, hook, priority);
    batch.add_chain(&base("filter", ChainKind::Filter, Hook::Prerouting, -150));
    batch.add_chain(&base("translate", ChainKind::Nat, Hook::Prerouting, -110));
    batch.add_chain(&base("translate-local", ChainKind::Nat, Hook::Output, -110));
    batch.add_chain(&base("hide", ChainKind::Nat, Hook::Postrouting, 90));
    let mut append = |chain: &str, rule: Vec<Expression>| {
        batch.append_rule(&Rule::new(&table.id, chain, rule));
    };
    append("filter", Words::new().tcp().connection_in(Ip::Six, "closed").count("counted").reset());
    append("filter", Words::new().bound_for_this_host().source_has_more_than(Ip::Four, 1, "sources").reset());
    append("filter", Words::new().by_server_behind(Ip::Six, "servers").end());
    append("translate", Words::new().by_number(NumberKind::Incremental, 2, "slots").end());
    append("translate", Words::new().by_source(Ip::Six, 2, 1, "slots").end());
    if let Ok(server) = "192.0.2.1:1".parse() {
        append("translate", Words::new().family(Ip::Four).tcp().translate_to(server));
    }
    append("hide", Words::new().masquerade());
    nftables.commit(&batch).map_err(lacking)?;
    let mut batch = Batch::new();
    batch.remove_table(&table.id);
    Ok(nftables.commit(&batch)?)
}

fn set_name(shape: Shape) -> &'static str {
    match shape {
        Shape::Servers(_) => "servers",
        Shape::Closed(_) => "closed",
        Shape::Slots(_) => "slots",
        Shape::Sources(_) => "sources",
        Shape::Services(_) => "services",
        Shape::Ports => "ports",
    }
}

fn lacking(error: CommitError) -> KernelError {
    match error {
        CommitError::Netlink(error) if error.is_permission() => KernelError::Permission,
        CommitError::Rejected(rejections) => {
            let permission = rejections.iter().any(|rejection| rejection.refusal.code == libc::EPERM);
            let first = rejections.first().map(ToString::to_string).unwrap_or_default();
            if permission { KernelError::Permission } else { KernelError::Lacking(first) }
        }
        CommitError::Netlink(error) => KernelError::Lacking(error.to_string()),
        CommitError::Changed => KernelError::Commit(CommitError::Changed),
    }
}
