//! Ignition configurations: which version of the specification they are, and which the client reads.
//!
//! Ignition says in `Accept` which version it reads. A configuration of that version or an older one is
//! sent as it is, byte for byte, because its hash may be pinned. One of a newer version would be refused by
//! the client; if it holds nothing but what version 3.0.0 already knew, it is sent with its version number
//! lowered to the client's. Otherwise it is sent as it is and the operator is warned: leaving out what the
//! client does not know (a LUKS option, a kernel argument) would install something else than was asked for.
//!
//! Placeholders are not filled in: the file is the operator's, and braces are common in it.

use std::fmt;

use serde_json::{Map, Value};

/// The media type of Ignition's configurations.
pub const MEDIA_TYPE: &str = "application/vnd.coreos.ignition+json";

/// Largest configuration that is served. Beyond it: 503 and a warning; large contents belong behind a URL.
pub const CONFIG_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// A released version of the specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SpecVersion {
    /// Major, minor, patch.
    parts: [u32; 3],
}

impl SpecVersion {
    /// Reads `3.3.0`. None: something else, also `3.4.0-experimental`, which compares with nothing.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.').map(|part| {
            let proper =
                !part.is_empty() && part.len() <= 9 && part.bytes().all(|byte| byte.is_ascii_digit());
            proper.then(|| part.parse().ok()).flatten()
        });
        let version = Self { parts: [parts.next()??, parts.next()??, parts.next()??] };
        parts.next().is_none().then_some(version)
    }
}

impl fmt::Display for SpecVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.parts;
        write!(f, "{major}.{minor}.{patch}")
    }
}

/// The newest version that `Accept` names for Ignition, if it names any.
pub fn accepted_version(accept: &str) -> Option<SpecVersion> {
    let types =
        accept.split(',').map(|media_range| media_range.split(';').map(str::trim).collect::<Vec<_>>());
    let ignition =
        types.filter(|parts| parts.first().is_some_and(|name| name.eq_ignore_ascii_case(MEDIA_TYPE)));
    let versions = ignition.filter_map(|parts| {
        let version = parts.iter().find_map(|part| part.strip_prefix("version="))?;
        SpecVersion::parse(version.trim_matches('"'))
    });
    versions.max()
}

/// Why a file cannot be served as a configuration.
#[derive(Debug)]
pub enum ConfigError {
    /// It is no JSON.
    Json(serde_json::Error),
    /// It is JSON without an `ignition.version`.
    NoVersion,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(error) => write!(f, "not valid JSON: {error}"),
            Self::NoVersion => f.write_str("no Ignition configuration: ignition.version is missing"),
        }
    }
}

impl std::error::Error for ConfigError {}

/// A configuration, ready to be sent to one client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// The bytes, where they differ from the file's.
    pub rewritten: Option<Vec<u8>>,
    /// The version for `Content-Type`.
    pub version: String,
    /// The version in the file is newer than the client's and could not be lowered.
    pub too_new: bool,
}

/// Judges a file and fits it to a client that accepts `accepted`.
///
/// # Errors
/// The file is no configuration.
pub fn prepare(file: &[u8], accepted: Option<SpecVersion>) -> Result<Prepared, ConfigError> {
    let mut config: Value = serde_json::from_slice(file).map_err(ConfigError::Json)?;
    let version =
        config.pointer("/ignition/version").and_then(Value::as_str).ok_or(ConfigError::NoVersion)?.to_owned();
    let as_it_is = |version, too_new| Prepared { rewritten: None, version, too_new };
    let (Some(in_file), Some(accepted)) = (SpecVersion::parse(&version), accepted) else {
        return Ok(as_it_is(version, false));
    };
    if in_file <= accepted {
        return Ok(as_it_is(version, false));
    }
    let same_major = in_file.parts[0] == 3 && accepted.parts[0] == 3;
    if !same_major || !is_within(&config, &ROOT) {
        return Ok(as_it_is(version, true));
    }
    let lowered = accepted.to_string();
    config["ignition"]["version"] = lowered.clone().into();
    let rewritten = serde_json::to_vec(&config).map_err(ConfigError::Json)?;
    Ok(Prepared { rewritten: Some(rewritten), version: lowered, too_new: false })
}

/// What version 3.0.0 of the specification allows at one place.
enum Schema {
    /// Text, number or truth value of any content.
    Plain,
    /// A URL whose scheme every 3.x client knows.
    Source,
    /// A hash of a kind that every 3.x client knows.
    Hash,
    /// Permission bits without the special ones, whose meaning changed in 3.4.0.
    Mode,
    /// A list of plain values.
    Values,
    /// An object with these keys.
    Object(&'static [(&'static str, Schema)]),
    /// A list of objects with these keys.
    List(&'static [(&'static str, Schema)]),
}

use Schema::{Hash, List, Mode, Object, Plain, Source, Values};

const VERIFICATION: Schema = Object(&[("hash", Hash)]);
const REFERENCE: &[(&str, Schema)] = &[("source", Source), ("verification", VERIFICATION)];
const CONTENTS: &[(&str, Schema)] =
    &[("source", Source), ("compression", Plain), ("verification", VERIFICATION)];
const OWNER: Schema = Object(&[("id", Plain), ("name", Plain)]);

const ROOT: Schema = Object(&[
    (
        "ignition",
        Object(&[
            ("version", Plain),
            ("config", Object(&[("merge", List(REFERENCE)), ("replace", Object(REFERENCE))])),
            ("timeouts", Object(&[("httpResponseHeaders", Plain), ("httpTotal", Plain)])),
            ("security", Object(&[("tls", Object(&[("certificateAuthorities", List(REFERENCE))]))])),
        ]),
    ),
    (
        "storage",
        Object(&[
            (
                "disks",
                List(&[
                    ("device", Plain),
                    ("wipeTable", Plain),
                    (
                        "partitions",
                        List(&[
                            ("label", Plain),
                            ("number", Plain),
                            ("sizeMiB", Plain),
                            ("startMiB", Plain),
                            ("typeGuid", Plain),
                            ("guid", Plain),
                            ("wipePartitionEntry", Plain),
                            ("shouldExist", Plain),
                        ]),
                    ),
                ]),
            ),
            (
                "raid",
                List(&[
                    ("name", Plain),
                    ("level", Plain),
                    ("devices", Values),
                    ("spares", Plain),
                    ("options", Values),
                ]),
            ),
            (
                "filesystems",
                List(&[
                    ("device", Plain),
                    ("format", Plain),
                    ("path", Plain),
                    ("wipeFilesystem", Plain),
                    ("label", Plain),
                    ("uuid", Plain),
                    ("options", Values),
                ]),
            ),
            (
                "files",
                List(&[
                    ("path", Plain),
                    ("overwrite", Plain),
                    ("contents", Object(CONTENTS)),
                    ("append", List(CONTENTS)),
                    ("mode", Mode),
                    ("user", OWNER),
                    ("group", OWNER),
                ]),
            ),
            (
                "directories",
                List(&[
                    ("path", Plain),
                    ("overwrite", Plain),
                    ("mode", Mode),
                    ("user", OWNER),
                    ("group", OWNER),
                ]),
            ),
            (
                "links",
                List(&[
                    ("path", Plain),
                    ("overwrite", Plain),
                    ("user", OWNER),
                    ("group", OWNER),
                    ("target", Plain),
                    ("hard", Plain),
                ]),
            ),
        ]),
    ),
    (
        "systemd",
        Object(&[(
            "units",
            List(&[
                ("name", Plain),
                ("enabled", Plain),
                ("mask", Plain),
                ("contents", Plain),
                ("dropins", List(&[("name", Plain), ("contents", Plain)])),
            ]),
        )]),
    ),
    (
        "passwd",
        Object(&[
            (
                "users",
                List(&[
                    ("name", Plain),
                    ("passwordHash", Plain),
                    ("sshAuthorizedKeys", Values),
                    ("uid", Plain),
                    ("gecos", Plain),
                    ("homeDir", Plain),
                    ("noCreateHome", Plain),
                    ("primaryGroup", Plain),
                    ("groups", Values),
                    ("noUserGroup", Plain),
                    ("noLogInit", Plain),
                    ("shell", Plain),
                    ("system", Plain),
                ]),
            ),
            ("groups", List(&[("name", Plain), ("gid", Plain), ("passwordHash", Plain), ("system", Plain)])),
        ]),
    ),
]);

/// Whether `value` holds nothing but what `schema` allows.
fn is_within(value: &Value, schema: &Schema) -> bool {
    let object = |object: &Map<String, Value>, keys: &[(&str, Schema)]| {
        object.iter().all(|(key, value)| {
            keys.iter().any(|(known, schema)| known == key && (value.is_null() || is_within(value, schema)))
        })
    };
    match (schema, value) {
        (Plain, value) => !value.is_object() && !value.is_array(),
        (Source, Value::String(url)) => {
            ["http://", "https://", "data:"].iter().any(|scheme| url.starts_with(scheme))
        }
        (Hash, Value::String(hash)) => hash.starts_with("sha512-"),
        (Mode, Value::Number(mode)) => mode.as_u64().is_some_and(|mode| mode <= 0o777),
        (Values, Value::Array(values)) => values.iter().all(|value| is_within(value, &Plain)),
        (Object(keys), Value::Object(found)) => object(found, keys),
        (List(keys), Value::Array(values)) => {
            values.iter().all(|value| value.as_object().is_some_and(|found| object(found, keys)))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCEPT: &str = "application/vnd.coreos.ignition+json;version=3.3.0, */*;q=0.1";

    fn version(text: &str) -> SpecVersion {
        SpecVersion::parse(text).unwrap()
    }

    #[test]
    fn versions_compare_as_numbers() {
        assert!(version("3.10.0") > version("3.9.0"));
        for text in
            ["", "3", "3.4", "3.4.0.0", "3.4.0-experimental", "3.x.0", "3..0", "+3.4.0", "3.4.99999999999"]
        {
            assert_eq!(SpecVersion::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_client_says_what_it_reads() {
        assert_eq!(accepted_version(ACCEPT), Some(version("3.3.0")));
        let two = "application/vnd.coreos.ignition+json;version=2.4.0, application/vnd.coreos.ignition+json; version=\"3.6.0\"; q=0.5";
        assert_eq!(accepted_version(two), Some(version("3.6.0")));
        assert_eq!(accepted_version("*/*"), None);
        assert_eq!(accepted_version("application/json;version=3.3.0"), None);
    }

    #[test]
    fn a_version_that_the_client_reads_passes_untouched() {
        for file in [
            r#"{"ignition": {"version": "3.3.0"}}"#,
            r#"{"ignition":{"version":"3.0.0"},"kernelArguments":{"shouldExist":["a"]}}"#,
            r#"{"ignition":{"version":"3.4.0-experimental"}}"#,
        ] {
            let prepared = prepare(file.as_bytes(), accepted_version(ACCEPT)).unwrap();
            assert_eq!((prepared.rewritten, prepared.too_new), (None, false), "{file}");
        }
        let newer = br#"{"ignition":{"version":"3.6.0"}}"#;
        assert_eq!(prepare(newer, None).unwrap().rewritten, None, "a client that says nothing gets the file");
    }

    #[test]
    fn a_newer_version_is_lowered_where_nothing_new_is_used() {
        let file = br#"{"ignition":{"version":"3.4.0","config":{"merge":[{"source":"http://a/b","verification":{"hash":"sha512-00"}}]}},
            "storage":{"files":[{"path":"/etc/hostname","mode":420,"contents":{"source":"data:,cp1","compression":null}}]},
            "systemd":{"units":[{"name":"a.service","enabled":true,"dropins":[{"name":"b.conf","contents":"x"}]}]},
            "passwd":{"users":[{"name":"core","sshAuthorizedKeys":["ssh-ed25519 AAAA"],"groups":["wheel"]}]}}"#;
        let prepared = prepare(file, accepted_version(ACCEPT)).unwrap();
        assert_eq!((prepared.version.as_str(), prepared.too_new), ("3.3.0", false));
        let mut expected: Value = serde_json::from_slice(file).unwrap();
        expected["ignition"]["version"] = "3.3.0".into();
        let sent: Value = serde_json::from_slice(&prepared.rewritten.unwrap()).unwrap();
        assert_eq!(sent, expected);
    }

    #[test]
    fn what_the_client_may_not_know_is_never_left_out() {
        for rest in [
            r#""kernelArguments":{"shouldExist":["a"]}"#,
            r#""storage":{"luks":[{"name":"root"}]}"#,
            r#""storage":{"files":[{"path":"/a","mode":1005}]}"#,
            r#""storage":{"files":[{"path":"/a","contents":{"source":"s3://b/c"}}]}"#,
            r#""storage":{"files":[{"path":"/a","contents":{"source":"data:,","httpHeaders":[]}}]}"#,
            r#""storage":{"files":[{"path":"/a","contents":{"verification":{"hash":"sha256-00"}}}]}"#,
            r#""passwd":{"users":[{"name":"a","shouldExist":false}]}"#,
            r#""future":{}"#,
        ] {
            let file = format!(r#"{{"ignition":{{"version":"3.4.0"}},{rest}}}"#);
            let prepared = prepare(file.as_bytes(), accepted_version(ACCEPT)).unwrap();
            assert_eq!((prepared.rewritten, prepared.too_new), (None, true), "{rest}");
        }
        let file = br#"{"ignition":{"version":"3.4.0"}}"#;
        assert!(
            prepare(file, Some(version("2.4.0"))).unwrap().too_new,
            "another major version is another language"
        );
    }

    #[test]
    fn what_is_no_configuration_is_refused() {
        for file in
            ["", "{", "[]", "{}", r#"{"ignition":{}}"#, r#"{"ignition":{"version":3}}"#, "variant: fcos"]
        {
            assert!(prepare(file.as_bytes(), None).is_err(), "{file}");
        }
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(prepare(deep.as_bytes(), None).is_err());
    }
}
