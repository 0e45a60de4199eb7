//! `farosctl events -f` outlives the daemons it follows.

use std::io::{self, BufReader};
use std::sync::Arc;
use std::time::Duration;

use farosctl::Terminal;

use crate::fake::{Buffer, Daemon, Site, event};

/// Waits for what another thread will write; only a hang makes it long.
#[track_caller]
fn eventually(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..1000 {
        if is_so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("never: {what}");
}

#[test]
fn following_resumes_by_number_when_a_daemon_is_back() {
    let site = Arc::new(Site::new());
    let dhcpd = Daemon::start(&site, "dhcpd");
    dhcpd.answer("GET /events", 200, &event(10, 1, "dhcpd", "first", ""));
    let (out, err) = (Buffer::default(), Buffer::default());
    let (following, streams) = (Arc::clone(&site), (out.clone(), err.clone()));
    // It follows until the process ends.
    faros_common::tasks::spawn_thread("follow", move || {
        let input = Box::new(BufReader::new(io::empty()));
        following.run_on(
            "events -f -o json --daemon dhcpd",
            Terminal::new(Box::new(streams.0), Box::new(streams.1), input),
        )
    })
    .unwrap();
    // The streams of a fake end at once, which looks like a restart each time.
    eventually("a second stream", || dhcpd.asked("GET /events?follow=1&since=10"));
    dhcpd.stop();
    eventually("a complaint", || err.text().contains("dhcpd does not answer"));
    dhcpd.answer("GET /events", 200, &event(11, 2, "dhcpd", "second", ""));
    dhcpd.listen();
    eventually("the stream after the restart", || dhcpd.asked("GET /events?follow=1&since=11"));
    eventually("the note", || err.text().contains("dhcpd is back"));
    // Another process, whose numbers are below: the clock has stepped back.
    dhcpd.answer("GET /events", 200, &event(3, 3, "dhcpd", "third", ""));
    dhcpd.answer("GET /status", 200, r#"{"pid":2,"started":"2026-01-31T12:00:00Z"}"#);
    eventually("a stream from the start", || dhcpd.asked("GET /events?follow=1&since=0"));
    eventually("its event", || out.text().contains("third"));
    let expected = [
        event(10, 1, "dhcpd", "first", ""),
        event(11, 2, "dhcpd", "second", ""),
        event(3, 3, "dhcpd", "third", ""),
    ];
    assert_eq!(out.text(), expected.concat());
}
