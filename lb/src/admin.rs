//! The daemon's own verbs:
//!
//! | Verb | Answer |
//! |---|---|
//! | `GET /frontends[/NAME]` | front ends with their servers, and why each stands as it does |
//! | `POST /frontends/NAME/servers/SERVER/drain[?within=30s]` | no new connections; those left after `within` are reset |
//! | `POST /frontends/NAME/servers/SERVER/enable` | what its checks say counts again |
//! | `POST /frontends/NAME/servers/SERVER/maintenance` | neither connections nor checks |
//! | `POST /frontends/NAME/servers?persist=1` | adds `{"name", "address", "weight", "backup"}` |
//! | `DELETE /frontends/NAME/servers/SERVER?persist=1&cut=1` (or `POST …/SERVER/remove`) | removes a server; `cut` resets its connections |
//! | `POST /frontends/NAME/bootstrap/{retire,recall}` | the bootstrap machine's part |
//! | `GET /vip` | whether the VIP is offered, and why |
//! | `GET /explain?address=` (or `?node=`) | what a client would get at each front end |
//!
//! What operators decide of a server that is there (drained, maintenance) is remembered over reloads and restarts until it
//! is enabled. Servers added or removed stay so over reloads and changes of the process; over a restart with `persist=1`
//! only.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use faros_common::admin::{AdminRequest, AdminResponse};
use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde_json::json;

use crate::director::{Director, Refusal};
use crate::protocol::health::Mode;
use crate::store::Added;

/// The longest name of a server.
const NAME_BYTES_MAX: usize = 63;
/// The largest share.
const WEIGHT_MAX: u16 = 256;
/// The longest time for draining.
const WITHIN_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// Answers a verb; `None`: there is none of that name.
pub async fn answer(director: &Director, request: &AdminRequest) -> Option<AdminResponse> {
    let answer = match (&request.method, request.segments().as_slice()) {
        (&Method::GET, ["frontends"]) => Ok(AdminResponse::json(&director.frontends())),
        (&Method::GET, ["frontends", name]) => match director.frontend(name) {
            Some(front) => Ok(AdminResponse::json(&front)),
            None => Err(unknown(&format!("there is no front end {name}; GET /frontends lists them"))),
        },
        (&Method::GET, ["vip"]) => Ok(AdminResponse::json(&director.vip())),
        (&Method::GET, ["explain"]) => explain(director, request),
        (&Method::POST, ["frontends", front, "servers"]) => add(director, front, request).await,
        (&Method::DELETE, ["frontends", front, "servers", server])
        | (&Method::POST, ["frontends", front, "servers", server, "remove"]) => {
            remove(director, front, server, request).await
        }
        (&Method::POST, ["frontends", front, "servers", server, verb]) => {
            let mode = match *verb {
                "drain" => Mode::Drained,
                "enable" => Mode::Enabled,
                "maintenance" => Mode::Maintenance,
                _ => return None,
            };
            decide(director, front, server, mode, request).await
        }
        (&Method::POST, ["frontends", front, "bootstrap", verb]) => {
            let retired = match *verb {
                "retire" => true,
                "recall" => false,
                _ => return None,
            };
            bootstrap(director, front, retired).await
        }
        _ => return None,
    };
    Some(answer.unwrap_or_else(|refusal| refusal))
}

/// A server as it is added.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewServer {
    name: String,
    address: SocketAddr,
    #[serde(default = "full_share")]
    weight: u16,
    #[serde(default)]
    backup: bool,
}

fn full_share() -> u16 {
    1
}

async fn add(
    director: &Director,
    front: &str,
    request: &AdminRequest,
) -> Result<AdminResponse, AdminResponse> {
    let persist = flag(request, "persist")?;
    let new: NewServer = serde_json::from_slice(&request.body).map_err(|error| {
        bad(format!("the body is {{\"name\": …, \"address\": \"192.0.2.1:6443\", \"weight\": 1, \"backup\": false}}: {error}"))
    })?;
    let letters = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if new.name.is_empty() || new.name.len() > NAME_BYTES_MAX || !new.name.bytes().all(letters) {
        return Err(bad(format!(
            "a name has 1 to {NAME_BYTES_MAX} lower-case letters, digits and hyphens, and {:?} is none",
            new.name
        )));
    }
    let ip = new.address.ip();
    if ip.is_unspecified() || ip.is_multicast() || new.address.port() == 0 {
        return Err(bad(format!("{} is no server's address", new.address)));
    }
    if new.weight > WEIGHT_MAX {
        return Err(bad(format!("a weight is 0 to {WEIGHT_MAX}")));
    }
    let NewServer { name, address, weight, backup } = new;
    director.add_server(front, &Added { name, address, weight, backup, persist }).map_err(refused)?;
    done(director, front, persist).await
}

async fn remove(
    director: &Director,
    front: &str,
    server: &str,
    request: &AdminRequest,
) -> Result<AdminResponse, AdminResponse> {
    let (persist, cut) = (flag(request, "persist")?, flag(request, "cut")?);
    director.remove_server(front, server, persist, cut).map_err(refused)?;
    // A removed one that had been added for good must not come back.
    done(director, front, true).await
}

async fn decide(
    director: &Director,
    front: &str,
    server: &str,
    mode: Mode,
    request: &AdminRequest,
) -> Result<AdminResponse, AdminResponse> {
    let within = match request.query("within") {
        None => None,
        Some(text) => match humantime::parse_duration(text) {
            Ok(time) if time <= WITHIN_MAX => Some(time),
            _ => return Err(bad(format!("within is a time of up to a week, as in 30s, and not {text:?}"))),
        },
    };
    director.set_mode(front, server, mode, within).map_err(refused)?;
    done(director, front, true).await
}

async fn bootstrap(director: &Director, front: &str, retired: bool) -> Result<AdminResponse, AdminResponse> {
    director.set_bootstrap(front, retired).map_err(refused)?;
    done(director, front, true).await
}

/// Answers with how the front end stands now; where it was asked to last, once it is on disk.
async fn done(director: &Director, front: &str, lasting: bool) -> Result<AdminResponse, AdminResponse> {
    if lasting && let Err(reason) = director.save_now().await {
        let text =
            format!("it is so now, but it will not survive a restart, for the disk refused it: {reason}");
        return Err(AdminResponse::error(StatusCode::INSUFFICIENT_STORAGE, &text));
    }
    Ok(AdminResponse::json(&json!({ "done": true, "frontend": director.frontend(front) })))
}

fn explain(director: &Director, request: &AdminRequest) -> Result<AdminResponse, AdminResponse> {
    let address = match (request.query("address"), request.query("node")) {
        (Some(text), _) => Some(text.parse::<IpAddr>().map_err(|_| bad(format!("{text:?} is no address")))?),
        (None, Some(node)) => director.address_of(node),
        (None, None) => None,
    };
    let Some(address) = address else {
        return Ok(AdminResponse::json(&json!({
            "would": "cannot be said without an address",
            "rule": "clients are told apart by their addresses",
            "because": ["ask with ?address=, or with ?node= for a machine of the site file that has one"],
        })));
    };
    Ok(AdminResponse::json(&director.explain(address)))
}

fn flag(request: &AdminRequest, key: &str) -> Result<bool, AdminResponse> {
    match request.query(key) {
        None | Some("0" | "false") => Ok(false),
        Some("" | "1" | "true") => Ok(true),
        Some(other) => Err(bad(format!("{key} is 1 or 0, and not {other:?}"))),
    }
}

fn refused(refusal: Refusal) -> AdminResponse {
    match refusal {
        Refusal::Unknown(text) => unknown(&text),
        Refusal::Conflict(text) => AdminResponse::error(StatusCode::CONFLICT, &text),
    }
}

fn unknown(text: &str) -> AdminResponse {
    AdminResponse::error(StatusCode::NOT_FOUND, text)
}

#[expect(clippy::needless_pass_by_value, reason = "every caller has just made the text")]
fn bad(text: String) -> AdminResponse {
    AdminResponse::error(StatusCode::BAD_REQUEST, &text)
}
