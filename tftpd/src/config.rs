//! Our part of the site file.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use faros_common::site::{Diagnostic, Mac, Reservation, Severity, Site};

/// What the server needs to know of the site.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it listens.
    pub listen: Vec<SocketAddr>,
    /// The tree it serves.
    pub root: PathBuf,
    /// The interface of the nodes.
    pub lan: String,
    /// The interface that nothing is served on.
    pub wan: Option<String>,
    /// The bastion's addresses on the LAN, which are asked for on the LAN only.
    pub lan_addresses: Vec<IpAddr>,
    /// Files with secrets, relative to the boot roots, as written in the profiles' ignition tables.
    pub seeds: Vec<PathBuf>,
    /// The trees in which those stand.
    pub seed_roots: Vec<PathBuf>,
    /// Where the boot scripts come from.
    pub scripts: ScriptServer,
    /// Every machine of the site file.
    pub machines: Vec<Machine>,
}

/// The HTTP server of the boot scripts, by its URL without a final slash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptServer(pub String);

impl ScriptServer {
    /// `http://192.0.2.1:8080`
    pub fn base_url(&self) -> &str {
        &self.0
    }

    /// The same as GRUB names it: `(http,192.0.2.1:8080)`.
    pub fn grub_device(&self) -> String {
        format!("(http,{})", self.0.strip_prefix("http://").unwrap_or(&self.0))
    }
}

/// A machine that the site file names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// Its name.
    pub name: String,
    /// The node that it is or manages, if it has to do with one.
    pub node: Option<String>,
    /// Its cards.
    pub macs: Vec<Mac>,
    /// Its UUID, as the site file spells it.
    pub uuid: Option<String>,
    /// Its reserved addresses.
    pub addresses: Vec<IpAddr>,
}

impl Machine {
    /// Whether `uuid` is its own, however it is spelt.
    pub fn has_uuid(&self, uuid: &str) -> bool {
        let digits = |text: &str| text.replace('-', "").to_ascii_lowercase();
        self.uuid.as_deref().is_some_and(|own| digits(own) == digits(uuid))
    }
}

impl Config {
    /// Derives the configuration.
    ///
    /// # Errors
    /// What cannot be served.
    pub fn of_site(site: &Site) -> Result<Self, Vec<Diagnostic>> {
        let root = site.tftp.root.clone();
        if !root.is_absolute() {
            return Err(vec![Diagnostic {
                severity: Severity::Error,
                place: None,
                key: "tftp.root".to_owned(),
                message: format!("{} is not an absolute path", root.display()),
                help: Some("write it from the root directory, such as /var/lib/faros/boot".to_owned()),
            }]);
        }
        let mut lan_addresses = vec![IpAddr::V4(site.lan.address.addr()), IpAddr::V4(site.lan.vip)];
        lan_addresses.extend(site.lan.address6.map(|address| IpAddr::V6(address.addr())));
        let mut seeds: Vec<PathBuf> =
            site.profiles.values().flat_map(|profile| profile.ignition.values()).map(PathBuf::from).collect();
        seeds.sort_unstable();
        seeds.dedup();
        let mut seed_roots = vec![root.clone(), site.http.root.clone()];
        seed_roots.dedup();
        Ok(Self {
            listen: site.tftp.listen.clone(),
            root,
            lan: site.lan.interface.clone(),
            wan: site.wan.as_ref().map(|wan| wan.interface.clone()),
            lan_addresses,
            seeds,
            seed_roots,
            scripts: ScriptServer(site.base_url()),
            machines: machines(site),
        })
    }

    /// The machine for which `address` is reserved.
    pub fn machine_at(&self, address: IpAddr) -> Option<&Machine> {
        self.machines.iter().find(|machine| machine.addresses.contains(&address))
    }

    /// Whether a request that was sent to `destination` may be answered where it arrived on `interface`.
    ///
    /// Requests of this host itself arrive on `lo`. Addresses of the LAN are served on the LAN only; any
    /// other address is served because `listen` names it, but never on the WAN.
    pub fn serves_on(&self, interface: &str, destination: IpAddr) -> bool {
        if interface == self.lan || interface == "lo" {
            return true;
        }
        let named = self.listen.iter().any(|listen| listen.ip() == destination);
        named && self.wan.as_deref() != Some(interface) && !self.lan_addresses.contains(&destination)
    }

    /// Whether `path`, relative to a boot root, is a seed by its name.
    pub fn is_seed(&self, path: &Path) -> bool {
        let lower = |path: &Path| path.as_os_str().to_ascii_lowercase();
        let ignition = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("ign"));
        ignition || self.seeds.iter().any(|seed| lower(seed.strip_prefix("/").unwrap_or(seed)) == lower(path))
    }

    /// Every place where a seed may stand.
    pub fn seed_files(&self) -> impl Iterator<Item = PathBuf> {
        self.seed_roots.iter().flat_map(|root| {
            self.seeds.iter().map(move |seed| root.join(seed.strip_prefix("/").unwrap_or(seed)))
        })
    }
}

fn machines(site: &Site) -> Vec<Machine> {
    let machine = |known: Reservation| Machine {
        addresses: known.address.map(IpAddr::V4).into_iter().chain(known.address6.map(IpAddr::V6)).collect(),
        name: known.name,
        node: known.node,
        macs: known.macs,
        uuid: known.uuid,
    };
    site.reservations().into_iter().map(machine).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A configuration without a site file.
    pub(crate) fn config(root: &Path) -> Config {
        Config {
            listen: vec!["192.0.2.1:69".parse().unwrap(), "198.51.100.1:69".parse().unwrap()],
            root: root.to_owned(),
            lan: "lan0".to_owned(),
            wan: Some("eno1".to_owned()),
            lan_addresses: vec!["192.0.2.1".parse().unwrap()],
            seeds: vec![PathBuf::from("rhcos/master.ign"), PathBuf::from("/rhcos/Secret.bin")],
            seed_roots: vec![root.to_owned()],
            scripts: ScriptServer("http://192.0.2.1:8080".to_owned()),
            machines: Vec::new(),
        }
    }

    #[test]
    fn the_wan_side_is_never_served() {
        let config = config(Path::new("/srv"));
        let (lan, other) = ("192.0.2.1".parse().unwrap(), "198.51.100.1".parse().unwrap());
        assert!(config.serves_on("lan0", lan));
        assert!(config.serves_on("lo", lan));
        assert!(config.serves_on("lan0", other));
        assert!(config.serves_on("eno7", other));
        assert!(!config.serves_on("eno7", lan));
        assert!(!config.serves_on("eno1", lan));
        assert!(!config.serves_on("eno1", other));
        assert!(!config.serves_on("eno7", "203.0.113.9".parse().unwrap()));
    }

    #[test]
    fn seeds_are_known_by_name_in_any_case() {
        let config = config(Path::new("/srv"));
        for seed in ["rhcos/master.ign", "rhcos/secret.bin", "RHCOS/SECRET.BIN", "any.IGN", "a/b.ign"] {
            assert!(config.is_seed(Path::new(seed)), "{seed}");
        }
        for file in ["rhcos/kernel", "secret.bin", "ign", "design"] {
            assert!(!config.is_seed(Path::new(file)), "{file}");
        }
    }

    #[test]
    fn the_script_server_is_named_for_both_loaders() {
        let server = ScriptServer("http://192.0.2.1:8080".to_owned());
        assert_eq!(server.base_url(), "http://192.0.2.1:8080");
        assert_eq!(server.grub_device(), "(http,192.0.2.1:8080)");
        assert_eq!(ScriptServer("http://192.0.2.1".to_owned()).grub_device(), "(http,192.0.2.1)");
    }
}
