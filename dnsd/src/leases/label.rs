//! What leases are called: labels that a host name may have, each given once, none that is the site's.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::Ipv4Addr;

use faros_common::site::Mac;

/// The longest label (RFC 1035 section 2.3.4).
const LABEL_BYTES_MAX: usize = 63;
/// Most leases that may have wanted one name. Those beyond stay without: they are no machines that anybody looks for.
const NAMESAKES_MAX: u32 = 9999;

/// Names that no lease gets, whoever asks: programs trust whoever is called so (proxy discovery, RFC 6761
/// section 6.3, RFC 5214 section 8.3.2).
const NEVER: [&str; 3] = ["wpad", "isatap", "localhost"];

/// A lease in force, as far as names are concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Its address.
    pub address: Ipv4Addr,
    /// Whose it is, as far as known.
    pub mac: Option<Mac>,
    /// What it wants to be called: a label that went through [`sanitised`].
    pub wanted: String,
    /// Whether the site file gives it that name.
    pub known: bool,
    /// Orders leases by age: the older, the smaller.
    pub since: u64,
}

/// The first label of `name` as host names may be (RFC 1123 section 2.1), in lower case: letters, digits and
/// hyphens, the latter not at an end. Anything else is no name: nothing is made up from it.
pub fn sanitised(name: &str) -> Option<String> {
    let label = name.split('.').next().unwrap_or_default().to_ascii_lowercase();
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let fits = (1..=LABEL_BYTES_MAX).contains(&label.len())
        && label.bytes().all(plain)
        && !label.starts_with('-')
        && !label.ends_with('-');
    fits.then_some(label)
}

/// What names are spoken for, apart from leases.
#[derive(Clone, Copy, Debug)]
pub struct Reserved<'r> {
    /// Labels with records, and whether one of them says where the name itself leads.
    pub labels: &'r BTreeMap<Vec<u8>, bool>,
    /// Labels that dynamic updates have given records.
    pub updated: &'r BTreeMap<Vec<u8>, bool>,
    /// Names of the site's machines.
    pub machines: &'r BTreeSet<Vec<u8>>,
}

impl Reserved<'_> {
    /// Whether a lease may be called `label`. A machine of the site whose address is dynamic has its own name,
    /// unless that leads elsewhere; everybody else only has what nobody else has.
    fn allows(&self, label: &str, own: bool) -> bool {
        let bytes = label.as_bytes();
        if own {
            self.labels.get(bytes) != Some(&true) && self.updated.get(bytes) != Some(&true)
        } else {
            !self.labels.contains_key(bytes)
                && !self.updated.contains_key(bytes)
                && !self.machines.contains(bytes)
                && !NEVER.contains(&label)
        }
    }
}

/// What each lease is called. Who has a name keeps it while it may; the others get the name they want, or
/// that with the next free number behind it: machines of the site first, then the oldest lease. Of two leases of one
/// card that want one name, the younger has it, and the other none.
pub fn assign(
    leases: &[Lease],
    reserved: Reserved<'_>,
    previous: &BTreeMap<Ipv4Addr, String>,
) -> BTreeMap<Ipv4Addr, String> {
    let mut latest: HashMap<(Mac, &str), &Lease> = HashMap::new();
    for lease in leases {
        let Some(mac) = lease.mac else { continue };
        let held = latest.entry((mac, &lease.wanted)).or_insert(lease);
        if (held.since, held.address) < (lease.since, lease.address) {
            *held = lease;
        }
    }
    let mut wishes: Vec<&Lease> = leases
        .iter()
        .filter(|lease| {
            lease.mac.is_none_or(|mac| {
                latest.get(&(mac, lease.wanted.as_str())).is_none_or(|last| last.address == lease.address)
            })
        })
        .collect();
    wishes.sort_by_key(|lease| (!lease.known, lease.since, lease.address));

    let mut given: BTreeMap<Ipv4Addr, String> = BTreeMap::new();
    let mut taken: BTreeSet<&str> = BTreeSet::new();
    for lease in &wishes {
        let Some(label) = previous.get(&lease.address) else { continue };
        let own = lease.known && *label == lease.wanted;
        if is_of(label, &lease.wanted) && reserved.allows(label, own) && taken.insert(label) {
            given.insert(lease.address, label.clone());
        }
    }
    let mut taken: BTreeSet<String> = taken.into_iter().map(str::to_owned).collect();
    let mut next: HashMap<&str, u32> = HashMap::new();
    for lease in wishes {
        if given.contains_key(&lease.address) {
            continue;
        }
        let number = next.entry(&lease.wanted).or_insert(1);
        while *number <= NAMESAKES_MAX {
            let label = numbered(&lease.wanted, *number);
            let own = lease.known && *number == 1;
            *number += 1;
            if reserved.allows(&label, own) && taken.insert(label.clone()) {
                given.insert(lease.address, label);
                break;
            }
        }
    }
    given
}

/// The label for the namesake of that number: `name`, `name-2`, …, within the length of a label.
fn numbered(wanted: &str, number: u32) -> String {
    if number == 1 {
        return wanted.to_owned();
    }
    let suffix = format!("-{number}");
    let kept = wanted.len().min(LABEL_BYTES_MAX - suffix.len());
    // A hyphen at the cut would stand beside ours, which host names may have.
    format!("{}{suffix}", &wanted[..kept])
}

/// Whether `label` is one that [`numbered`] makes of `wanted`.
fn is_of(label: &str, wanted: &str) -> bool {
    let number = label.rsplit_once('-').and_then(|(_, number)| number.parse().ok());
    label == wanted || number.is_some_and(|number| number > 1 && numbered(wanted, number) == label)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(last: u8, wanted: &str) -> Lease {
        Lease {
            address: Ipv4Addr::new(192, 0, 2, last),
            mac: Some(Mac([2, 0, 0, 0, 0, last])),
            wanted: wanted.to_owned(),
            known: false,
            since: last.into(),
        }
    }

    struct Site {
        labels: BTreeMap<Vec<u8>, bool>,
        updated: BTreeMap<Vec<u8>, bool>,
        machines: BTreeSet<Vec<u8>>,
    }

    impl Site {
        fn new() -> Self {
            let labels = [("cp1", true), ("apps", false), ("nas", false)];
            Self {
                labels: labels.map(|(label, leads)| (label.as_bytes().to_vec(), leads)).into(),
                updated: BTreeMap::new(),
                machines: ["cp1", "w1", "nas"].map(|name| name.as_bytes().to_vec()).into(),
            }
        }

        fn assign(&self, leases: &[Lease], previous: &[(u8, &str)]) -> Vec<(u8, String)> {
            let previous =
                previous.iter().map(|(last, label)| (Ipv4Addr::new(192, 0, 2, *last), (*label).to_owned()));
            let reserved =
                Reserved { labels: &self.labels, updated: &self.updated, machines: &self.machines };
            let given = assign(leases, reserved, &previous.collect());
            given.into_iter().map(|(address, label)| (address.octets()[3], label)).collect()
        }
    }

    fn named(last: u8, label: &str) -> (u8, String) {
        (last, label.to_owned())
    }

    #[test]
    fn only_what_a_host_may_be_called_is_a_name() {
        for (given, label) in [
            ("Laptop-7", Some("laptop-7")),
            ("a.edge.example.com", Some("a")),
            ("", None),
            (".", None),
            ("-a", None),
            ("a-", None),
            ("a_b", None),
            ("*", None),
            ("a\\.b", None),
            ("ä", None),
            ("a b", None),
            ("a\0", None),
        ] {
            assert_eq!(sanitised(given).as_deref(), label, "{given:?}");
        }
        assert_eq!(sanitised(&"x".repeat(63)).map(|label| label.len()), Some(63));
        assert_eq!(sanitised(&"x".repeat(64)), None);
    }

    #[test]
    fn namesakes_are_numbered_from_the_oldest() {
        let leases = [lease(9, "pi"), lease(3, "pi"), lease(5, "pi"), lease(6, "pi-2")];
        assert_eq!(
            Site::new().assign(&leases, &[]),
            [named(3, "pi"), named(5, "pi-2"), named(6, "pi-2-2"), named(9, "pi-3")]
        );
    }

    #[test]
    fn no_lease_shadows_what_is_the_sites() {
        let leases = [
            lease(1, "cp1"),
            lease(2, "apps"),
            lease(3, "w1"),
            lease(4, "wpad"),
            lease(5, "isatap"),
            lease(6, "localhost"),
        ];
        let given = Site::new().assign(&leases, &[]);
        let labels: Vec<&str> = given.iter().map(|(_, label)| label.as_str()).collect();
        assert_eq!(labels, ["cp1-2", "apps-2", "w1-2", "wpad-2", "isatap-2", "localhost-2"]);
    }

    #[test]
    fn a_machine_of_the_site_without_an_address_has_its_own_name() {
        let known = |last, wanted: &str| Lease { known: true, ..lease(last, wanted) };
        let leases = [lease(1, "w1"), known(7, "w1"), known(8, "nas"), known(9, "cp1")];
        // The text record of nas does not lead anywhere; cp1 has an address, so this is another card of it.
        let expected = [named(1, "w1-2"), named(7, "w1"), named(8, "nas"), named(9, "cp1-2")];
        assert_eq!(Site::new().assign(&leases, &[]), expected);
    }

    #[test]
    fn a_name_stays_while_its_lease_does() {
        let leases = [lease(3, "pi"), lease(5, "pi")];
        assert_eq!(
            Site::new().assign(&leases, &[(5, "pi"), (3, "pi-2")]),
            [named(3, "pi-2"), named(5, "pi")]
        );
        // A name that it does not want any more goes, as does one that has become the site's.
        let leases = [lease(3, "mac"), lease(4, "cp1")];
        assert_eq!(
            Site::new().assign(&leases, &[(3, "pi"), (4, "cp1")]),
            [named(3, "mac"), named(4, "cp1-2")]
        );
        let mut site = Site::new();
        site.updated.insert(b"mac".to_vec(), true);
        assert_eq!(site.assign(&leases, &[(3, "mac")])[0], named(3, "mac-2"));
    }

    #[test]
    fn a_card_with_two_leases_is_found_at_the_younger() {
        let old = lease(3, "pi");
        let young = Lease { address: Ipv4Addr::new(192, 0, 2, 9), since: 9, ..old.clone() };
        assert_eq!(Site::new().assign(&[old, young], &[(3, "pi")]), [named(9, "pi")]);
    }

    #[test]
    fn numbers_fit_into_a_label() {
        let long = "x".repeat(63);
        let given = Site::new().assign(&[lease(1, &long), lease(2, &long)], &[]);
        assert_eq!((given[1].1.len(), given[1].1.ends_with("x-2")), (63, true));
        assert!(is_of(&given[1].1, &long));
    }

    proptest::proptest! {
        #[test]
        fn every_label_is_given_once_and_never_the_sites(
            wishes in proptest::collection::vec(("(pi|pi-2|cp1|apps|w1|[a-z]{1,2})", 0u8..=40, proptest::bool::ANY), 0..60),
            previous in proptest::collection::vec((0u8..60, "(pi|pi-[2-4]|cp1|w1)"), 0..20),
        ) {
            let leases: Vec<Lease> = wishes
                .iter()
                .enumerate()
                .map(|(index, (wanted, card, known))| Lease {
                    mac: Some(Mac([2, 0, 0, 0, 0, *card])),
                    known: *known && wanted == "w1",
                    ..lease(index as u8, wanted)
                })
                .collect();
            let previous: Vec<(u8, &str)> = previous.iter().map(|(last, label)| (*last, label.as_str())).collect();
            let given = Site::new().assign(&leases, &previous);
            let labels: BTreeSet<&str> = given.iter().map(|(_, label)| label.as_str()).collect();
            proptest::prop_assert_eq!(labels.len(), given.len());
            proptest::prop_assert!(!labels.contains("cp1") && !labels.contains("apps"));
            for (last, label) in &given {
                let lease = &leases[usize::from(*last)];
                proptest::prop_assert!(sanitised(label).as_deref() == Some(label.as_str()));
                proptest::prop_assert!(label != "w1" || lease.known);
            }
        }
    }
}
