//! The admin socket under peers who mean no good.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Duration;

use crate::{Echo, is_root};

fn ask(stream: &mut UnixStream, text: &[u8]) -> String {
    // The answer may come, and the connection end, before everything is sent.
    let _ = stream.write_all(text);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn malformed_and_oversized_requests_are_refused() {
    let echo = Echo::start(|_| ());
    let long = "a".repeat(1_000_000);
    let body = "POST /reload HTTP/1.1\r\nConnection: close\r\nContent-Length: 1000000\r\n\r\n";
    let many: String = (0..1000).map(|number| format!("X{number}: a\r\n")).collect();
    for (request, status) in [
        (format!("GET /status HTTP/1.1\r\nX: {long}\r\n\r\n"), "431"),
        (format!("GET /status HTTP/1.1\r\n{many}\r\n"), "431"),
        (format!("{body}{long}"), "413"),
        ("\u{16}\u{3}\u{1}\r\n\r\n".to_owned(), "400"),
        ("PUT /status HTTP/1.1\r\nConnection: close\r\n\r\n".to_owned(), "405"),
        ("GET /events?since=-1 HTTP/1.1\r\nConnection: close\r\n\r\n".to_owned(), "400"),
    ] {
        let answer = ask(&mut echo.connect(), request.as_bytes());
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{status}: {answer:.200}");
    }
    let head = ask(&mut echo.connect(), b"HEAD /status HTTP/1.1\r\nConnection: close\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"), "{head}");
}

#[test]
fn pipelined_requests_are_all_answered() {
    let echo = Echo::start(|_| ());
    let requests =
        "GET /status HTTP/1.1\r\n\r\n".repeat(49) + "GET /status HTTP/1.1\r\nConnection: close\r\n\r\n";
    assert_eq!(ask(&mut echo.connect(), requests.as_bytes()).matches("HTTP/1.1 200").count(), 50);
}

#[test]
fn a_crowd_that_says_nothing_keeps_nobody_out() {
    let echo = Echo::start(|_| ());
    let mut crowd: Vec<_> = (0..600).map(|_| echo.connect()).collect();
    // Some say half of a head, some promise a body.
    for (index, stream) in crowd.iter_mut().enumerate() {
        let _ = match index % 3 {
            0 => stream.write_all(b"GET /sta"),
            1 => stream.write_all(b"GET /status HTTP/1.1\r\nContent-Length: 5\r\n\r\n"),
            _ => Ok(()),
        };
    }
    assert_eq!(echo.status()["daemon"], "echo");
    let mut silent = crowd.pop().unwrap();
    let mut answer = Vec::new();
    assert!(
        silent.read_to_end(&mut answer).is_ok() || silent.take_error().unwrap().is_none(),
        "let go in the end"
    );
}

#[test]
fn a_body_that_never_comes_is_given_up() {
    let echo = Echo::start(|_| ());
    let answer = ask(&mut echo.connect(), b"GET /status HTTP/1.1\r\nContent-Length: 5\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[test]
fn followers_are_limited_and_leave_room_for_questions() {
    let echo = Echo::start(|_| ());
    let follow = b"GET /events?follow=1 HTTP/1.1\r\nHost: x\r\n\r\n";
    let first_line = |stream: &mut UnixStream| {
        let mut head = [0; 12];
        stream.read_exact(&mut head).unwrap();
        String::from_utf8_lossy(&head).into_owned()
    };
    let mut followers: Vec<_> = (0..256).map(|_| echo.connect()).collect();
    for follower in &mut followers {
        follower.write_all(follow).unwrap();
        assert_eq!(first_line(follower), "HTTP/1.1 200");
    }
    let mut refused = echo.connect();
    refused.write_all(follow).unwrap();
    assert_eq!(first_line(&mut refused), "HTTP/1.1 503");
    assert_eq!(echo.status()["daemon"], "echo");
    drop(followers.pop());
    crate::eventually("the place of one that left is free again", || {
        let mut next = echo.connect();
        next.write_all(follow).unwrap();
        first_line(&mut next) == "HTTP/1.1 200"
    });
}

#[test]
fn readers_that_stop_reading_cost_little_memory() {
    let echo = Echo::start(|_| ());
    let resident =
        |echo: &Echo| -> u64 { echo.process("VmRSS").trim_end_matches(" kB").trim().parse().unwrap() };
    for _ in 0..6000 {
        echo.cast(b"fill");
    }
    crate::eventually("the events are there", || echo.status()["service"]["echoed"].as_u64().unwrap() > 1000);
    let before = resident(&echo);
    let mut stopped: Vec<_> = (0..200).map(|_| echo.connect()).collect();
    for stream in &mut stopped {
        stream.write_all(b"GET /events?follow=1 HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    }
    std::thread::sleep(Duration::from_secs(1));
    let grown = resident(&echo).saturating_sub(before);
    assert!(grown < 40 * 1024, "{grown} kB for 200 readers that read nothing");
    assert_eq!(echo.status()["daemon"], "echo");
}

#[test]
fn reading_is_for_the_group_and_posting_for_operators() {
    let echo = Echo::start(|_| ());
    let mode = echo.socket().metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o660);
    assert!(is_root(), "this test tries other users, which takes root");
    let as_other = |method: &str| {
        let output = Command::new("setpriv")
            .args(["--reuid=64321", "--regid=64321", "--clear-groups", "curl", "--silent", "--max-time", "5"])
            .args([
                "--request",
                method,
                "--write-out",
                "%{http_code}",
                "--output",
                "/dev/null",
                "--unix-socket",
            ])
            .arg(echo.socket())
            .arg("http://x/reload")
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(as_other("POST"), "000", "others may not even open it");
    std::fs::set_permissions(echo.socket(), std::fs::Permissions::from_mode(0o666)).unwrap();
    assert_eq!(as_other("POST"), "403");
    assert_eq!(as_other("GET"), "404");
    assert!(echo.request("POST /reload").starts_with("HTTP/1.1 200"));
}
