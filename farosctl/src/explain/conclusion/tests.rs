use serde_json::json;

use super::*;
use crate::events::event::Event;

const NOW: u64 = 1_000_000;

/// `ago id key=value …`, oldest first; the daemon does not matter here.
fn trace(lines: &[&str]) -> Trace {
    let events: Vec<Event> = lines
        .iter()
        .map(|line| {
            let mut words = line.splitn(3, ' ');
            let ago: u64 = words.next().unwrap().parse().unwrap();
            let id = words.next().unwrap();
            let time =
                humantime::format_rfc3339_micros(SystemTime::UNIX_EPOCH + Duration::from_secs(NOW - ago));
            let mut event = json!({ "seq": 1, "time": time.to_string(), "daemon": "d", "event": id });
            for (key, value) in
                words.next().unwrap_or_default().split(';').filter_map(|pair| pair.split_once('='))
            {
                event[key] = value.into();
            }
            Event::parse(&event.to_string()).unwrap()
        })
        .collect();
    Trace::of(&events)
}

fn node(stage: &str, ago: u64) -> NodeState {
    let since = humantime::format_rfc3339_micros(SystemTime::UNIX_EPOCH + Duration::from_secs(NOW - ago));
    NodeState::read(&json!({ "name": "cp1", "state": stage, "since": since.to_string() }))
}

struct Case<'c> {
    events: &'c [&'c str],
    node: Option<NodeState>,
    kind: Option<OwnerKind>,
    down: &'c [&'c str],
    certificates_hours: Option<u64>,
}

impl Default for Case<'_> {
    fn default() -> Self {
        Self { events: &[], node: None, kind: Some(OwnerKind::Node), down: &[], certificates_hours: None }
    }
}

impl Case<'_> {
    fn conclude(&self) -> Conclusion {
        let down: Vec<String> = self.down.iter().map(|name| (*name).to_owned()).collect();
        let trace = trace(self.events);
        conclude(&Evidence {
            now: SystemTime::UNIX_EPOCH + Duration::from_secs(NOW),
            kind: self.kind,
            macs: &["52:54:00:00:08:11".parse().unwrap()],
            trace: &trace,
            node: self.node.as_ref(),
            down: &down,
            ignition_url: Some("http://192.168.8.1:8080/ignition/cp1"),
            certificates_age: self.certificates_hours.map(|hours| Duration::from_secs(hours * 3600)),
        })
    }
}

#[track_caller]
fn assert_concludes(case: &Case<'_>, health: Health, at: &str, fragments: &[&str]) {
    let conclusion = case.conclude();
    assert_eq!((conclusion.health, conclusion.at), (health, at), "{conclusion:?}");
    for fragment in fragments {
        assert!(conclusion.text.contains(fragment), "{fragment:?} is not in {:?}", conclusion.text);
    }
}

fn events<'c>(events: &'c [&'c str]) -> Case<'c> {
    Case { events, ..Case::default() }
}

const INSTALL_TO_KERNEL: [&str; 6] = [
    "200 dhcp_acked",
    "199 file_sent file=snponly.efi",
    "195 lease_renewed",
    "194 script_served action=install",
    "190 file_served path=/rhcos/initramfs.img",
    "180 kernel_served path=/rhcos/kernel",
];

#[test]
fn a_machine_that_never_asked_is_named_by_its_macs() {
    assert_concludes(
        &Case::default(),
        Health::Silent,
        "none",
        &["no DHCP request seen", "52:54:00:00:08:11"],
    );
    let stranger = Case { kind: None, ..Case::default() };
    assert_concludes(&stranger, Health::Silent, "none", &["no request seen from it"]);
    let armed = Case { events: &["500 node_armed"], node: Some(node("armed", 500)), ..Case::default() };
    assert_concludes(&armed, Health::Silent, "none", &["no DHCP request seen"]);
    let held = Case { node: Some(node("held", 500)), ..Case::default() };
    assert_concludes(&held, Health::Silent, "none", &["not armed"]);
    let down = Case { down: &["dhcpd"], ..Case::default() };
    assert_concludes(
        &down,
        Health::Stalled,
        "none",
        &["dhcpd does not answer", "systemctl start faros-dhcpd"],
    );
}

#[test]
fn a_request_without_an_answer_shows_the_reason() {
    let case = events(&["30 dhcp_unanswered reason=pool_exhausted;explanation=the pool has no address left"]);
    assert_concludes(
        &case,
        Health::Stalled,
        "dhcp",
        &["30 s ago", "not answered", "the pool has no address left"],
    );
    let case = Case { kind: None, ..events(&["30 dhcp_acked"]) };
    assert_concludes(&case, Health::Fine, "dhcp", &["nowhere in the site file"]);
    // Answered since: the old trouble is over.
    let case = events(&["30 dhcp_unanswered reason=x", "20 dhcp_acked"]);
    assert_concludes(&case, Health::UnderWay, "dhcp", &["expected to fetch its loader"]);
}

#[test]
fn refusals_and_conflicts_are_named() {
    let case = events(&["30 dhcp_nak reason=10.0.0.7 is not on this network"]);
    assert_concludes(&case, Health::Stalled, "dhcp", &["NAK", "10.0.0.7 is not on this network"]);
    let case = events(&["40 dhcp_acked", "30 lease_declined address=192.168.8.11"]);
    assert_concludes(&case, Health::Stalled, "dhcp", &["declined 192.168.8.11", "another machine"]);
}

#[test]
fn an_offer_that_nobody_took_points_at_a_second_server() {
    assert_concludes(
        &events(&["120 dhcp_offered"]),
        Health::Stalled,
        "dhcp",
        &["never took it", "another DHCP server"],
    );
    assert_concludes(&events(&["2 dhcp_offered"]), Health::UnderWay, "dhcp", &["offered"]);
    let case = events(&["300 dhcp_offered", "300 dhcp_acked", "120 dhcp_offered"]);
    assert_concludes(&case, Health::Stalled, "dhcp", &["never took it"]);
}

#[test]
fn a_second_server_is_named() {
    let case = events(&["30 dhcp_offered", "29 dhcp_other_server server=192.168.8.254"]);
    assert_concludes(
        &case,
        Health::Stalled,
        "dhcp",
        &["another DHCP server (192.168.8.254)", "switch that server off"],
    );
}

#[test]
fn a_machine_that_contradicts_itself_is_told() {
    let case = events(&["30 dhcp_acked", "20 identity_conflict reason=the card is cp1's, the address cp2's"]);
    assert_concludes(&case, Health::Stalled, "loader", &["contradicts itself", "the address cp2's"]);
}

#[test]
fn a_script_that_says_wait_says_why() {
    let case = events(&["5 script_served action=wait;because=the journal cannot be written"]);
    assert_concludes(&case, Health::Stalled, "script", &["told to wait", "the journal cannot be written"]);
    let case = events(&["9 script_served action=wait;because=x", "5 script_served action=install"]);
    assert_concludes(&case, Health::UnderWay, "script", &["expected to fetch the kernel"]);
}

#[test]
fn a_refused_report_is_told() {
    let case =
        events(&["90 ignition_served", "5 report_refused reason=address;detail=192.168.8.99 is not cp1's"]);
    assert_concludes(&case, Health::Stalled, "ignition", &["report was refused", "192.168.8.99"]);
}

#[test]
fn an_address_without_a_loader_is_overdue_after_a_minute() {
    let offered_and_taken = ["90 dhcp_offered", "89 dhcp_acked"];
    let case = events(&offered_and_taken);
    assert_concludes(
        &case,
        Health::Stalled,
        "dhcp",
        &["DHCP answered 1 min ago", "loader was never fetched", "TFTP"],
    );
    let case = Case { kind: Some(OwnerKind::Host), ..events(&offered_and_taken) };
    assert_concludes(&case, Health::Fine, "dhcp", &["nothing more is expected"]);
    let case = Case { down: &["tftpd"], ..events(&offered_and_taken) };
    assert_concludes(&case, Health::Stalled, "dhcp", &["tftpd does not answer"]);
    let case = Case { node: Some(node("held", 9000)), ..events(&offered_and_taken) };
    assert_concludes(&case, Health::Fine, "dhcp", &["not armed"]);
    let case = Case { node: Some(node("disk", 9000)), ..events(&offered_and_taken) };
    assert_concludes(&case, Health::Fine, "disk", &["2 h 30 min ago"]);
}

#[test]
fn a_loader_that_cannot_be_sent_is_named() {
    let case = events(&["30 dhcp_acked", "29 file_failed file=undionly.kpxe;reason=no such file"]);
    assert_concludes(
        &case,
        Health::Stalled,
        "dhcp",
        &["undionly.kpxe could not be sent", "no such file", "boot loaders"],
    );
    let case = events(&[
        "30 dhcp_acked",
        "29 file_failed file=undionly.kpxe;reason=timeout",
        "20 file_sent file=undionly.kpxe",
    ]);
    assert_concludes(&case, Health::UnderWay, "loader", &["boot script"]);
}

#[test]
fn a_loader_without_a_script_tells_whether_it_had_an_address() {
    let case = events(&["300 dhcp_acked", "299 file_sent file=loaders/snponly.efi"]);
    assert_concludes(&case, Health::Stalled, "loader", &["never asked for an address"]);
    let case = events(&["300 dhcp_acked", "299 file_served path=/loaders/snponly.efi", "290 dhcp_acked"]);
    assert_concludes(&case, Health::Stalled, "loader", &["got its address but not its script"]);
    let case = Case { down: &["ignition-http"], ..events(&["9 dhcp_acked", "8 file_sent file=snponly.efi"]) };
    assert_concludes(&case, Health::Stalled, "loader", &["ignition-http does not answer"]);
}

#[test]
fn a_loader_that_starts_itself_over_is_a_loop() {
    let case = events(&[
        "90 file_sent file=undionly.kpxe",
        "70 file_sent file=undionly.kpxe",
        "50 file_sent file=undionly.kpxe",
        "30 file_sent file=undionly.kpxe",
    ]);
    assert_concludes(&case, Health::Stalled, "loader", &["4 times", "starts itself over"]);
    let case =
        events(&["30 file_sent file=undionly.kpxe", "29 boot_loop file=undionly.kpxe;reason=it returns"]);
    assert_concludes(&case, Health::Stalled, "loader", &["undionly.kpxe", "over and over", "it returns"]);
}

#[test]
fn a_script_without_a_kernel_points_at_the_profile() {
    let case = events(&["200 file_sent file=snponly.efi", "190 script_served action=install"]);
    assert_concludes(&case, Health::Stalled, "script", &["kernel never fetched"]);
    let case = events(&["20 file_sent file=snponly.efi", "19 script_served action=install"]);
    assert_concludes(&case, Health::UnderWay, "script", &["expected to fetch the kernel"]);
}

#[test]
fn a_kernel_without_ignition_is_the_classic() {
    let mut lines: Vec<String> = INSTALL_TO_KERNEL.iter().map(|line| (*line).to_owned()).collect();
    let borrowed: Vec<&str> = lines.iter().map(String::as_str).collect();
    assert_concludes(&events(&borrowed), Health::UnderWay, "kernel", &["kernel fetched 3 min ago"]);
    for line in &mut lines {
        *line = format!("1{line}");
    }
    let borrowed: Vec<&str> = lines.iter().map(String::as_str).collect();
    assert_concludes(
        &events(&borrowed),
        Health::Stalled,
        "kernel",
        &[
            "kernel fetched 19 min ago, Ignition never",
            "http://192.168.8.1:8080/ignition/cp1",
            "no DHCP request",
        ],
    );
    let mut again = borrowed.clone();
    again.push("1100 lease_renewed");
    assert_concludes(&events(&again), Health::Stalled, "kernel", &["though it got an address again"]);
}

#[test]
fn a_refused_ignition_says_why() {
    let mut lines = INSTALL_TO_KERNEL.to_vec();
    lines.push("100 ignition_refused reason=192.168.8.12 is not the address of cp1");
    assert_concludes(
        &events(&lines),
        Health::Stalled,
        "kernel",
        &["refused 1 min ago", "not the address of cp1"],
    );
    lines.push("50 ignition_served");
    assert_concludes(&events(&lines), Health::UnderWay, "ignition", &["it installs"]);
}

#[test]
fn an_installation_that_does_not_end_is_overdue() {
    let case = events(&["4000 ignition_served"]);
    assert_concludes(&case, Health::Stalled, "ignition", &["neither a report nor a reboot"]);
    let case = Case { certificates_hours: Some(30), ..events(&["60 ignition_served"]) };
    assert_concludes(&case, Health::Stalled, "ignition", &["certificates", "1 d 6 h old"]);
    let case = Case { certificates_hours: Some(3), ..events(&["60 ignition_served"]) };
    assert_concludes(&case, Health::UnderWay, "ignition", &["it installs"]);
}

#[test]
fn the_end_of_the_way_is_fine() {
    assert_concludes(
        &events(&["60 ignition_served", "5 node_installed"]),
        Health::Fine,
        "installed",
        &["5 s ago"],
    );
    let case = events(&["60 node_installed", "5 node_disk action=disk", "4 lease_renewed"]);
    assert_concludes(&case, Health::Fine, "disk", &["sent to its disk 5 s ago"]);
}

#[test]
fn coming_back_from_the_disk_again_and_again_is_a_loop() {
    let case = events(&["300 node_disk", "200 node_disk", "100 node_disk"]);
    assert_concludes(&case, Health::Stalled, "disk", &["3 times", "does not boot"]);
}

#[test]
fn arming_begins_a_new_way() {
    let mut lines = vec!["500 node_disk", "400 lease_renewed", "100 node_armed"];
    let case = Case { node: Some(node("armed", 100)), ..events(&lines) };
    assert_concludes(&case, Health::UnderWay, "none", &["armed 1 min ago", "next network boot"]);
    lines.push("90 dhcp_acked");
    let case = Case { node: Some(node("armed", 100)), ..events(&lines) };
    assert_concludes(&case, Health::Stalled, "dhcp", &["loader was never fetched"]);
}

#[test]
fn what_events_forgot_the_state_remembers() {
    for (stage, at, health) in [
        ("loader", "script", Health::Stalled),
        ("kernel", "kernel", Health::Stalled),
        ("ignition", "ignition", Health::Stalled),
        ("installed", "installed", Health::Fine),
        ("disk", "disk", Health::Fine),
    ] {
        let case = Case { node: Some(node(stage, 5000)), ..Case::default() };
        assert_concludes(&case, health, at, &["1 h 23 min ago"]);
    }
}
