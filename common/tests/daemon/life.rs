//! From the start to the end of a daemon that is left in peace.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::{Echo, SITE, arguments, eventually, executable, port};

#[test]
fn it_serves_and_ends_cleanly() {
    let echo = Echo::start(|_| ());
    assert_eq!(echo.echo(b"hello"), Some(b"hello".to_vec()));
    let status = echo.status();
    assert_eq!(status["daemon"], "echo");
    assert_eq!(status["service"]["zone"], "edge.example.com");
    assert!(echo.request("GET /events").contains("\"event\":\"echoed\""));
    assert!(echo.request("GET /metrics").contains("faros_echo_panics_total 0"));
    assert!(echo.request("GET /nothing").starts_with("HTTP/1.1 404"));
    let socket = echo.socket();
    assert_eq!(echo.end().code(), Some(0));
    assert!(!socket.exists());
}

#[test]
fn a_broken_file_is_refused_at_start_and_on_reload() {
    let mut echo = Echo::start(|_| ());
    let site = echo.directory.path().join("site.toml");
    fs::write(&site, SITE.replace("interface", "interfaze")).unwrap();
    echo.signal("HUP");
    eventually("the reload is refused", || echo.status()["last_reload"]["state"] == "refused");
    let reason = echo.status()["last_reload"]["reason"].to_string();
    assert!(reason.contains("site.toml:6:1") && reason.contains("interfaze"), "{reason}");
    assert!(echo.request("GET /events").contains("reload_refused"));
    assert_eq!(echo.echo(b"still here"), Some(b"still here".to_vec()));
    assert!(echo.request("POST /reload").starts_with("HTTP/1.1 409"));

    fs::write(&site, SITE.replace("example.com", "example.net")).unwrap();
    assert!(echo.request("POST /reload").starts_with("HTTP/1.1 200"));
    assert_eq!(echo.status()["service"]["zone"], "edge.example.net");

    fs::write(&site, "version = 1\n[cluster").unwrap();
    let check = |further: &[&str]| {
        Command::new(executable()).args(arguments(echo.directory.path())).args(further).output().unwrap()
    };
    assert_eq!(check(&["--check"]).status.code(), Some(78));
    fs::write(&site, SITE).unwrap();
    assert_eq!(check(&["--check"]).status.code(), Some(0));
    assert_eq!(check(&["--nonsense"]).status.code(), Some(64));
    let second = check(&[]);
    assert_eq!(second.status.code(), Some(71));
    assert!(String::from_utf8_lossy(&second.stderr).contains("already in use"));
    assert!(echo.child.try_wait().unwrap().is_none());
}

#[test]
fn a_panic_costs_one_request() {
    let echo = Echo::start(|_| ());
    assert_eq!(echo.echo(b"panic"), None);
    assert_eq!(echo.echo(b"fine"), Some(b"fine".to_vec()));
    assert!(echo.request("GET /panic").starts_with("HTTP/1.1 500"));
    assert_eq!(echo.status()["panics"], 2);
}

#[test]
fn a_follower_sees_what_happens_after_a_given_event() {
    let echo = Echo::start(|_| ());
    let mut stream = UnixStream::connect(echo.socket()).unwrap();
    write!(stream, "GET /events?follow=1 HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let started = lines.find(|line| line.contains("\"started\"")).unwrap();
    let seq = serde_json::from_str::<serde_json::Value>(&started).unwrap()["seq"].as_u64().unwrap();
    echo.echo(b"x").unwrap();
    assert!(lines.any(|line| line.contains("\"echoed\"")));
    let resumed = echo.request(&format!("GET /events?since={seq}"));
    assert!(resumed.contains("echoed") && !resumed.contains("started"));
}

#[test]
fn the_service_manager_hears_that_it_is_ready_and_alive() {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let path = directory.path().join("notify");
    let notify = UnixDatagram::bind(&path).unwrap();
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    notify.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let echo = Echo::start(|command| {
        command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "300000");
    });
    let mut heard = String::new();
    let mut buffer = [0; 512];
    while !(heard.contains("READY=1") && heard.contains("WATCHDOG=1")) {
        let length = notify.recv(&mut buffer).expect("READY and WATCHDOG");
        heard += &String::from_utf8_lossy(&buffer[..length]);
        heard.push('\n');
    }
    echo.signal("HUP");
    while !heard.contains("RELOADING=1") {
        let length = notify.recv(&mut buffer).expect("RELOADING");
        heard += &String::from_utf8_lossy(&buffer[..length]);
    }
    assert_eq!(echo.end().code(), Some(0));
}

#[test]
fn a_socket_that_is_handed_over_is_used() {
    let port = port();
    let socket = UdpSocket::bind("127.0.77.1:7007").unwrap();
    let fd = socket.as_raw_fd();
    let echo = Echo::start_with(port, |command| {
        // The shell moves the socket to descriptor 3 and keeps its pid for the daemon.
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("exec 3<&{fd}; export LISTEN_PID=$$ LISTEN_FDS=1; exec \"$0\" \"$@\"")]);
        shell.arg(command.get_program()).args(command.get_args());
        shell.stderr(Stdio::piped());
        *command = shell;
        let flags = rustix::io::fcntl_getfd(&socket).unwrap();
        rustix::io::fcntl_setfd(&socket, flags - rustix::io::FdFlags::CLOEXEC).unwrap();
    });
    // The port is free when the test ends.
    drop(socket);
    assert_eq!(echo.echo(b"handed over"), Some(b"handed over".to_vec()));
}
