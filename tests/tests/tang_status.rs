//! What is answered to which request: measured of Debian's server in the same run, and equal line by line.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::net::SocketAddr;

use faros_tests::tang::points::{self, CURVES, Point};
use faros_tests::tang::{OURS, Reply, Tang, UPSTREAM, count, http};
use serde_json::{Value, json};

/// Random points per curve. By hand: `FAROS_TANG_POINTS=10000`.
const POINTS: usize = 150;
/// Points per curve whose coordinates, or those of the result, begin with zeros.
const ZEROS: usize = 8;

/// A request and how it is called in the table.
struct Line {
    name: String,
    request: Vec<u8>,
}

fn line(name: &str, request: Vec<u8>) -> Line {
    Line { name: name.to_owned(), request }
}

/// Everything that is in upstream's table.
fn table(site: &Tang) -> Vec<Line> {
    let (sign, exchange) = (site.thumbprint("sign"), site.thumbprint("deriveKey"));
    let mut lines = Vec::new();
    for path in [
        "/adv", "/adv/", "//adv//", "/adv/?", "/adv?x=1", "/", "//", "/advx", "/ad", "/adv/x/y", "/rec",
        "/rec/", "/rec/x",
    ] {
        lines.push(line(&format!("GET {path}"), http::get(path)));
    }
    for thumbprint in [&sign, &exchange, "absent", "a.b", "a%20b"] {
        lines.push(line(&format!("GET /adv/{thumbprint}"), http::get(&format!("/adv/{thumbprint}"))));
        lines.push(line(&format!("GET //adv///{thumbprint}"), http::get(&format!("//adv///{thumbprint}"))));
    }
    for (_, key) in site.visible_keys() {
        let path = format!("/adv/{}", points::thumbprint_s1(&key));
        lines.push(line(&format!("GET {path}"), http::get(&path)));
    }
    for method in ["HEAD", "POST", "PUT", "DELETE", "OPTIONS"] {
        for path in ["/adv", "/adv/x", "/"] {
            lines.push(line(&format!("{method} {path}"), http::request(method, path, "", Some(b""))));
        }
    }
    let rec = format!("/rec/{exchange}");
    for method in ["GET", "HEAD", "PUT"] {
        lines.push(line(&format!("{method} /rec/key"), http::request(method, &rec, "", Some(b""))));
    }
    let good = CURVES[0].random_point();
    for path in
        ["/rec", "/rec/", "/rec/absent", "/recx", &format!("/rec/{sign}"), &format!("/rec/{exchange}/"), &rec]
    {
        lines.push(line(&format!("POST {path}"), http::post(path, &good.request())));
    }
    for (name, body) in bodies(&good) {
        lines.push(line(&format!("POST /rec/exchange {name}"), http::post(&rec, &body)));
        // The request is judged before the key is looked for, and that before what it may be used for.
        lines.push(line(&format!("POST /rec/sign {name}"), http::post(&format!("/rec/{sign}"), &body)));
        lines.push(line(&format!("POST /rec/absent {name}"), http::post("/rec/absent", &body)));
    }
    let body = good.request();
    lines.push(line("no content type", http::request("POST", &rec, "", Some(&body))));
    lines.push(line(
        "other content type",
        http::request("POST", &rec, "Content-Type: text/plain\r\n", Some(&body)),
    ));
    lines.push(line("expectation", http::request("POST", &rec, "Expect: 100-continue\r\n", Some(&body))));
    let mut chunked = http::request("POST", &rec, "Transfer-Encoding: chunked\r\n", None);
    for part in body.chunks(40) {
        chunked.extend(format!("{:x}\r\n", part.len()).bytes().chain(part.iter().copied()).chain(*b"\r\n"));
    }
    chunked.extend(b"0\r\n\r\n");
    lines.push(line("chunks", chunked));
    lines.push(line("HTTP/1.0", b"GET /adv HTTP/1.0\r\n\r\n".to_vec()));
    lines.push(line("a long path", http::get(&format!("/adv/{}", "a".repeat(5000)))));
    lines.push(line("a long body", http::post(&rec, &vec![b' '; 70_000])));
    lines
}

/// Bodies of `/rec`, good and bad.
fn bodies(good: &Point) -> Vec<(String, Vec<u8>)> {
    let jwk = good.jwk();
    let with = |name: &str, value: Value| {
        let mut jwk = jwk.clone();
        jwk[name] = value;
        jwk
    };
    let without = |names: &[&str]| {
        let mut jwk = jwk.clone();
        names.iter().for_each(|name| drop(jwk.as_object_mut().unwrap().remove(*name)));
        jwk
    };
    let used = |operations: Option<Value>| {
        let mut jwk = without(&["key_ops"]);
        jwk["use"] = json!("sig");
        if let Some(operations) = operations {
            jwk["key_ops"] = operations;
        }
        jwk
    };
    let mut private = CURVES[0].exchange_key();
    let other = CURVES[2].random_point().jwk();
    let mut far = jwk.clone();
    far["crv"] = json!("P-256");
    let x = jwk["x"].clone();
    let short = json!(jwk["x"].as_str().unwrap()[..40]);
    let valid = [
        ("as it should be", jwk.clone()),
        ("no alg", without(&["alg"])),
        ("no key_ops", without(&["key_ops"])),
        ("neither", without(&["alg", "key_ops"])),
        ("d too", private.take()),
        ("kid too", with("kid", json!("name"))),
        ("kty missing", without(&["kty"])),
        ("kty oct", with("kty", json!("oct"))),
        ("kty RSA", with("kty", json!("RSA"))),
        ("kty OKP", with("kty", json!("OKP"))),
        ("kty a number", with("kty", json!(1))),
        ("alg ES512", with("alg", json!("ES512"))),
        ("alg ECDH", with("alg", json!("ECDH"))),
        ("alg empty", with("alg", json!(""))),
        ("crv missing", without(&["crv"])),
        ("crv unknown", with("crv", json!("P-999"))),
        ("crv of another", far),
        ("point of P-256", other),
        ("x missing", without(&["x"])),
        ("y missing", without(&["y"])),
        ("y empty", with("y", json!(""))),
        ("y = x", with("y", x)),
        ("x short", with("x", short)),
        ("x a number", with("x", json!(7))),
        ("zeros", json!({"kty": "EC", "crv": "P-521", "x": "AA", "y": "AA"})),
        ("key_ops sign", with("key_ops", json!(["sign"]))),
        ("key_ops empty", with("key_ops", json!([]))),
        ("key_ops several", with("key_ops", json!(["sign", "deriveKey"]))),
        ("use sig", used(None)),
        ("use sig, key_ops deriveKey", used(Some(json!(["deriveKey"])))),
        ("an array", json!([])),
        ("an object", json!({})),
        ("a set", json!({"keys": [jwk]})),
        ("a string", json!("text")),
        ("null", Value::Null),
    ];
    let mut bodies: Vec<(String, Vec<u8>)> =
        valid.into_iter().map(|(name, value)| (name.to_owned(), value.to_string().into_bytes())).collect();
    let text = jwk.to_string();
    for (name, body) in [
        ("nothing", String::new()),
        ("a blank", " ".to_owned()),
        ("no JSON", "hello".to_owned()),
        ("cut off", text[..text.len() - 1].to_owned()),
        ("a line break behind", format!("{text}\n")),
        ("blanks around", format!("  {text}\r\n\t ")),
        ("garbage behind", format!("{text}x")),
        ("two of them", format!("{text}{text}")),
        ("deep", "[".repeat(3000)),
    ] {
        bodies.push((name.to_owned(), body.into_bytes()));
    }
    bodies
}

/// What is compared of an answer: an advertisement's signatures differ each time, all else does not.
fn comparable(reply: &Reply) -> (u16, Option<&str>, Vec<u8>) {
    let kind = reply.field("content-type");
    let body = match kind {
        Some("application/jose+json") => {
            let signed: Value = serde_json::from_slice(&reply.body).unwrap();
            let signatures = signed["signatures"].as_array().map_or(1, Vec::len);
            format!("{} {signatures}", sorted(&signed["payload"])).into_bytes()
        }
        _ => reply.body.clone(),
    };
    (reply.status, kind, body)
}

/// The advertised keys in an order of their own: which comes first is up to the directory.
fn sorted(payload: &Value) -> String {
    let payload = data_encoding::BASE64URL_NOPAD.decode(payload.as_str().unwrap().as_bytes()).unwrap();
    let payload: Value = serde_json::from_slice(&payload).unwrap();
    let mut keys: Vec<String> = payload["keys"].as_array().unwrap().iter().map(Value::to_string).collect();
    keys.sort();
    keys.join(" ")
}

#[test]
fn every_line_of_upstreams_table_is_ours_too() {
    let site = Tang::beside_upstream("");
    let lines = table(&site);
    let mut different = Vec::new();
    let mut statuses = std::collections::BTreeMap::<u16, usize>::new();
    site.client
        .inside(|| {
            for Line { name, request } in &lines {
                let theirs = http::exchange(UPSTREAM, request);
                let ours = http::exchange(OURS, request);
                let (Ok(theirs), Ok(ours)) = (&theirs, &ours) else {
                    different.push(format!("{name}: upstream {theirs:?}, ours {ours:?}"));
                    continue;
                };
                *statuses.entry(ours.status).or_default() += 1;
                if comparable(theirs) != comparable(ours) {
                    different.push(format!("{name}: upstream {theirs:?}, ours {ours:?}"));
                }
            }
        })
        .unwrap();
    println!("{} lines: {statuses:?}", lines.len());
    assert!(different.is_empty(), "{} lines differ:\n{}", different.len(), different.join("\n"));
    for status in [200, 400, 403, 404, 405] {
        assert!(statuses.contains_key(&status), "the table holds no {status}: {statuses:?}");
    }
}

#[test]
fn random_points_are_multiplied_to_the_same_bytes() {
    let site = Tang::beside_upstream("");
    let keys: Vec<Value> = CURVES.map(points::Curve::exchange_key).into();
    for (index, key) in keys.iter().enumerate() {
        std::fs::write(site.keys().join(format!("exchange{index}.jwk")), key.to_string()).unwrap();
    }
    let wanted = count("FAROS_TANG_POINTS", POINTS);
    for (curve, key) in CURVES.into_iter().zip(&keys) {
        let mut zeros = [0; 2];
        let mut compared = 0;
        let path = format!("/rec/{}", points::thumbprint(key));
        site.client
            .inside(|| {
                while compared < wanted || zeros.iter().any(|&count| count < ZEROS) {
                    let point = curve.random_point();
                    let product = point.multiplied(key);
                    let rare = [point.has_leading_zero(), product.has_leading_zero()];
                    // Once there are points enough, only those that are rare are still looked for.
                    if compared >= wanted
                        && !rare.iter().zip(&zeros).any(|(rare, &count)| *rare && count < ZEROS)
                    {
                        continue;
                    }
                    for (count, rare) in zeros.iter_mut().zip(rare) {
                        *count += usize::from(rare);
                    }
                    compared += 1;
                    let request = http::post(&path, &point.request());
                    let answer = |server: SocketAddr| http::exchange(server, &request).unwrap();
                    let (ours, theirs) = (answer(OURS), answer(UPSTREAM));
                    assert_eq!(comparable(&ours), comparable(&theirs), "{point:?}");
                    assert_eq!(String::from_utf8(ours.body).unwrap(), product.reply(), "{point:?}");
                }
            })
            .unwrap();
        println!("{}: {compared} points, {zeros:?} with leading zeros (sent, returned)", curve.name);
    }
}
