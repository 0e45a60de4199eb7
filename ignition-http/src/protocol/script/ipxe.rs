//! iPXE scripts, with commands that the oldest packaged iPXE (2019) knows.
//!
//! iPXE splits a line at white space and knows no quotes: `;`, `&&`, `||` and `#` mean something only as
//! words (or at a word's beginning) of their own, `${` always does. A line that ends with a backslash goes
//! on in the next.

use std::fmt::Write;

use super::{Install, RETRY_SECS, Script, UNKNOWN_SECS, printable};
use crate::protocol::target::encode_path;

pub(super) fn render(script: &Script, again: &str) -> String {
    let mut text = String::from("#!ipxe\n\necho\n");
    match script {
        Script::Install(install) => {
            let Install { node, profile, http, kernel, initrds, args, .. } = install;
            say(&mut text, &format!("{node} is armed: installing it with profile {profile}"));
            // What an attempt before this one has fetched would be booted along.
            line(&mut text, "imgfree");
            let names: String = (0..initrds.len()).map(|index| format!(" initrd=initrd{index}")).collect();
            let words = args.split_ascii_whitespace().map(|word| format!(" {word}"));
            let args: String = words.collect();
            line(&mut text, &format!("kernel {http}/{}{names}{args} || goto again", encode_path(kernel)));
            for (index, initrd) in initrds.iter().enumerate() {
                let path = encode_path(initrd);
                line(&mut text, &format!("initrd --name initrd{index} {http}/{path} || goto again"));
            }
            say(&mut text, "all files are here, starting the kernel");
            line(&mut text, "boot || goto again");
            line(&mut text, "\n:again");
            say(&mut text, &format!("that did not work, trying again in {RETRY_SECS} s"));
            ask_again(&mut text, again, RETRY_SECS);
        }
        Script::Wait { who, why } => {
            line(&mut text, ":again");
            say(&mut text, &format!("{who} has to wait: {why}; asking again in {RETRY_SECS} s"));
            ask_again(&mut text, again, RETRY_SECS);
        }
        Script::Disk { who, why } => {
            say(&mut text, &format!("{who} starts from its disk: {why}"));
            disk(&mut text);
        }
        Script::Unknown { mac, address } => {
            match mac {
                Some(mac) => {
                    say(&mut text, &format!("the machine {mac} ({address}) is not in the site file"));
                    say(
                        &mut text,
                        &format!("to install it, add [[node]] with mac = \"{mac}\" and a profile"),
                    );
                }
                None => say(&mut text, &format!("the machine at {address} is not in the site file")),
            }
            say(&mut text, "going on with the local disk");
            line(&mut text, &format!("sleep {UNKNOWN_SECS}"));
            disk(&mut text);
        }
    }
    text
}

/// What of a word does not reach the kernel as it stands.
pub(super) fn unquotable(word: &str) -> Option<&'static str> {
    if word.contains("${") {
        Some("${ begins a variable of iPXE")
    } else if word.starts_with('#') {
        Some("a word that begins with # is a comment")
    } else if matches!(word, ";" | "&&" | "||") {
        Some("it ends a command; write it into one word with what is beside it")
    } else if word.ends_with('\\') {
        Some("a backslash at the end of a line joins the next one to it")
    } else {
        None
    }
}

/// BIOS: the first disk, or else the firmware's next device. UEFI: the firmware's next boot option, which
/// it takes only after a failure: success would end in its menu (UEFI 2.10 section 3.1.1).
fn disk(text: &mut String) {
    line(text, "iseq ${platform} efi && goto firmware ||");
    line(text, "sanboot --no-describe --drive 0x80 ||");
    say(text, "the first disk does not boot, back to the firmware");
    line(text, "exit");
    line(text, "\n:firmware");
    line(text, "exit 1");
}

fn ask_again(text: &mut String, again: &str, secs: u32) {
    line(text, &format!("sleep {secs}"));
    line(text, &format!("chain --replace --autofree {again} || goto again"));
}

fn say(text: &mut String, what: &str) {
    line(text, &format!("echo faros: {}", printable(what)));
}

fn line(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("writing to a String cannot fail");
}
