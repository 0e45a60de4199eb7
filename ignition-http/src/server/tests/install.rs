//! A node's way from its first script to its disk.

use super::*;

#[tokio::test]
async fn h37_the_ignition_of_another_node_is_refused() {
    let lab = Lab::new();
    for (last, reason) in [(SPARE, "foreign_address"), (STRANGER, "foreign_address"), (1, "bastion_itself")] {
        let (status, reply) = lab.get(last, "/ignition/cp1").await;
        assert_eq!(status, 403, "{last}");
        assert!(!reply.contains("version"));
        let event = lab.event("ignition_refused").unwrap();
        assert_eq!((&event["node"], &event["reason"]), (&"cp1".into(), &reason.into()));
    }
    assert_eq!(lab.stage(), Stage::Armed);
    assert_eq!(lab.get(CP1, "/ignition/none").await.0, 404);
    assert_eq!(lab.get(SPARE, "/ignition/spare").await.0, 404);
    assert_eq!(lab.get(CP1, "/ignition/cp1").await.0, 200);
}

#[tokio::test]
async fn h38_an_installed_node_gets_no_ignition() {
    let lab = Lab::new();
    assert_eq!(lab.get(CP1, "/ignition/cp1").await.0, 200);
    assert_eq!(lab.request(CP1, "POST", "/report/cp1", "Content-Length: 0\r\n").await.0, 200);
    assert_eq!(lab.get(CP1, "/ignition/cp1").await.0, 410);
    assert_eq!(lab.get(SPARE, "/ignition/cp1").await.0, 403, "others do not learn even that");
}

#[tokio::test]
async fn a_node_walks_the_whole_way() {
    let lab = Lab::new();
    let script = lab.boot(CP1).await;
    assert!(script.contains("kernel http://192.168.8.1:8080/rhcos/kernel"), "{script}");
    assert_eq!(lab.stage(), Stage::Loader);
    assert_eq!(lab.get(CP1, "/rhcos/kernel").await.0, 200);
    assert_eq!(lab.get(CP1, "/rhcos/initramfs.img").await.0, 200);
    assert_eq!(lab.stage(), Stage::Kernel);
    assert_eq!(body(&lab.boot(CP1).await), body(&script), "a retry gets the same script");
    let accept = "Accept: application/vnd.coreos.ignition+json;version=3.3.0, */*;q=0.1\r\n";
    for _ in 0..2 {
        let (status, reply) = lab.request(CP1, "GET", "/ignition/cp1", accept).await;
        assert_eq!((status, body(&reply)), (200, IGN));
        assert_eq!(
            field(&reply, "content-type"),
            Some("application/vnd.coreos.ignition+json; version=3.3.0")
        );
        assert_eq!(field(&reply, "cache-control"), Some("no-store"));
    }
    assert_eq!(lab.stage(), Stage::Ignition);
    let disk = lab.boot(CP1).await;
    assert!(disk.contains("sanboot") && !disk.contains("kernel"), "{disk}");
    assert_eq!(lab.stage(), Stage::Disk);
    assert_eq!(body(&lab.boot(CP1).await), body(&disk));
    let ids: Vec<String> =
        lab.events().iter().map(|event| event["event"].as_str().unwrap().to_owned()).collect();
    assert_eq!(
        ids,
        [
            "node_armed",
            "script_served",
            "kernel_served",
            "file_served",
            "ignition_served",
            "ignition_served",
            "node_installed",
            "node_disk"
        ]
    );
    for event in lab.events().iter().skip(1) {
        assert_eq!(
            (&event["node"], &event["mac"], &event["address"]),
            (&"cp1".into(), &"52:54:00:00:08:11".into(), &"192.168.8.11".into()),
            "{event}"
        );
    }
}

#[tokio::test]
async fn what_may_still_come_is_503_and_what_never_will_404() {
    let lab = Lab::new();
    std::fs::remove_file(lab.root.path().join("rhcos/kernel")).unwrap();
    let (status, reply) = lab.get(CP1, "/rhcos/kernel").await;
    assert_eq!((status, field(&reply, "retry-after")), (503, Some("5")));
    assert_eq!(lab.get(CP1, "/rhcos/other").await.0, 404);
    let ign = lab.root.path().join("rhcos/master.ign");
    for content in [None, Some("{"), Some("{}")] {
        std::fs::remove_file(&ign).unwrap();
        if let Some(content) = content {
            std::fs::write(&ign, content).unwrap();
        }
        let (status, reply) = lab.get(CP1, "/ignition/cp1").await;
        assert_eq!((status, field(&reply, "retry-after")), (503, Some("5")), "{content:?}");
        assert_eq!(lab.event("ignition_refused").unwrap()["reason"], "file_unready");
        std::fs::write(&ign, IGN).unwrap();
    }
    assert_eq!(lab.stage(), Stage::Armed);
    assert_eq!(lab.get(CP1, "/ignition/cp1").await.0, 200);
}

#[tokio::test]
async fn an_unknown_machine_is_told_and_listed() {
    let lab = Lab::new();
    let (_, reply) = lab.get(STRANGER, "/boot/ipxe?mac=52-54-00-00-08-99").await;
    assert!(
        reply.contains("52:54:00:00:08:99")
            && reply.contains("not in the site file")
            && !reply.contains("kernel")
    );
    let status = lab.service.status();
    assert_eq!(status["unknown"][0]["mac"], "52:54:00:00:08:99");
    assert_eq!(lab.event("machine_unknown").unwrap()["address"], "192.168.8.200");
}

#[tokio::test]
async fn a_machine_at_another_nodes_address_gets_its_disk() {
    let lab = Lab::new();
    let (_, reply) = lab.get(SPARE, "/boot/ipxe?mac=52-54-00-00-08-11").await;
    assert!(reply.contains("sanboot") && !reply.contains("kernel"), "{reply}");
    assert!(lab.event("identity_conflict").is_some());
    assert_eq!(lab.stage(), Stage::Armed);
}

#[tokio::test]
async fn a_node_at_a_dynamic_address_is_known_where_it_fetched_its_script() {
    let lab = Lab::with_profile("kernel = \"rhcos/kernel\"\nargs = \"quiet\"");
    let target = "/boot/ipxe?mac=52-54-00-00-08-11";
    assert!(lab.get(STRANGER, target).await.1.contains("kernel http://"));
    assert_eq!(lab.get(STRANGER, "/rhcos/kernel").await.0, 200);
    assert_eq!(lab.stage(), Stage::Kernel);
    assert!(lab.get(STRANGER, target).await.1.contains("sanboot"), "all its files were fetched");
}

#[tokio::test]
async fn the_bastion_sees_the_script_and_changes_nothing() {
    let lab = Lab::new();
    let (_, reply) = lab.get(1, "/boot/ipxe?mac=52:54:00:00:08:11").await;
    assert!(reply.contains("kernel http://"), "{reply}");
    assert_eq!(lab.get(1, "/rhcos/kernel").await.0, 200);
    assert_eq!(lab.stage(), Stage::Armed);
}

#[tokio::test]
async fn grub_is_spoken_to_in_its_own_language() {
    let lab = Lab::new();
    for target in ["/boot/grub?mac=52:54:00:00:08:11", "/boot/grub", "/grub/grub.cfg"] {
        let (_, reply) = lab.get(CP1, target).await;
        assert!(reply.contains("if linux '(http,192.168.8.1:8080)/rhcos/kernel'"), "{target}: {reply}");
    }
}

#[tokio::test]
async fn a_report_needs_the_node_itself() {
    let lab = Lab::with_profile("kernel = \"rhcos/kernel\"\nargs = \"report={report}\"");
    lab.boot(CP1).await;
    assert_eq!(lab.get(SPARE, "/report/cp1").await.0, 403);
    assert_eq!(lab.get(1, "/report/cp1").await.0, 403);
    assert_eq!(lab.get(CP1, "/report/none").await.0, 404);
    assert_eq!(lab.request(CP1, "HEAD", "/report/cp1", "").await.0, 200);
    assert_eq!(lab.stage(), Stage::Loader);
    let reply = lab
        .raw(
            CP1,
            b"POST /report/cp1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 4\r\n\r\nfine",
        )
        .await;
    assert_eq!(status(&reply), 200);
    assert_eq!(lab.event("node_installed").unwrap()["message"], "fine");
    assert_eq!(lab.get(CP1, "/report/cp1").await.0, 200, "a repeated report is no error");
    assert!(lab.boot(CP1).await.contains("sanboot"));
}

#[tokio::test]
async fn a_file_that_is_cut_short_ends_the_connection_early() {
    let lab = Lab::new();
    let path = lab.root.path().join("big");
    std::fs::write(&path, vec![1; 64 * 1024 * 1024]).unwrap();
    let mut client = lab.connect(CP1).await;
    client.write_all(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let mut some = vec![0; 1000];
    client.read_exact(&mut some).await.unwrap();
    std::fs::File::options().write(true).open(&path).unwrap().set_len(1000).unwrap();
    let mut rest = Vec::new();
    let _ = client.read_to_end(&mut rest).await;
    assert!(rest.len() < 64 * 1024 * 1024);
    assert!(lab.event("file_failed").is_some());
}

#[tokio::test]
async fn an_ignition_that_never_reached_the_node_does_not_end_the_install() {
    let lab = Lab::new();
    let large = format!(r#"{{"ignition":{{"version":"3.3.0"}},"x":"{}"}}"#, "y".repeat(15 * 1024 * 1024));
    std::fs::write(lab.root.path().join("rhcos/master.ign"), large).unwrap();
    lab.boot(CP1).await;
    let mut client = lab.connect(CP1).await;
    client.write_all(b"GET /ignition/cp1 HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    client.read_exact(&mut [0; 100]).await.unwrap();
    assert_eq!(lab.stage(), Stage::Ignition);
    drop(client);
    let back = async {
        while lab.stage() != Stage::Loader {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), back).await.expect("back where it was");
    assert!(lab.boot(CP1).await.contains("kernel http://"));
    assert_eq!(lab.get(CP1, "/ignition/cp1").await.0, 200);
    assert!(lab.boot(CP1).await.contains("sanboot"), "now it did");
}

#[tokio::test]
async fn what_cannot_be_written_is_not_promised() {
    let sim = SimDisk::new(1);
    let disk: Arc<dyn Disk> = Arc::new(sim.clone());
    let profile = PROFILE.replace("{ignition}", "{ignition} {report}");
    let lab = Lab::with(&profile, Store::open_on(&disk).unwrap());
    assert!(lab.boot(CP1).await.contains("kernel http://"));
    for operation in [Operation::Sync, Operation::Write] {
        sim.fail(operation, Fault::Io, u32::MAX);
    }
    for target in ["/ignition/cp1", "/report/cp1", "/ignition/cp1"] {
        let (status, reply) = lab.get(CP1, target).await;
        assert_eq!((status, field(&reply, "retry-after")), (503, Some("5")), "{target}: {reply}");
    }
    let script = lab.boot(CP1).await;
    assert!(
        script.contains("has to wait") && !script.contains("kernel") && !script.contains("sanboot"),
        "{script}"
    );
    sim.heal();
    let served = async {
        while lab.get(CP1, "/ignition/cp1").await.0 != 200 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), served).await.expect("it heals");
    assert_eq!(lab.get(CP1, "/report/cp1").await.0, 200);
    assert!(lab.boot(CP1).await.contains("sanboot"));
}

#[tokio::test]
async fn operators_arm_and_disarm() {
    let lab = Lab::new();
    let verb = async |method: hyper::Method, path: &str| {
        let request = faros_common::admin::AdminRequest {
            method,
            path: path.to_owned(),
            query: Default::default(),
            body: Default::default(),
        };
        let response = lab.service.admin(request).await.expect("a verb");
        let value: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
        (response.status.as_u16(), value)
    };
    let (get, post) = (hyper::Method::GET, hyper::Method::POST);
    assert_eq!(verb(get.clone(), "/nodes").await.1["nodes"][0]["next_boot"], "install");
    assert_eq!(verb(post.clone(), "/nodes/cp1/disarm").await.1["stage"], "held");
    assert!(lab.boot(CP1).await.contains("disarmed by the operator"));
    assert_eq!(verb(post.clone(), "/nodes/cp1/install").await.1["stage"], "armed");
    assert!(lab.boot(CP1).await.contains("kernel http://"));
    let (_, node) = verb(get.clone(), "/nodes/cp1").await;
    assert_eq!((&node["stage"], &node["ignition"]["version"]), (&"loader".into(), &"3.3.0".into()));
    assert_eq!(node["ignition"]["sha512"].as_str().unwrap().len(), 128);
    assert_eq!(verb(post.clone(), "/nodes/spare/install").await.0, 409);
    assert_eq!(verb(post, "/nodes/none/install").await.0, 404);
    assert_eq!(verb(get, "/unknown").await.0, 200);
}
