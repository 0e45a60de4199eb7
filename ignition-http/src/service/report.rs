//! `/report/NODE`: the new system says that it is installed.

use std::sync::Arc;

use faros_common::clock;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::{Method, Request, StatusCode};
use tracing::{debug, error, info};

use super::{Known, Peer, Reply, Service, plain, retry_later};
use crate::protocol::identity::{SeedDenied, may_have_seed};
use crate::protocol::journey::{Journey, Reported, Stage};

impl Service {
    pub(super) async fn report(self: Arc<Self>, name: &str, request: Request<Incoming>, peer: Peer) -> Reply {
        let config = self.config.load_full();
        let Some(known) = Known::by_name(&config, name) else {
            return plain(StatusCode::NOT_FOUND, "there is no such node\n");
        };
        let card = self.card(peer.address).await;
        let lease = self.lease(&config, &known, peer, card).await;
        if let Err(denied) = may_have_seed(known.machine, peer.address, card, &lease) {
            self.counters.refuse(denied.reason());
            debug!(event = "report_refused", node = name, address = %peer.address, "a report is not the node's own");
            let event = known.event("report_refused", peer, card).with("reason", denied.reason());
            self.emit_seldom(peer, &["report_refused", name], event.with("detail", denied.text()));
            let text = format!("{}\n", denied.text());
            return match denied {
                SeedDenied::Undecided => retry_later(&text),
                _ => plain(StatusCode::FORBIDDEN, &text),
            };
        }
        let (head, body) = request.into_parts();
        if head.method == Method::HEAD {
            return plain(StatusCode::OK, "a report is made with GET or POST\n");
        }
        // Its length was limited before it came here.
        let Ok(message) = body.collect().await.map(http_body_util::Collected::to_bytes) else {
            return plain(StatusCode::BAD_REQUEST, "the report was cut short\n");
        };
        let applied = self.store.apply(known.machine, clock::wall(), Journey::on_report);
        let applied = match applied {
            Ok(applied) if applied.answer == Reported::Ignored => Ok(applied),
            Ok(applied) => self.store.durable(applied.lsn).await.map(|()| applied),
            Err(error) => Err(error),
        };
        match applied {
            Err(error) => {
                error!(event = "node_state_unwritten", node = %known.machine.name, %error, "a report was not recorded");
                retry_later("the report could not be written to disk: try again\n")
            }
            Ok(applied) if applied.answer == Reported::Ignored => {
                plain(StatusCode::OK, "the node is armed and has not booted since: nothing changed\n")
            }
            Ok(applied) => {
                if applied.after == Stage::Installed && applied.before != Stage::Installed {
                    info!(event = "node_installed", node = %known.machine.name, "a node reports that it is installed");
                    let event = known.event("node_installed", peer, card).with("reported", true);
                    let message =
                        std::str::from_utf8(&message).ok().map(str::trim).filter(|text| !text.is_empty());
                    let message = message.map(|text| text.replace(char::is_control, " "));
                    self.events.emit(event.with_some("message", message));
                }
                plain(StatusCode::OK, "thank you: the node starts from its disk from now on\n")
            }
        }
    }
}
