//! Requests to tangd: whatever comes, one of upstream's statuses; and an answer only where everything is as it must be.

use std::sync::OnceLock;

use faros_tangd::crypto::Point;
use faros_tangd::keys::{KeySet, Loaded, PrivateJwk, SourcedKey};
use faros_tangd::protocol::{Outcome, Reason, Recovery, Reply, Route, jwk, respond};
use serde_json::Value;

use crate::Target;

/// Feeds [`respond`] with a request: a line `METHOD TARGET`, and the body.
pub const TARGET: Target = Target { name: "tang_request", run, seeds, memory: (256 * 1024, 512) };

/// The server's keys: two exchange keys and a signing key in use, and a rotated exchange key. Made for this target.
const KEYS: [(&str, &str); 4] = [
    (
        "exc256.jwk",
        r#"{"alg":"ECMR","crv":"P-256","d":"plD_OzM3irSYMIvFtiPCt98JYtVGrVOZCqvQwOWobag","key_ops":["deriveKey"],"kty":"EC","x":"3RZNChPktUjeo-KIktLExS--HpIJjrGuWT87bY-3vAg","y":"lPA4Pk9iaz3gpZtpEXq9PRJbsLFNbqfKdxFbSQPMWeA"}"#,
    ),
    (
        "sig256.jwk",
        r#"{"alg":"ES256","crv":"P-256","d":"PHY7yBdxpvSWE7jV_5PkVUhkhxRTGowx6FZQaarqZpA","key_ops":["sign","verify"],"kty":"EC","x":"FT1dp7Meua7OocN_GmQcyXyRd_PgVK6crOd23OhtTog","y":"Xk_wyHKOmEadQyA0sarhEuFAy5t_YLbYdRw86czRkrs"}"#,
    ),
    (
        "exc521.jwk",
        r#"{"alg":"ECMR","crv":"P-521","d":"AcZGZA4npJYgXMFTTMSoFmGUrHAhFnJi5UGQse1xAss83ZrPcDiGxBi_NlXmxXIaCcWvHwRWxjJbleIEJ2GwcxRf","key_ops":["deriveKey"],"kty":"EC","x":"AKALvCs06ydl0nZoqi-4o4Q6jXgUbsD-T-2jnEUUdB6htLuf24BnRmAOGRb14L07JT0U45kZ5Gy25GQQ63Zt3hxw","y":"AUdNb087vrS322NtwqdUTvO7vV7Vch2divuchBZPAp2Ely9rLh_eCr8yUy5w7wr2ULRI00AQh2FigYJDZyO7Vopb"}"#,
    ),
    (
        ".exc384.jwk",
        r#"{"alg":"ECMR","crv":"P-384","d":"oWNzWnXb51gloi6GaZJIijaMgYZXf2vx_UYESX-GvXDvXWKwpdVumopanhZkRTQe","key_ops":["deriveKey"],"kty":"EC","x":"nfusZcF0f3JKutNkFHpNAjwnW2BVg-3pCF8DDFz70j9TBkLBtMQO-SwEZO4Jbmdq","y":"HccObPURTg3D9PPrAywF8gLzzIYD0ErYqqKJtSOTjNCRKJzzIrw4QltDrhxLgryv"}"#,
    ),
];

fn server() -> &'static KeySet {
    static SERVER: OnceLock<KeySet> = OnceLock::new();
    SERVER.get_or_init(|| {
        let key = |(file, text): (&str, &str)| SourcedKey {
            file: file.to_owned(),
            jwk: PrivateJwk::parse(text.as_bytes()).expect("a key"),
        };
        KeySet::new(Loaded::Open { keys: KEYS.map(key).into(), skipped: Vec::new() })
    })
}

fn run(data: &[u8]) {
    let line = data.iter().position(|&byte| byte == b'\n').unwrap_or(data.len());
    let body = data.get(line + 1..).unwrap_or_default();
    let Ok(line) = std::str::from_utf8(&data[..line]) else { return };
    let (method, target) = line.split_once(' ').unwrap_or((line, ""));
    let keys = server();
    let reply = respond(method, target, body, keys);
    assert_eq!(reply, respond(method, target, body, keys), "the same request, the same answer");
    match &reply.outcome {
        Outcome::Refused(reason) => {
            assert_eq!(reply, Reply::refused(*reason));
            assert!(
                !matches!(reason, Reason::System | Reason::Sealed | Reason::NothingToAdvertise),
                "{reason:?}"
            );
        }
        Outcome::Advertised => {
            assert!(method == "GET" && target.trim_start_matches('/').starts_with("adv"), "{line:?}");
            assert!(reply.body.len() > 600);
        }
        Outcome::Recovered { thumbprint, .. } => recovered(method, target, body, thumbprint, &reply),
    }
}

/// An exchange has taken place: by another reading of the body it was a public key on our key's curve, allowed to exchange, and the
/// answer is another point of this curve.
fn recovered(method: &str, target: &str, body: &[u8], thumbprint: &str, reply: &Reply) {
    let Ok(Route::Recover(asked)) = Route::of(method, target) else { panic!("{method} {target} recovers") };
    let key = server().find(asked).expect("it was found");
    assert_eq!(key.thumbprint(), thumbprint);
    assert!(key.purpose.exchanges());
    assert!(Recovery::prepare(asked, body, server()).is_ok());
    let answer = point(&serde_json::from_slice(&reply.body).expect("the answer is JSON"));
    assert_eq!(answer.curve(), key.curve);
    let private = key.private().expect("not sealed");
    // What serde_json does not take as a whole (deep nesting, huge numbers) may still be passed over.
    let Ok(request) = serde_json::from_slice::<Value>(body) else { return };
    let sent = point(&request);
    assert_eq!(private.exchange(&sent).expect("a point of the curve"), answer);
    assert!(request.get("alg").is_none_or(|algorithm| algorithm == "ECMR"));
    let operations = request.get("key_ops").map(|names| names.as_array().expect("a list"));
    assert!(
        operations.map_or(request.get("use").is_none(), |names| names.iter().any(|name| name == "deriveKey"))
    );
}

fn point(jwk: &Value) -> Point {
    let text = |name: &str| jwk.get(name).and_then(Value::as_str);
    jwk::point(text("kty"), text("crv"), text("x"), text("y")).expect("a point")
}

fn seeds() -> Vec<Vec<u8>> {
    [
        "GET /adv",
        "GET //adv//",
        "HEAD /adv",
        "POST /rec/",
        "GET /adv?x=1",
        "GET /adv/mHdSkaYrJnb3B07Aj4a7YpHV7sCZSFq-XlDta8qzTsc",
        "GET /adv/XzTKjEtXqRt_QAC1rREv8K_rA3I0EPSuI4LFUEUeT-k",
        concat!(
            "POST /rec/XzTKjEtXqRt_QAC1rREv8K_rA3I0EPSuI4LFUEUeT-k\n",
            r#"{"alg":"ECMR","crv":"P-256","key_ops":["deriveKey"],"kty":"EC","x":"sPgYyHekoQ0LuzkViJZe1HZAlOa4u-Di33pIbqsSv5o","y":"WCG4mhWf_8PyP-ON-YCVQDkBuWmr93ARXxklM5qTdNI"}"#,
        ),
        concat!(
            "POST /rec/KVWlCFGksWVdA8oMFkFZZqJbVoi6yJCubhbBGrljdoU\n",
            r#"{"alg":"ECMR","crv":"P-521","key_ops":["deriveKey"],"kty":"EC","x":"AbMt0KXKXQTe-h_nNvEQ7FP1fxNOk3zRlOl4lBz_ADkuUXWo2MrVD3X-9a6rx2IY4VGQi_lYWL1BMBJk3SQ5FjCD","y":"AaOdUC8bxN8c0xvv68xoaNNDnDOalUSovEg8hR1_sKNvsQGmht-62rG4oT_TbeyLWb0EWsIcXiyDJW37MLlj72Gl"}"#,
        ),
        concat!(
            "POST /rec/5PsdZvN-mgsSByKoW4w4ltzHmhY4XZKVNWFai02sKTI\n",
            r#"{"alg":"ECMR","crv":"P-384","key_ops":["deriveKey"],"kty":"EC","x":"PrWfwyOEa9kOjg3UmcGprXQvOhp9AUu2o79t1os7zXfXMPXJ4etW6A-qUYxUrEtr","y":"n0b4hRUOpL6So1sMz9iJUMn3PtmXXienFBDxYilCKSd023B-L9lQMFzzFAa_kQsU"}"#,
        ),
        concat!(
            "POST /rec/XzTKjEtXqRt_QAC1rREv8K_rA3I0EPSuI4LFUEUeT-k\n",
            r#"{"crv": "P-256", "kty": "EC", "x": "sPgYyHekoQ0LuzkViJZe1HZAlOa4u-Di33pIbqsSv5o", "y": "WCG4mhWf_8PyP-ON-YCVQDkBuWmr93ARXxklM5qTdNI"}"#,
        ),
        concat!(
            "POST /rec/XzTKjEtXqRt_QAC1rREv8K_rA3I0EPSuI4LFUEUeT-k\n",
            r#"{"crv": "P-256", "kty": "EC", "x": "sPgYyHekoQ0LuzkViJZe1HZAlOa4u-Di33pIbqsSv5o", "y": "WCG4mhWf_8PyP-ON-YCVQDkBuWmr93ARXxklM5qTdNI", "use": "sig"}"#,
        ),
        concat!(
            "POST /rec/KVWlCFGksWVdA8oMFkFZZqJbVoi6yJCubhbBGrljdoU\n",
            r#"{"alg":"ECMR","crv":"P-256","key_ops":["deriveKey"],"kty":"EC","x":"sPgYyHekoQ0LuzkViJZe1HZAlOa4u-Di33pIbqsSv5o","y":"WCG4mhWf_8PyP-ON-YCVQDkBuWmr93ARXxklM5qTdNI"}"#,
        ),
        concat!(
            "POST /rec/mHdSkaYrJnb3B07Aj4a7YpHV7sCZSFq-XlDta8qzTsc\n",
            r#"{"alg":"ECMR","crv":"P-256","key_ops":["deriveKey"],"kty":"EC","x":"sPgYyHekoQ0LuzkViJZe1HZAlOa4u-Di33pIbqsSv5o","y":"WCG4mhWf_8PyP-ON-YCVQDkBuWmr93ARXxklM5qTdNI"}"#,
        ),
        concat!(
            "POST /rec/unknown\n",
            r#"{"alg":"ECMR","crv":"P-256","key_ops":["deriveKey"],"kty":"EC","x":"sPgYyHekoQ0LuzkViJZe1HZAlOa4u-Di33pIbqsSv5o","y":"WCG4mhWf_8PyP-ON-YCVQDkBuWmr93ARXxklM5qTdNI"}"#,
        ),
        concat!(
            "POST /rec/XzTKjEtXqRt_QAC1rREv8K_rA3I0EPSuI4LFUEUeT-k\n",
            r#"{"alg": "ECMR", "crv": "P-256", "d": "A4diJtAjqjTQUeZ9uAnncVhqxrE9GKcisR0-FtkejFY", "key_ops": ["deriveKey"], "kty": "EC", "x": "yHziZewCT_GEjA-DfCOu6QJ2hZfWMdU9Z9xk0Ur3Iz0", "y": "fhpdRgJRK6MrNLNDq2HkSAc1E3FSM2oUPEtZbJIamoQ"}"#,
        ),
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}
