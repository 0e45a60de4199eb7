//! Request targets: a path names one file below the root or nothing, and a query is a list of plain values.

use faros_ignition_http::protocol::route::{Route, is_seed_name};
use faros_ignition_http::protocol::target::{Path, Query, VALUE_BYTES_MAX, encode_path};

use crate::Target;

/// Feeds [`Path`], [`Query`] and [`Route`].
pub const TARGET: Target = Target { name: "http_target", run, seeds, memory: (16 * 1024, 256) };

const KEYS: [&str; 6] = ["mac", "uuid", "serial", "arch", "platform", "file"];

fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (raw, query) = text.split_once('?').map_or((text, None), |(path, query)| (path, Some(query)));
    let query = Query::parse(query);
    for key in KEYS {
        assert!(query.value(key).is_none_or(|value| !value.is_empty() && value.len() <= VALUE_BYTES_MAX));
    }
    let Ok(path) = Path::parse(raw) else { return };
    for segment in path.segments() {
        assert!(!segment.is_empty() && segment != "." && segment != "..", "{segment:?}");
        assert!(!segment.contains(|c: char| c.is_control() || matches!(c, '/' | '\\')), "{segment:?}");
    }
    let relative = path.relative();
    assert!(std::path::Path::new(&relative).is_relative());
    let again = Path::parse(&format!("/{}", encode_path(&relative))).expect("what is encoded decodes");
    assert_eq!(again, path);
    let route = Route::of(&path);
    assert_eq!(route, Route::of(&again));
    if let Route::Ignition(name) | Route::Report(name) | Route::Loader(name) = &route {
        assert!(path.segments().any(|segment| segment == name));
    }
    // Whatever a folder or a copy adds to the name of an Ignition file, it stays one.
    if relative.to_ascii_lowercase().ends_with(".ign") {
        assert!(path.segments().last().is_some_and(is_seed_name), "{relative:?}");
    }
}

fn seeds() -> Vec<Vec<u8>> {
    [
        "/boot/ipxe?mac=52-54-00-00-08-11&uuid=4e420000-0000-4000-8000-000000000011&serial=&arch=x86_64",
        "//rhcos//kernel",
        "/ignition/cp1",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/a%2fb/..;/%5c%00",
        "/rhcos/master.IGN~?x=%zz&&=&+%26",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}
