//! Ignition files, as the real `ignition` engine takes them.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::fs;
use std::process::Output;
use std::time::Duration;

use faros_lab::{Lab, Namespace};
use faros_tests::{machine_at, run, running, site};

/// Where Debian's package `ignition` puts the engine.
const ENGINE: &str = "/usr/lib/dracut/modules.d/30ignition/ignition";

fn node(lab: &Lab, name: &str, (mac, address): (&str, &str)) -> Namespace {
    machine_at(lab, name, mac, &format!("{address}/24"))
}

fn url(node: &str) -> String {
    format!("http://{}:8080/ignition/{node}", site::BASTION)
}

/// Runs the engine's fetch stage as on bare metal, with the URL on the kernel's command line.
fn fetch(lab: &Lab, machine: &Namespace, url: &str) -> (Output, String) {
    let directory = lab.dir().join(format!("engine-{}", machine.name()));
    fs::create_dir_all(directory.join("root")).unwrap();
    let path = |name: &str| directory.join(name).display().to_string();
    fs::write(
        path("cmdline"),
        format!("ignition.firstboot ignition.platform.id=metal ignition.config.url={url}\n"),
    )
    .unwrap();
    engine(
        machine,
        &path,
        &format!("mount --bind {} /proc/cmdline && exec {ENGINE} -platform=metal", path("cmdline")),
    )
}

/// Runs it with a pointer file that names the URL and the hash of what is there.
fn fetch_pinned(lab: &Lab, machine: &Namespace, url: &str, sha512: &str) -> (Output, String) {
    let directory = lab.dir().join(format!("pinned-{}", machine.name()));
    fs::create_dir_all(directory.join("root")).unwrap();
    let path = |name: &str| directory.join(name).display().to_string();
    let pointer = format!(
        r#"{{"ignition":{{"version":"3.2.0","config":{{"replace":{{"source":"{url}","verification":{{"hash":"sha512-{sha512}"}}}}}}}}}}"#
    );
    fs::write(path("pointer.ign"), pointer).unwrap();
    engine(
        machine,
        &path,
        &format!("export IGNITION_CONFIG_FILE={}; exec {ENGINE} -platform=file", path("pointer.ign")),
    )
}

fn engine(machine: &Namespace, path: &dyn Fn(&str) -> String, start: &str) -> (Output, String) {
    assert!(fs::exists(ENGINE).unwrap(), "the package ignition is not installed");
    let script = format!(
        "{start} -stage=fetch -fetch-timeout=20s -log-to-stdout -config-cache={} -state-file={} -neednet={} -root={}",
        path("ign.json"),
        path("state"),
        path("neednet"),
        path("root"),
    );
    let output = run(machine, "timeout", &["60", "unshare", "-m", "sh", "-c", &script]);
    (output, fs::read_to_string(path("ign.json")).unwrap_or_default())
}

fn sha512(text: &str) -> String {
    let mut child = std::process::Command::new("sha512sum");
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), text).unwrap();
    let output = child.arg(file.path()).output().unwrap();
    String::from_utf8(output.stdout).unwrap().split(' ').next().unwrap().to_owned()
}

#[test]
fn the_engine_takes_what_is_served() {
    let lab = running(site::SITE);
    let (output, config) = fetch(&lab, &node(&lab, "n1", site::N1), &url("n1"));
    assert!(output.status.success(), "{output:?}");
    assert!(config.contains("/etc/secret"), "{config}");
    let events = lab.events().unwrap();
    let served =
        events.wait_for("ignition_served", Duration::from_secs(5), |event| event.event == "ignition_served");
    assert_eq!(served.unwrap().node.as_deref(), Some("n1"));
}

#[test]
fn the_engine_takes_what_is_pinned_by_hash_and_nothing_else() {
    let lab = running(site::SITE);
    let n1 = node(&lab, "n1", site::N1);
    let served = run(&n1, "curl", &["-sS", &url("n1")]).stdout;
    let served = String::from_utf8(served).unwrap();
    let (output, config) = fetch_pinned(&lab, &n1, &url("n1"), &sha512(&served));
    assert!(output.status.success() && config.contains("/etc/secret"), "{output:?}");
    let (output, _) = fetch_pinned(&lab, &n1, &url("n1"), &sha512("something else"));
    assert!(!output.status.success());
}

#[test]
fn a_file_that_is_still_being_prepared_is_waited_for() {
    let lab = running(site::SITE);
    let n1 = node(&lab, "n1", site::N1);
    let file = lab.boot_root().join("test/secret.ign");
    fs::remove_file(&file).unwrap();
    let output =
        run(&n1, "curl", &["-sS", "-o", "/dev/null", "-w", "%{http_code} %header{retry-after}", &url("n1")]);
    let answer = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(answer.starts_with("503 ") && answer.len() > 4, "{answer}");
    let (output, config) = std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(1500));
            fs::write(lab.boot_root().join("secret.tmp"), site::IGNITION).unwrap();
            fs::rename(lab.boot_root().join("secret.tmp"), &file).unwrap();
        });
        fetch(&lab, &n1, &url("n1"))
    });
    assert!(output.status.success() && config.contains("/etc/secret"), "{output:?}");
}

#[test]
fn another_nodes_file_is_refused() {
    let lab = running(site::SITE);
    let n2 = node(&lab, "n2", site::N2);
    let code = |machine: &Namespace, name: &str| {
        let output = run(machine, "curl", &["-sS", "-w", "\n%{http_code}", &url(name)]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(!text.contains("secret") || text.ends_with("200"), "{text}");
        text.rsplit_once('\n').unwrap().1.to_owned()
    };
    assert_eq!(code(&n2, "n1"), "403");
    let events = lab.events().unwrap();
    let refused = events
        .wait_for("ignition_refused", Duration::from_secs(5), |event| event.event == "ignition_refused");
    assert!(refused.unwrap().fields.to_string().contains("n1"));

    // The right address on the wrong card is no better.
    let thief = node(&lab, "thief", (site::STRANGER, site::N1.1));
    assert_eq!(code(&thief, "n1"), "403");
    assert_eq!(code(&n2, "nobody"), "404");
    assert_eq!(code(&n2, "n2"), "200");
}

#[test]
fn an_installed_node_gets_no_second_file_until_it_is_armed_again() {
    let mut lab = running(site::SITE);
    let n1 = node(&lab, "n1", site::N1);
    let get = |path: &str| {
        let url = format!("http://{}:8080{path}", site::BASTION);
        let output = run(&n1, "curl", &["-sS", "-w", "\n%{http_code}", &url]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (body, code) = text.rsplit_once('\n').unwrap();
        (body.to_owned(), code.to_owned())
    };
    let script = "/boot/ipxe?mac=52-54-00-00-08-11";
    let (armed, code) = get(script);
    assert!(code == "200" && armed.starts_with("#!ipxe") && armed.contains("test/vmlinuz"), "{armed}");
    assert_eq!(get(script).0, armed, "a retry gets the same answer");
    assert_eq!(get("/ignition/n1").1, "200");
    assert_eq!(get("/ignition/n1").1, "200", "a retry of an armed node is served");
    assert_eq!(get("/report/n1").1, "200");
    assert_eq!(get("/ignition/n1").1, "410");
    let disk = get(script).0;
    assert!(disk.starts_with("#!ipxe") && !disk.contains("vmlinuz"), "{disk}");

    // Neither a restart nor a crash makes it forget.
    lab.kill_daemon("ignition-http").unwrap();
    lab.start_daemon("ignition-http").unwrap();
    assert_eq!(get("/ignition/n1").1, "410");
    assert!(!get(script).0.contains("vmlinuz"));

    let armed_again = faros_tests::farosctl_of(&lab).args(["node", "install", "n1"]).output().unwrap();
    assert!(armed_again.status.success(), "{armed_again:?}");
    assert!(get(script).0.contains("test/vmlinuz"));
    assert_eq!(get("/ignition/n1").1, "200");
}
