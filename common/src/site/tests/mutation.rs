//! Random texts, and values there and back.

use std::path::Path;

use proptest::prelude::*;

use super::{CONTRACT, FULL};
use crate::site::{Ipv4Range, Mac, parse};

/// The contract's file with some bytes replaced, removed, doubled or moved.
fn mutated() -> impl Strategy<Value = String> {
    let edit = (
        0..CONTRACT.len(),
        0..40_usize,
        prop_oneof![
            Just(String::new()),
            "[ -~]{0,4}",
            "\\PC{0,3}",
            prop::sample::select(vec![
                "[",
                "]",
                "{",
                "}",
                "\"",
                "\n",
                "=",
                "\u{feff}",
                "\r",
                "\0",
                "'''",
                "0",
                "-1",
                "1e9",
                "1979-05-27",
                "[[node]]\n",
                "{",
                ".",
                "/",
                "*"
            ])
            .prop_map(ToOwned::to_owned),
        ],
    );
    (any::<bool>(), prop::collection::vec(edit, 1..6)).prop_map(|(full, edits)| {
        let mut text = if full { FULL } else { CONTRACT }.to_owned();
        for (start, length, new) in edits {
            let floor = |mut at: usize| {
                at = at.min(text.len());
                while !text.is_char_boundary(at) {
                    at -= 1;
                }
                at
            };
            let range = floor(start)..floor(start + length);
            text.replace_range(range, &new);
        }
        text
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn no_text_makes_it_panic_and_every_refusal_has_its_reason(text in mutated()) {
        match parse(&text, Path::new("site.toml")) {
            Ok(loaded) => {
                prop_assert!(!loaded.report.has_errors());
                // Whatever loads can be derived from.
                let site = loaded.site;
                let names = site.names();
                prop_assert!(site.pointers().len() <= names.len());
                let _ = (site.reservations(), site.reverse_zones(), site.leasable(), site.base_url());
                for node in &site.nodes {
                    if let Some(profile) = &node.profile {
                        prop_assert!(site.fill_in(&site.profiles[profile].args, node).is_ok());
                    }
                }
            }
            Err(report) => {
                prop_assert!(report.has_errors());
                let lines = text.lines().count() + 1;
                for found in &report.diagnostics {
                    prop_assert!(found.place.is_none_or(|place| (1..=lines).contains(&place.line)), "{}", report);
                }
            }
        }
    }

    #[test]
    fn macs_survive_every_notation(bytes in any::<[u8; 6]>()) {
        let mac = Mac(bytes);
        prop_assert_eq!(mac.to_string().parse(), Ok(mac));
        prop_assert_eq!(mac.hyphenated().to_uppercase().parse(), Ok(mac));
        prop_assert_eq!(mac.to_string().replace(':', "").parse(), Ok(mac));
    }

    #[test]
    fn ranges_hold_what_they_enumerate(first in 0xc0a8_0000_u32..0xc0a8_ffff, length in 0_u32..300) {
        let range = Ipv4Range { first: first.into(), last: (first + length).into() };
        prop_assert_eq!(range.addresses().count(), range.len());
        prop_assert!(range.addresses().all(|address| range.contains(address)));
        prop_assert!(!range.contains((first + length + 1).into()));
    }
}
