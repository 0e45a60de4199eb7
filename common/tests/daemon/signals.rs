//! Signals in numbers and at bad moments, and the watchdog.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use crate::{Echo, SITE, eventually, ground, port};

#[test]
fn a_storm_of_reloads_ends_with_the_last_file() {
    let mut echo = Echo::start(|_| ());
    let site = echo.directory.path().join("site.toml");
    for number in 0..100 {
        let new = echo.directory.path().join("new");
        fs::write(&new, SITE.replace("example.com", &format!("n{number}.test"))).unwrap();
        fs::rename(&new, &site).unwrap();
        echo.signal("HUP");
    }
    eventually("the last file holds", || echo.status()["service"]["zone"] == "edge.n99.test");
    std::thread::scope(|scope| {
        let posts: Vec<_> = (0..20).map(|_| scope.spawn(|| echo.post("/reload"))).collect();
        for post in posts {
            assert_eq!(post.join().unwrap(), "{\"reloaded\":true}");
        }
    });
    assert!(echo.child.try_wait().unwrap().is_none());
}

#[test]
fn a_reload_that_is_asked_for_during_the_start_does_not_end_it() {
    for delay in [0, 1, 3, 10] {
        let mut echo = Echo::launch(port(), |_| ());
        // As soon as it is itself: while the system still loads the program, no program can help it.
        while echo.process("SigBlk") != "0000000000000001" && !echo.socket().exists() {}
        std::thread::sleep(Duration::from_millis(delay));
        echo.signal("HUP");
        eventually("it serves", || echo.socket().exists() || echo.child.try_wait().unwrap().is_some());
        assert!(echo.child.try_wait().unwrap().is_none(), "after {delay} ms: {}", echo.stderr());
        assert_eq!(echo.end().code(), Some(0));
    }
}

#[test]
fn the_second_request_to_end_is_not_made_to_wait() {
    for second in ["TERM", "INT"] {
        let mut echo = Echo::start(|_| ());
        assert_eq!(echo.echo(b"hang"), None);
        echo.signal("TERM");
        std::thread::sleep(Duration::from_millis(300));
        assert!(echo.child.try_wait().unwrap().is_none(), "it drains");
        echo.signal(second);
        assert_eq!(echo.child.wait().unwrap().code(), Some(75));
    }
}

#[test]
fn a_serving_loop_that_hangs_is_not_called_alive() {
    let directory = ground();
    fs::set_permissions(directory.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let path = directory.path().join("notify");
    let notify = UnixDatagram::bind(&path).unwrap();
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    notify.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let echo = Echo::start(|command| {
        command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "600000");
    });
    let hears = |what: &str| {
        let mut buffer = [0; 512];
        while let Ok(length) = notify.recv(&mut buffer) {
            if buffer[..length].windows(what.len()).any(|window| window == what.as_bytes()) {
                return true;
            }
        }
        false
    };
    assert!(hears("READY=1") && hears("WATCHDOG=1"));
    assert_eq!(echo.echo(b"hang"), None);
    // What was sent before it hung, and one more for the beat before.
    std::thread::sleep(Duration::from_millis(600));
    notify.set_nonblocking(true).unwrap();
    while hears("WATCHDOG=1") {}
    notify.set_nonblocking(false).unwrap();
    assert!(!hears("WATCHDOG=1"), "it hangs");
    assert_eq!(echo.status()["daemon"], "echo", "while the rest of it answers");
}

#[test]
fn readiness_is_told_to_an_abstract_socket_too() {
    use std::os::linux::net::SocketAddrExt;
    let name = format!("faros-test-{}", std::process::id());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
    let notify = UnixDatagram::bind_addr(&address).unwrap();
    notify.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let _echo = Echo::start(|command| {
        command.env("NOTIFY_SOCKET", format!("@{name}"));
    });
    let mut buffer = [0; 512];
    let length = notify.recv(&mut buffer).unwrap();
    assert!(String::from_utf8_lossy(&buffer[..length]).contains("READY=1"));
}
