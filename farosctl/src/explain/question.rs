//! What daemons are asked about a machine, and what they answer.

use std::net::IpAddr;

use faros_common::admin::client::ClientError;
use faros_common::site::OwnerKind;
use faros_common::tasks;
use serde::Serialize;
use serde_json::Value;

use crate::daemons::{DHCPD, Daemons, TFTPD, query_value};
use crate::events::event::{Event, value_text};
use crate::exit::advice;
use crate::machine::Machine;
use crate::output::{Paint, Tone, harmless, json};

/// How many of its cards daemons are asked about.
const MACS_ASKED_MAX: usize = 4;

/// What kind of client a machine is while it boots, and the file that DHCP names for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Firmware {
    name: &'static str,
    /// Option 93, or `ipxe`.
    arch: &'static str,
    /// What it fetches by TFTP.
    tftp_file: Option<&'static str>,
}

const BIOS: Firmware = Firmware { name: "BIOS", arch: "0", tftp_file: Some("undionly.kpxe") };
const UEFI: Firmware = Firmware { name: "UEFI x64", arch: "7", tftp_file: Some("snponly.efi") };
const ARM64: Firmware = Firmware { name: "UEFI arm64", arch: "11", tftp_file: Some("snponly-arm64.efi") };
const UEFI_HTTP: Firmware = Firmware { name: "UEFI HTTP x64", arch: "16", tftp_file: None };
const ARM64_HTTP: Firmware = Firmware { name: "UEFI HTTP arm64", arch: "19", tftp_file: None };
const IPXE: Firmware = Firmware { name: "iPXE", arch: "ipxe", tftp_file: None };

/// What the machine last showed itself to be, and iPXE, which it becomes; both usual kinds where it has not.
fn firmwares(machine: &Machine, events: &[Event]) -> Vec<Firmware> {
    if !matches!(machine.kind, None | Some(OwnerKind::Node | OwnerKind::Vm)) {
        return Vec::new();
    }
    let seen = events.iter().rev().filter_map(|event| event.text("boot")).find_map(|file| {
        let name = file.rsplit('/').next().unwrap_or(file);
        match (file.contains("://"), name) {
            (false, "undionly.kpxe") => Some(BIOS),
            (false, "snponly.efi" | "shimx64.efi") => Some(UEFI),
            (false, "snponly-arm64.efi" | "shimaa64.efi") => Some(ARM64),
            (true, "snponly.efi") => Some(UEFI_HTTP),
            (true, "snponly-arm64.efi") => Some(ARM64_HTTP),
            _ => None,
        }
    });
    match seen {
        Some(firmware) => vec![firmware, IPXE],
        None => vec![BIOS, UEFI, IPXE],
    }
}

/// One question to one daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Question {
    daemon: String,
    /// What sets it apart from other questions to the same daemon.
    about: String,
    path: String,
}

fn questions(names: &[String], machine: &Machine, events: &[Event]) -> Vec<Question> {
    let firmwares = firmwares(machine, events);
    let macs: Vec<Option<String>> = match machine.macs.as_slice() {
        [] => vec![None],
        macs => macs.iter().take(MACS_ASKED_MAX).map(|mac| Some(mac.to_string())).collect(),
    };
    let mut questions = Vec::new();
    for daemon in names {
        for mac in &macs {
            let path = explain_path(machine, mac.as_deref());
            let card = mac.clone().filter(|_| macs.len() > 1);
            let variants: Vec<(Option<&str>, String)> = match daemon.as_str() {
                DHCPD if !firmwares.is_empty() => {
                    firmwares.iter().map(|kind| (Some(kind.name), format!("&arch={}", kind.arch))).collect()
                }
                TFTPD if firmwares.iter().any(|kind| kind.tftp_file.is_some()) => firmwares
                    .iter()
                    .filter_map(|kind| Some((Some(kind.name), format!("&file={}", kind.tftp_file?))))
                    .collect(),
                _ => vec![(None, String::new())],
            };
            questions.extend(variants.into_iter().map(|(variant, more)| Question {
                daemon: daemon.clone(),
                about:
                    variant.map(str::to_owned).into_iter().chain(card.clone()).collect::<Vec<_>>().join(" "),
                path: format!("{path}{more}"),
            }));
        }
    }
    questions
}

fn explain_path(machine: &Machine, mac: Option<&str>) -> String {
    let address = machine.addresses.iter().find(|address| address.is_ipv4()).map(IpAddr::to_string);
    let node = machine.name.clone().filter(|_| machine.kind == Some(OwnerKind::Node));
    let pairs = [
        ("mac", mac.map(str::to_owned)),
        ("address", address),
        ("node", node),
        ("uuid", machine.uuid.clone()),
    ];
    let query: Vec<String> = pairs
        .into_iter()
        .filter_map(|(key, value)| Some(format!("{key}={}", query_value(&value?))))
        .collect();
    format!("/explain?{}", query.join("&"))
}

/// What one daemon would do.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Answer {
    daemon: String,
    /// As which kind of client, or about which card, where the answer depends on it.
    about: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Asks every daemon everything at once; equal answers of one daemon become one.
pub(super) async fn ask(
    daemons: &Daemons,
    names: &[String],
    machine: &Machine,
    events: &[Event],
) -> Vec<Answer> {
    let asked: Vec<_> = questions(names, machine, events)
        .into_iter()
        .map(|question| {
            let (daemons, daemon, path) = (daemons.clone(), question.daemon.clone(), question.path.clone());
            (question, tasks::spawn("explain", async move { daemons.get(&daemon, &path).await }))
        })
        .collect();
    let mut answers: Vec<Answer> = Vec::new();
    for (question, task) in asked {
        let answer = task.await.ok().flatten().unwrap_or(Err(ClientError::TimedOut));
        let (answer, error) = match answer {
            Ok(answer) => (Some(answer), None),
            Err(error) => (None, Some(advice(&question.daemon, &error))),
        };
        let about: Vec<String> = Some(question.about).filter(|about| !about.is_empty()).into_iter().collect();
        let same = |other: &&mut Answer| {
            other.daemon == question.daemon && other.answer == answer && other.error == error
        };
        match answers.iter_mut().find(same) {
            Some(known) => known.about.extend(about),
            None => answers.push(Answer { daemon: question.daemon, about, answer, error }),
        }
    }
    answers
}

impl Answer {
    /// Daemon, then `would`, `rule`, `because`, a line each.
    pub(super) fn human(&self, paint: Paint) -> String {
        let about =
            if self.about.is_empty() { String::new() } else { format!("  ({})", self.about.join(", ")) };
        let mut text = format!("{}{about}\n", paint.tone(Tone::Strong, &harmless(&self.daemon)));
        if let Some(error) = &self.error {
            text += &format!("  {}\n", paint.tone(Tone::Bad, &harmless(error)));
        }
        let Some(answer) = &self.answer else { return text };
        for key in ["would", "rule"] {
            if let Some(value) = answer.get(key).filter(|value| !value.is_null()) {
                text += &format!(
                    "  {} {}\n",
                    paint.tone(Tone::Faint, &format!("{key:<8}")),
                    indented(&said(value))
                );
            }
        }
        let because = match answer.get("because") {
            Some(Value::Array(reasons)) => reasons.iter().map(said).collect(),
            Some(value) if !value.is_null() => vec![said(value)],
            _ => Vec::new(),
        };
        for reason in because {
            text += &format!("  {} {}\n", paint.tone(Tone::Faint, "because "), indented(&reason));
        }
        text
    }
}

/// A text as it is, anything else as JSON.
fn said(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(_) => json(value),
        other => value_text(other),
    }
}

/// Several lines (a script, say) stand below one another.
fn indented(text: &str) -> String {
    text.trim_end().lines().map(harmless).collect::<Vec<_>>().join("\n           ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> Machine {
        Machine {
            kind: Some(OwnerKind::Node),
            macs: vec!["52:54:00:00:08:11".parse().unwrap()],
            addresses: vec!["192.168.8.11".parse().unwrap()],
            ..Machine::named("cp1")
        }
    }

    fn asked(machine: &Machine, boot: Option<&str>) -> Vec<(String, String)> {
        let event = |boot| format!(r#"{{"daemon":"dhcpd","event":"dhcp_acked","boot":"{boot}"}}"#);
        let events: Vec<Event> = boot.and_then(|boot| Event::parse(&event(boot))).into_iter().collect();
        let names = ["dhcpd", "tftpd", "ignition-http"].map(str::to_owned);
        let questions = questions(&names, machine, &events);
        questions.into_iter().map(|question| (question.daemon, question.about)).collect()
    }

    #[test]
    fn firmware_that_was_seen_is_asked_about() {
        let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
        };
        assert_eq!(
            asked(&node(), Some("snponly.efi")),
            pairs(&[("dhcpd", "UEFI x64"), ("dhcpd", "iPXE"), ("tftpd", "UEFI x64"), ("ignition-http", "")])
        );
        assert_eq!(
            asked(&node(), Some("http://192.168.8.1:8080/loaders/snponly.efi")),
            pairs(&[("dhcpd", "UEFI HTTP x64"), ("dhcpd", "iPXE"), ("tftpd", ""), ("ignition-http", "")])
        );
        assert_eq!(
            asked(&node(), Some("http://192.168.8.1:8080/boot/ipxe?mac=x")).len(),
            asked(&node(), None).len()
        );
        let bmc = Machine { kind: Some(OwnerKind::Bmc), ..node() };
        assert_eq!(asked(&bmc, None).len(), 3);
    }

    #[test]
    fn an_answer_of_several_lines_stays_together() {
        let answer = Answer {
            daemon: "ignition-http".to_owned(),
            about: vec!["BIOS".to_owned(), "iPXE".to_owned()],
            answer: Some(serde_json::json!({ "would": "a\nb", "rule": null, "because": ["x", "y"] })),
            error: None,
        };
        assert_eq!(
            answer.human(Paint::default()),
            "ignition-http  (BIOS, iPXE)\n  would    a\n           b\n  because  x\n  because  y\n"
        );
    }
}
