//! The option walker: overload, long options, and what no client should send.

use faros_dhcpd::protocol::options::{OPTION_BYTES_MAX, OPTION_INSTANCES_MAX, Options};

use crate::Target;
use crate::captures;
use crate::input::Input;

/// Feeds [`Options::frame`].
pub const TARGET: Target = Target { name: "dhcp_options", run, seeds, memory: (64 * 1024, 64) };

/// An input is `sname` and `file`, each with its length before it, then the options field.
fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let sname = usize::from(input.below(65));
    let sname = input.bytes(sname);
    let file = usize::from(input.below(129));
    let file = input.bytes(file);
    let area = input.rest();
    let Ok(options) = Options::frame(area, file, sname) else { return };

    // A plain reading, field by field; an option 52 within an overloaded field says nothing.
    let mut plain = walked(area);
    let said: Vec<u8> =
        plain.iter().filter(|option| option.0 == 52).flat_map(|option| option.1).copied().collect();
    let overload = if let [value @ 1..=3] = said[..] { value } else { 0 };
    if overload & 1 != 0 {
        plain.extend(walked(file));
    }
    if overload & 2 != 0 {
        plain.extend(walked(sname));
    }
    let framed: Vec<(u8, &[u8])> = options.iter().collect();
    assert_eq!(framed, plain);
    assert!(framed.len() <= OPTION_INSTANCES_MAX);
    for code in 0..=255 {
        let whole: Vec<u8> =
            framed.iter().filter(|option| option.0 == code).flat_map(|option| option.1).copied().collect();
        assert!(whole.len() <= OPTION_BYTES_MAX);
        match options.get(code) {
            Some(value) => assert_eq!(value.as_ref(), whole),
            None => assert!(!options.has(code) && options.instances(code).next().is_none()),
        }
    }
    assert!(!options.has(0) && !options.has(255), "padding is no option");
}

fn walked(field: &[u8]) -> Vec<(u8, &[u8])> {
    let (mut found, mut at) = (Vec::new(), 0);
    while at < field.len() && field[at] != 255 {
        if field[at] == 0 {
            at += 1;
            continue;
        }
        let length = usize::from(field[at + 1]);
        found.push((field[at], &field[at + 2..at + 2 + length]));
        at += 2 + length;
    }
    found
}

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = captures::sent_to(67)
        .iter()
        .filter_map(|packet| Some([&[0, 0], packet.get(240..)?].concat()))
        .collect();
    // Options in both fields; overload within overload; one option in pieces; a length past the end.
    seeds.push([&[4, 12, 1, b'x', 255, 6, 52, 1, 3, 12, 1, b'y'][..], &[53, 1, 1, 52, 1, 3, 255]].concat());
    seeds.push([&[0, 0][..], &[61, 2, 1, 2, 0, 61, 3, 3, 4, 5, 61, 0, 255]].concat());
    seeds.push(vec![0, 0, 12, 200, 1]);
    seeds
}
