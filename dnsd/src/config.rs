//! Our part of the site file.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use faros_common::site::{Diagnostic, Severity, Site};

use crate::engine::{Access, Policy};
use crate::forward::ForwardConfig;
use crate::server::encrypted;
use crate::site_zones::{Listeners, Settings};
use crate::update::Keys;
use crate::update::transfer::Permission;

/// What the server needs to know of the site.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it listens, over UDP and TCP.
    pub listen: Vec<SocketAddr>,
    /// Who may have what.
    pub access: Access,
    /// Whether the query log is on.
    pub query_log: bool,
    /// What it is authoritative for.
    pub zones: Settings,
    /// Whom it asks about everything else.
    pub forward: ForwardConfig,
    /// How large the cache may grow, in bytes.
    pub cache_bytes: usize,
    /// How long an expired answer may still serve.
    pub stale: Duration,
    /// The encrypted transports.
    pub encrypted: encrypted::Settings,
    /// Who may have whole zones.
    pub transfer: Permission,
    /// Keys that sign transactions.
    pub keys: Keys,
    /// The whole site, for what names its machines.
    pub site: Arc<Site>,
}

impl Config {
    /// Derives the configuration.
    ///
    /// # Errors
    /// What cannot be served.
    pub fn of_site(site: &Site) -> Result<Self, Vec<Diagnostic>> {
        // Encrypted transports are told of once they serve.
        let zones = Settings::of(site, &Listeners::default());
        let keys = Keys::read(&site.dns.keys).map_err(|error| vec![fault("dns.key", error.to_string())]);
        let forward = ForwardConfig::of(&site.dns).map_err(|message| vec![fault("dns", message)]);
        let (zones, forward, keys) = match (zones, forward, keys) {
            (Ok(zones), Ok(forward), Ok(keys)) => (zones, forward, keys),
            (zones, forward, keys) => {
                let faults = [zones.err(), forward.err(), keys.err()];
                return Err(faults.into_iter().flatten().flatten().collect());
            }
        };
        let forward = forward.with_delegations(zones.delegations(&own_addresses(site)));
        Ok(Self {
            listen: site.dns.listen.clone(),
            access: Access::new(&site.site_prefixes()),
            query_log: site.dns.query_log,
            zones,
            forward,
            cache_bytes: usize::try_from(site.dns.cache_bytes).unwrap_or(usize::MAX),
            stale: site.dns.stale,
            encrypted: encrypted::Settings::of(&site.dns),
            transfer: Permission { own: own_addresses(site), prefixes: site.dns.transfer.clone() },
            keys,
            site: Arc::new(site.clone()),
        })
    }

    /// The rules for clients.
    pub fn policy(&self) -> Policy {
        Policy { access: self.access.clone(), transfer: self.transfer.clone(), query_log: self.query_log }
    }
}

/// The addresses of this host that the site file names.
fn own_addresses(site: &Site) -> Vec<IpAddr> {
    let lan = [site.bastion(), IpAddr::V4(site.lan.vip)];
    let listen = site.dns.listen.iter().map(SocketAddr::ip);
    lan.into_iter().chain(site.lan.address6.map(|address| IpAddr::V6(address.addr()))).chain(listen).collect()
}

fn fault(key: &str, message: String) -> Diagnostic {
    Diagnostic { severity: Severity::Error, place: None, key: key.to_owned(), message, help: None }
}
