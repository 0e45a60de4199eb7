//! What real firmware sent, as seeds.

use std::path::Path;

#[expect(dead_code, unreachable_pub, reason = "written for the black-box tests, which use all of it")]
#[path = "../../tests/src/pcap.rs"]
mod pcap;

/// The distinct datagrams to `port` in the captures.
pub(crate) fn sent_to(port: u16) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/captures");
    let entries = std::fs::read_dir(&directory).expect("the captures are in the tree");
    let mut seeds: Vec<Vec<u8>> = Vec::new();
    for entry in entries {
        let path = entry.expect("a folder can be listed").path();
        // Captures of other kinds stand in folders of their own.
        if path.extension().is_none_or(|kind| kind != "pcap") {
            continue;
        }
        let sent = pcap::datagrams(&path).into_iter().filter(|sent| sent.destination.1 == port);
        // A load generator sends thousands of one kind.
        seeds.extend(sent.map(|sent| sent.payload).take(12));
    }
    seeds.sort();
    seeds.dedup();
    assert!(!seeds.is_empty());
    seeds
}
