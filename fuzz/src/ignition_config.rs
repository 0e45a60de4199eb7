//! Ignition configurations: what is rewritten differs in its version alone.

use faros_ignition_http::protocol::ignition::{SpecVersion, accepted_version, prepare};
use serde_json::Value;

use crate::Target;

/// Feeds [`prepare`] and [`accepted_version`].
pub const TARGET: Target = Target { name: "ignition_config", run, seeds, memory: (256 * 1024, 512) };

/// An input is the value of `Accept`, a line feed, and the file.
fn run(data: &[u8]) {
    let end = data.iter().position(|&byte| byte == b'\n').unwrap_or(data.len());
    let accepted = std::str::from_utf8(&data[..end]).ok().and_then(accepted_version);
    if let Some(version) = accepted {
        assert_eq!(SpecVersion::parse(&version.to_string()), Some(version));
    }
    let file = data.get(end + 1..).unwrap_or_default();
    let prepared = match prepare(file, accepted) {
        Ok(prepared) => prepared,
        Err(refused) => return assert!(!refused.to_string().is_empty()),
    };
    let mut before: Value = serde_json::from_slice(file).expect("it was read");
    let Some(rewritten) = prepared.rewritten else {
        return assert_eq!(before["ignition"]["version"].as_str(), Some(prepared.version.as_str()));
    };
    let accepted = accepted.expect("nothing is rewritten for nobody");
    assert!(!prepared.too_new && prepared.version == accepted.to_string());
    let from = before["ignition"]["version"].as_str().and_then(SpecVersion::parse);
    assert!(from > Some(accepted), "a version was raised");
    let after: Value = serde_json::from_slice(&rewritten).expect("JSON stays JSON");
    before["ignition"]["version"] = prepared.version.into();
    assert_eq!(after, before, "something else was changed");
}

fn seeds() -> Vec<Vec<u8>> {
    [
        "application/vnd.coreos.ignition+json;version=3.2.0, */*;q=0.1\n{\"ignition\":{\"version\":\"3.4.0\"}}",
        "application/vnd.coreos.ignition+json; version=\"3.0.0\"\n{\"ignition\":{\"version\":\"3.3.0\"},\"storage\":\
         {\"files\":[{\"path\":\"/etc/a\",\"mode\":420,\"contents\":{\"source\":\"data:,x\"}}]},\"passwd\":\
         {\"users\":[{\"name\":\"core\",\"sshAuthorizedKeys\":[\"k\"]}]}}",
        "*/*\n{\"ignition\":{\"version\":\"3.5.0-experimental\"}}",
        "application/vnd.coreos.ignition+json;version=3.1.0\n{\"ignition\":{\"version\":\"3.4.0\"},\"kernelArguments\":{}}",
        "\n[[[[[[[[",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}
