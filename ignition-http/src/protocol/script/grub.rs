//! GRUB configurations for GRUB 2.06 and later on UEFI.
//!
//! GRUB up to 2.06 speaks HTTP on port 80 only, so each file is fetched over TFTP where HTTP fails. Words
//! are quoted with `'`, in which GRUB takes everything literally.

use std::fmt::Write;

use super::{Install, RETRY_SECS, Script, UNKNOWN_SECS, printable};

pub(super) fn render(script: &Script, again: &str) -> String {
    let mut text = String::from("set timeout=0\n");
    match script {
        Script::Install(install) => self::install(&mut text, install, again),
        Script::Wait { who, why } => {
            say(&mut text, &format!("{who} has to wait: {why}; asking again in {RETRY_SECS} s"));
            ask_again(&mut text, again);
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

fn install(text: &mut String, install: &Install, again: &str) {
    let Install { node, profile, http, tftp, kernel, initrds, args } = install;
    say(text, &format!("{node} is armed: installing it with profile {profile}"));
    let words: String = args.split_ascii_whitespace().map(|word| format!(" {}", quote(word))).collect();
    let mut devices = vec![format!("(http,{})", http.trim_start_matches("http://"))];
    devices.extend(tftp.map(|address| format!("(tftp,{address})")));
    for (index, device) in devices.iter().enumerate() {
        let keyword = if index == 0 { "if" } else { "elif" };
        line(text, &format!("{keyword} linux {}{words}; then", quote(&format!("{device}/{kernel}"))));
        if initrds.is_empty() {
            line(text, "  boot");
        } else {
            let files: String =
                initrds.iter().map(|initrd| format!(" {}", quote(&format!("{device}/{initrd}")))).collect();
            line(text, &format!("  if initrd{files}; then boot; fi"));
        }
    }
    line(text, "fi");
    say(text, &format!("that did not work, trying again in {RETRY_SECS} s"));
    ask_again(text, again);
}

/// What of a word does not reach the kernel as it stands.
pub(super) fn unquotable(word: &str) -> Option<&'static str> {
    let escaped = word.contains(['"', '\'', '\\']);
    escaped.then_some("GRUB puts a backslash before each quote and backslash of a kernel's argument")
}

/// GRUB returns to the firmware, which goes on with its next boot option.
fn disk(text: &mut String) {
    line(text, "exit 1");
}

fn ask_again(text: &mut String, again: &str) {
    line(text, &format!("sleep {RETRY_SECS}"));
    let (authority, path) = again.trim_start_matches("http://").split_once('/').unwrap_or((again, ""));
    line(text, &format!("configfile {}", quote(&format!("(http,{authority})/{path}"))));
    // Where that GRUB cannot reach the script again, the firmware can: it starts over.
    line(text, "reboot");
}

fn say(text: &mut String, what: &str) {
    line(text, &format!("echo {}", quote(&format!("faros: {}", printable(what)))));
}

fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

fn line(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("writing to a String cannot fail");
}
