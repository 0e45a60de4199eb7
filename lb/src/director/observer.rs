//! What the planes saw, on its way to the director: through queues that are never waited for.

use std::sync::Arc;

use faros_common::events::{Event, Events};
use tokio::sync::mpsc;

use crate::metrics::Counters;
use crate::pool::{ConnectFailure, ConnectionEnd, Cut, Observer, Server};

/// Reports that may wait; what is beyond is left out, for the first ones say the same.
const REPORTS_MAX: usize = 1024;
/// Connections' ends that may wait to be told; what is beyond is counted as `log_lost` and left out.
const ENDS_MAX: usize = 4096;

/// How a server took a connection.
#[derive(Debug)]
pub struct Report {
    pub(super) server: Arc<Server>,
    pub(super) failure: Option<ConnectFailure>,
}

/// The planes' ear.
pub struct Observed {
    reports: mpsc::Sender<Report>,
    ends: mpsc::Sender<ConnectionEnd>,
    counters: Arc<Counters>,
}

impl Observed {
    /// An ear, and the other ends of its queues: for [`super::Director::run`] and for [`tell_ends`].
    pub fn new(counters: Arc<Counters>) -> (Self, mpsc::Receiver<Report>, mpsc::Receiver<ConnectionEnd>) {
        let (reports, heard) = mpsc::channel(REPORTS_MAX);
        let (ends, ended) = mpsc::channel(ENDS_MAX);
        (Self { reports, ends, counters }, heard, ended)
    }

    /// Tells the ends of connections as events; ends with the planes.
    pub async fn tell_ends(mut ends: mpsc::Receiver<ConnectionEnd>, events: Events) {
        while let Some(end) = ends.recv().await {
            events.emit(describe(&end));
        }
    }
}

impl Observer for Observed {
    fn connect_failed(&self, server: &Arc<Server>, failure: ConnectFailure) {
        let _ = self.reports.try_send(Report { server: Arc::clone(server), failure: Some(failure) });
    }

    fn connect_succeeded(&self, server: &Arc<Server>) {
        let _ = self.reports.try_send(Report { server: Arc::clone(server), failure: None });
    }

    fn ended(&self, end: &ConnectionEnd) {
        if self.ends.try_send(end.clone()).is_err() {
            self.counters.log_lost.inc();
        }
    }
}

fn describe(end: &ConnectionEnd) -> Event {
    let millis = |time: std::time::Duration| time.as_micros() as f64 / 1000.0;
    Event::new("lb_connection_ended")
        .address(end.client.ip())
        .with("frontend", &*end.front.name)
        .with("client", end.client.to_string())
        .with("local", end.local.to_string())
        .with_some("server", end.server.as_ref().map(|server| server.name.to_string()))
        .with("retries", end.retries)
        .with_some("connect_ms", end.connect.map(millis))
        .with("total_ms", millis(end.total))
        .with("sent", end.sent)
        .with("received", end.received)
        .with("cut", name(end.cut))
}

/// A cut as events and metrics name it.
pub(crate) fn name(cut: Cut) -> &'static str {
    match cut {
        Cut::ClientDone => "client_done",
        Cut::ServerDone => "server_done",
        Cut::ClientReset => "client_reset",
        Cut::ServerReset => "server_reset",
        Cut::ClientVanished => "client_vanished",
        Cut::ServerVanished => "server_vanished",
        Cut::Idle => "idle",
        Cut::FirstByte => "first_byte",
        Cut::NoServer => "no_server",
        Cut::Limit => "limit",
        Cut::ProxyHeader => "proxy_header",
        Cut::Source => "source",
        Cut::MarkedDown => "marked_down",
        Cut::Drained => "drained",
        Cut::Internal => "internal",
    }
}

/// All cuts, in their order.
pub(crate) const CUTS: [Cut; 15] = [
    Cut::ClientDone,
    Cut::ServerDone,
    Cut::ClientReset,
    Cut::ServerReset,
    Cut::ClientVanished,
    Cut::ServerVanished,
    Cut::Idle,
    Cut::FirstByte,
    Cut::NoServer,
    Cut::Limit,
    Cut::ProxyHeader,
    Cut::Source,
    Cut::MarkedDown,
    Cut::Drained,
    Cut::Internal,
];
