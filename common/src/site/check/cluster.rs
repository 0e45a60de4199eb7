//! The cluster's zone and its shape.

use super::each;
use crate::site::raw::RawSite;
use crate::site::read::{Findings, Spot};
use crate::site::{ClusterKind, InstallMethod, Role};

/// The zone must leave room in 253 characters for a label of 63 and a `-mgmt` or `*.apps.` beside it.
const ZONE_MAX: usize = 180;

pub(super) fn check(raw: &RawSite, found: &mut Findings) {
    let Some(cluster) = &raw.cluster else { return };
    if let (Some(name), Some(domain)) = (&cluster.name, &cluster.domain) {
        let (name, domain) = (&name.value.0, &domain.value.0);
        if name.len() + 1 + domain.len() > ZONE_MAX {
            found
                .error(&cluster.spot, "the cluster zone is too long to hold names")
                .help(format!("name and domain together have at most {ZONE_MAX} characters"));
        }
        if domain == name || domain.starts_with(&format!("{name}.")) {
            found
                .warning(&cluster.spot, format!("the cluster zone is {name}.{domain}, with the name twice"))
                .help("the name is put in front of the domain; leave it out there");
        }
    }
    let kind = cluster.kind.as_ref().map_or(ClusterKind::Openshift, |kind| kind.value);
    if kind != ClusterKind::None {
        shape(raw, found);
    }
}

/// How many nodes of which role there are.
fn shape(raw: &RawSite, found: &mut Findings) {
    let with_role = |role: Role| {
        each(&raw.node).filter(move |node| node.role.as_ref().is_some_and(|given| given.value == role))
    };
    let whole =
        raw.node.as_ref().map_or(Spot { offset: None, key: "node".to_owned() }, |list| list.spot.clone());
    // A node whose role could not be read may be of any.
    if each(&raw.node).any(|node| node.role.is_none()) {
        return;
    }
    let control_plane = with_role(Role::ControlPlane).count();
    if control_plane == 0 {
        found
            .warning(&whole, "no node has the role control-plane, so api and ingress lead nowhere")
            .help("give one, three or five nodes that role, or set cluster.kind = \"none\"");
    } else if control_plane % 2 == 0 {
        found.warning(&whole, format!("{control_plane} control-plane nodes, an even number")).help(format!(
            "etcd survives no more failures with {control_plane} than with {}; use an odd number",
            control_plane - 1
        ));
    }
    if let Some(second) = with_role(Role::Bootstrap).nth(1) {
        found.warning(&second.spot, "a second bootstrap node").help("a cluster is started by one");
    }
    let upi = raw.install.as_ref().and_then(|install| install.method.as_ref());
    if let Some(method) = upi.filter(|method| method.value == InstallMethod::Upi)
        && with_role(Role::Bootstrap).next().is_none()
    {
        found
            .warning(&method.spot, "method \"upi\" needs a bootstrap machine, and no node has that role")
            .help("add a node with role = \"bootstrap\", or use method = \"agent\"");
    }
    for node in with_role(Role::ControlPlane).chain(with_role(Role::Bootstrap)) {
        if node.address.is_none() && !found.mentions(&node.spot.path_of("address")) {
            found
                .warning(
                    &node.spot,
                    "a node of the control plane has no address, so nothing is balanced to it",
                )
                .help("give it an address outside the pool");
        }
    }
}
