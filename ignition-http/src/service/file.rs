//! Files below the boot root, and loaders.

use std::sync::Arc;
use std::time::Instant;

use faros_common::clock;
use faros_common::events::Event;
use hyper::body::Incoming;
use hyper::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName, HeaderValue,
    IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, LAST_MODIFIED, RANGE,
};
use hyper::{Method, Request, Response, StatusCode};
use tracing::{debug, warn};

use super::{Peer, Reply, Service, blocking, plain, retry_later, root_and_seeds, with};
use crate::body::{OnEnd, ReplyBody};
use crate::files::{OpenError, Opened, content_type, open_loader, open_public};
use crate::metrics::Reason;
use crate::protocol::conditional::{Preconditions, Validators, Verdict};
use crate::protocol::identity::Machine;
use crate::protocol::range::{Selection, select};

/// How a file becomes readable for the daemons.
pub(super) const READABLE: &str = "chgrp faros it, and chmod g+r";

/// What a file is to the one who fetches it.
struct Purpose {
    path: String,
    /// The node that fetches it, by its address.
    node: Option<Machine>,
    /// Its place among the files of that node's profile.
    index: Option<u32>,
    /// Whether a site cannot do without it: then it may still be on its way here.
    expected: bool,
    /// Whether it is worth an event.
    notable: bool,
}

impl Service {
    pub(super) async fn file(self: Arc<Self>, path: &str, request: &Request<Incoming>, peer: Peer) -> Reply {
        let config = self.config.load_full();
        let node = self.node_at(&config, peer);
        let index = node.as_ref().and_then(|known| {
            known.plan.profile.as_ref()?.files.iter().position(|file| file == path).map(|index| index as u32)
        });
        let expected = config.boot_files.contains_key(path);
        let purpose = Purpose {
            path: path.to_owned(),
            notable: node.is_some() || expected,
            node: node.map(|known| known.machine.clone()),
            index,
            expected,
        };
        let (root, seeds) = root_and_seeds(&config);
        let wanted = purpose.path.clone();
        let opened = blocking(move || open_public(&root, &wanted, &seeds)).await;
        self.send_file(opened, purpose, request, peer)
    }

    pub(super) async fn loader(
        self: Arc<Self>,
        name: &str,
        request: &Request<Incoming>,
        peer: Peer,
    ) -> Reply {
        let config = self.config.load_full();
        let node = self.node_at(&config, peer).map(|known| known.machine.clone());
        let path = format!("loaders/{name}");
        let purpose = Purpose { path, node, index: None, expected: false, notable: true };
        let (root, seeds) = root_and_seeds(&config);
        let wanted = name.to_owned();
        let opened = blocking(move || open_loader(&root, &wanted, &seeds)).await;
        self.send_file(opened, purpose, request, peer)
    }

    fn send_file(
        self: Arc<Self>,
        opened: Result<Opened, OpenError>,
        purpose: Purpose,
        request: &Request<Incoming>,
        peer: Peer,
    ) -> Reply {
        let opened = match opened {
            Ok(opened) => opened,
            Err(error) => return self.refuse_file(&error, &purpose, peer),
        };
        let validators = Validators::of(opened.version, clock::wall());
        let length = opened.version.length;
        let header = |name: HeaderName| request.headers().get(name).and_then(|value| value.to_str().ok());
        let preconditions = Preconditions {
            if_match: header(IF_MATCH),
            if_none_match: header(IF_NONE_MATCH),
            if_modified_since: header(IF_MODIFIED_SINCE),
            if_unmodified_since: header(IF_UNMODIFIED_SINCE),
            if_range: header(IF_RANGE),
        };
        let range = match preconditions.evaluate(&validators) {
            Verdict::Failed => {
                return validated(plain(StatusCode::PRECONDITION_FAILED, "it has changed\n"), &validators);
            }
            Verdict::NotModified => {
                let mut reply = Response::new(ReplyBody::empty());
                *reply.status_mut() = StatusCode::NOT_MODIFIED;
                return validated(reply, &validators);
            }
            Verdict::Send { range } => range && request.method() == Method::GET,
        };
        let mut ranges = request.headers().get_all(RANGE).iter();
        let selection = match (range, ranges.next().and_then(|value| value.to_str().ok()), ranges.next()) {
            (true, Some(wanted), None) => select(wanted, length),
            _ => Selection::Whole,
        };
        let (status, first, bytes, content_range) = match selection {
            Selection::Whole => (StatusCode::OK, 0, length, None),
            Selection::Part { first, last } => (
                StatusCode::PARTIAL_CONTENT,
                first,
                last - first + 1,
                Some(format!("bytes {first}-{last}/{length}")),
            ),
            Selection::Unsatisfiable => {
                self.counters.refuse("range");
                let reply = plain(StatusCode::RANGE_NOT_SATISFIABLE, "the file has no such bytes\n");
                let reply = with_text(reply, CONTENT_RANGE, &format!("bytes */{length}"));
                return validated(reply, &validators);
            }
        };
        let content_type = HeaderValue::from_static(content_type(&purpose.path));
        let body = match *request.method() == Method::HEAD {
            true => ReplyBody::empty(),
            false => {
                let reaches_end = first + bytes == length;
                let on_end = self.on_sent(purpose, peer, bytes, reaches_end, clock::now());
                ReplyBody::file(opened.file, first, bytes, &self.buffers).on_end(on_end)
            }
        };
        let mut reply = Response::new(body);
        *reply.status_mut() = status;
        let reply = with(reply, CONTENT_TYPE, content_type);
        let reply = with(reply, ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        let reply = with(reply, CONTENT_LENGTH, HeaderValue::from(bytes));
        let reply = match content_range {
            Some(range) => with_text(reply, CONTENT_RANGE, &range),
            None => reply,
        };
        validated(reply, &validators)
    }

    /// What happens when the body has ended.
    fn on_sent(
        self: &Arc<Self>,
        purpose: Purpose,
        peer: Peer,
        bytes: u64,
        reaches_end: bool,
        begun: Instant,
    ) -> OnEnd {
        let service = Arc::clone(self);
        Box::new(move |how| {
            let Purpose { path, node, index, notable, .. } = purpose;
            if let Err(error) = how {
                let reason = if error.kind() == std::io::ErrorKind::ConnectionAborted {
                    "client_gone"
                } else {
                    "read"
                };
                service.counters.transfers_failed.get_or_create(&Reason { reason }).inc();
                if reason == "read" {
                    warn!(event = "file_failed", path, %error, "a file could not be read to its end");
                    let event = about(Event::new("file_failed").address(peer.address), node.as_ref());
                    service.events.emit(event.with("path", path).with("reason", error.to_string()));
                } else {
                    debug!(event = "file_broken_off", path, address = %peer.address, "a client went away");
                }
                return;
            }
            service.counters.sent_bytes.inc_by(bytes);
            let mut id = "file_served";
            if let (Some(machine), Some(index), true, false) = (&node, index, reaches_end, peer.local) {
                let applied =
                    service.store.apply(machine, clock::wall(), |journey, now| journey.on_file(index, now));
                if index == 0 && applied.is_ok_and(|applied| applied.after.installs()) {
                    id = "kernel_served";
                }
            }
            if notable {
                let millis = clock::now().duration_since(begun).as_millis() as u64;
                let event = about(Event::new(id).address(peer.address), node.as_ref());
                let event = event.with("path", path.as_str()).with("bytes", bytes).with("millis", millis);
                service.emit_seldom(peer, &[id, &path], event);
            }
        })
    }

    fn refuse_file(&self, error: &OpenError, purpose: &Purpose, peer: Peer) -> Reply {
        let path = &purpose.path;
        match error {
            OpenError::Seed => {
                self.counters.refuse("seed");
                debug!(event = "seed_refused", path, address = %peer.address, "an Ignition file was asked for by path");
                let event = about(Event::new("seed_refused").address(peer.address), purpose.node.as_ref());
                self.emit_seldom(peer, &["seed_refused", path], event.with("path", path.as_str()));
                plain(StatusCode::FORBIDDEN, "Ignition files are not served by path\n")
            }
            OpenError::Missing if purpose.expected => {
                self.counters.refuse("file_missing");
                warn!(event = "boot_file_missing", path, address = %peer.address, "a profile's file is not there");
                let event = about(Event::new("file_failed").address(peer.address), purpose.node.as_ref());
                let event = event.with("path", path.as_str()).with("reason", "it is not there (yet)");
                self.emit_seldom(peer, &["file_failed", path], event);
                retry_later("the file is not here yet\n")
            }
            OpenError::Missing => plain(StatusCode::NOT_FOUND, "there is no such file\n"),
            OpenError::Denied => {
                self.counters.refuse("unreadable");
                warn!(
                    event = "file_unreadable",
                    path,
                    help = READABLE,
                    "a file is not readable for this service's user"
                );
                let event = about(Event::new("file_failed").address(peer.address), purpose.node.as_ref());
                let event =
                    event.with("path", path.as_str()).with("reason", "not readable for this service's user");
                self.emit_seldom(peer, &["file_failed", path], event.with("help", READABLE));
                match purpose.expected {
                    true => retry_later("the file is not readable for the server\n"),
                    false => plain(StatusCode::FORBIDDEN, "the file is not readable for the server\n"),
                }
            }
            OpenError::System(error) => {
                self.counters.refuse("system");
                warn!(event = "file_failed", path, %error, "a file could not be opened");
                retry_later("the file cannot be opened at present\n")
            }
        }
    }
}

/// `event`, with the node and its card where it is one.
fn about(event: Event, node: Option<&Machine>) -> Event {
    match node {
        None => event,
        Some(machine) => match machine.macs.first() {
            Some(mac) => event.node(machine.name.as_str()).mac(*mac),
            None => event.node(machine.name.as_str()),
        },
    }
}

fn validated(reply: Reply, validators: &Validators) -> Reply {
    let reply = with_text(reply, ETAG, &validators.etag);
    let reply = with_text(reply, LAST_MODIFIED, &httpdate::fmt_http_date(validators.modified));
    // Caches on the way may keep it, but ask each time: what is served here changes under its name.
    with(reply, CACHE_CONTROL, HeaderValue::from_static("no-cache"))
}

fn with_text(reply: Reply, name: HeaderName, value: &str) -> Reply {
    match HeaderValue::from_str(value) {
        Ok(value) => with(reply, name, value),
        Err(_) => reply,
    }
}
