//! Reloading: a broken file changes nothing, a good one loses nothing.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::time::Duration;

use faros_lab::{DAEMONS, Process};
use faros_tests::{eventually, farosctl_of, leased, machine, machine_at, noise, run, running, sha256, site};
use rustix::process::Signal;

#[test]
fn a_broken_file_keeps_the_old_one_serving_and_says_why() {
    let lab = running(site::SITE);
    let client = machine_at(&lab, "client", site::STRANGER, "192.168.8.20/24");
    lab.write_site(&site::SITE.replace("pool = ", "pol = ")).unwrap();
    for name in DAEMONS {
        lab.signal_daemon(name, Signal::HUP).unwrap();
        eventually("the reload is refused", || {
            lab.admin_get(name, "/status").unwrap()["last_reload"]["state"] == "refused"
        });
        let reason = lab.admin_get(name, "/status").unwrap()["last_reload"]["reason"].to_string();
        assert!(reason.contains("lan.pol") && reason.contains("pool"), "{name}: {reason}");
        let events = lab.events().unwrap();
        events
            .wait_for("reload_refused", Duration::from_secs(5), |event| {
                event.event == "reload_refused" && event.daemon == name
            })
            .unwrap();
    }
    let status = farosctl_of(&lab).arg("status").output().unwrap();
    assert_eq!(status.status.code(), Some(3), "{status:?}");
    let url = format!("http://{}:8080/test/vmlinuz", site::BASTION);
    assert_eq!(run(&client, "curl", &["-sS", &url]).stdout.len(), site::KERNEL_BYTES);
    lab.write_site(site::SITE).unwrap();
    for name in DAEMONS {
        lab.admin_post(name, "/reload").unwrap();
    }
    eventually("all is well again", || {
        farosctl_of(&lab).arg("status").output().unwrap().status.code() == Some(0)
    });
}

#[test]
fn a_reload_is_taken_over() {
    let lab = running(site::SITE);
    lab.write_site(&format!(
        "{}\n[[host]]\nname = \"late\"\nmac = \"{}\"\naddress = \"192.168.8.77\"\n",
        site::SITE,
        site::STRANGER
    ))
    .unwrap();
    lab.admin_post("dhcpd", "/reload").unwrap();
    let stranger = machine(&lab, "late", site::STRANGER);
    run(&stranger, "udhcpc", &["-i", "eth0", "-n", "-q", "-f", "-s", "/bin/true"]);
    assert_eq!(leased(&lab, site::STRANGER).as_deref(), Some("192.168.8.77"));
}

#[test]
fn a_hundred_reloads_under_load_lose_no_exchange() {
    let lab = running(site::SITE);
    let client = machine_at(&lab, "client", site::STRANGER, "192.168.8.20/24");
    let content = noise(2_000_000, 4);
    std::fs::write(lab.boot_root().join("file"), &content).unwrap();
    let expected = sha256(&content);

    let log = lab.log_file("perfdhcp");
    let mut command = client.command("perfdhcp");
    command.args("-4 -l eth0 -r 50 -R 50 -p 8 -W 1000000 192.168.8.1".split(' '));
    let mut exchanges = Process::start(&mut command, log.clone()).unwrap();
    std::thread::scope(|scope| {
        let (client, expected) = (&client, expected.as_str());
        let fetch = move |url: &str, rounds: usize| {
            for round in 0..rounds {
                let output = run(client, "curl", &["-sS", "--tftp-blksize", "1428", url]);
                assert_eq!(sha256(&output.stdout), expected, "{url} in round {round}: {output:?}");
            }
        };
        let tftp = scope.spawn(move || fetch(&format!("tftp://{}/file", site::BASTION), 40));
        let http = scope.spawn(move || fetch(&format!("http://{}:8080/file", site::BASTION), 150));
        for round in 0..100 {
            let lease = if round % 2 == 0 { "11m" } else { "10m" };
            lab.write_site(&site::SITE.replace("lease = \"10m\"", &format!("lease = \"{lease}\""))).unwrap();
            for name in DAEMONS {
                lab.signal_daemon(name, Signal::HUP).unwrap();
            }
            std::thread::sleep(Duration::from_millis(60));
        }
        tftp.join().unwrap();
        http.join().unwrap();
    });
    exchanges.wait(Duration::from_secs(30)).unwrap();
    let said = std::fs::read_to_string(&log).unwrap();
    let drops: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("drops: ")).collect();
    assert_eq!(drops, ["0", "0"], "offers and acknowledgements lost:\n{said}");
    for name in DAEMONS {
        assert_eq!(lab.admin_get(name, "/status").unwrap()["last_reload"]["state"], "taken", "{name}");
    }
}
