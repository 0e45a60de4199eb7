//! Certificates made for the occasion, judged and shown to a client.

use std::io::Cursor;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::{
    ClientConfig, ClientConnection, ProtocolVersion, RootCertStore, ServerConfig, ServerConnection,
};

use super::{Facts, Files, Identity, Reloaded, TlsError};
use crate::clock;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A directory with an authority, in which certificates are made.
struct Workshop {
    directory: tempfile::TempDir,
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl Workshop {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { directory: tempfile::tempdir().unwrap(), authority }
    }

    fn files(&self) -> Files {
        Files { certificate: self.path("server.crt"), key: self.path("server.key") }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    /// A pair that holds for `from` to `until` days from now, as texts.
    fn made(&self, from: i64, until: i64) -> (String, String) {
        let names = ["bastion.edge.example.com", "192.168.8.1", "fd08::1"].map(str::to_owned);
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, "bastion");
        params.not_before = after(from).into();
        params.not_after = after(until).into();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.authority).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    fn put(&self, certificate: &str, key: &str) {
        let files = self.files();
        std::fs::write(&files.certificate, certificate).unwrap();
        std::fs::write(&files.key, key).unwrap();
        mode(&files.key, 0o640);
    }

    fn put_good(&self) {
        let (certificate, key) = self.made(-1, 90);
        self.put(&certificate, &key);
    }

    fn refusal(&self) -> TlsError {
        self.files().judge(clock::wall()).unwrap_err()
    }

    fn client(&self, versions: &[&'static rustls::SupportedProtocolVersion], alpn: &[u8]) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(self.authority.der().to_vec())).unwrap();
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![alpn.to_vec()];
        config.resumption = Resumption::in_memory_sessions(4);
        config
    }
}

fn after(days: i64) -> SystemTime {
    let distance = DAY * u32::try_from(days.unsigned_abs()).unwrap();
    if days < 0 { clock::wall() - distance } else { clock::wall() + distance }
}

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// A handshake in memory, with some data at its end so that tickets arrive.
fn handshake(
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
    name: &str,
) -> Result<(ClientConnection, ServerConnection), rustls::Error> {
    let mut client = ClientConnection::new(client, name.to_owned().try_into().unwrap()).unwrap();
    let mut server = ServerConnection::new(server).unwrap();
    for _ in 0..6 {
        let mut flight = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut flight).unwrap();
        }
        let mut flight = Cursor::new(flight);
        while server.read_tls(&mut flight).unwrap() > 0 {
            server.process_new_packets()?;
        }
        let mut flight = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut flight).unwrap();
        }
        let mut flight = Cursor::new(flight);
        while client.read_tls(&mut flight).unwrap() > 0 {
            client.process_new_packets()?;
        }
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok((client, server))
}

fn shown(client: &ClientConnection) -> Vec<u8> {
    client.peer_certificates().unwrap()[0].to_vec()
}

#[test]
fn a_client_that_knows_the_authority_is_content_with_either_version() {
    let workshop = Workshop::new();
    workshop.put_good();
    let identity = Identity::new(workshop.files());
    assert!(identity.is_ready());
    let server = Arc::new(identity.server_config(&[b"dot"]));
    for (version, expected) in [
        (&rustls::version::TLS13, ProtocolVersion::TLSv1_3),
        (&rustls::version::TLS12, ProtocolVersion::TLSv1_2),
    ] {
        for name in ["bastion.edge.example.com", "192.168.8.1", "fd08::1"] {
            let client = Arc::new(workshop.client(&[version], b"dot"));
            let (client, _) = handshake(client, Arc::clone(&server), name).unwrap();
            assert_eq!(client.protocol_version(), Some(expected));
            assert_eq!(client.alpn_protocol(), Some(&b"dot"[..]));
        }
    }
    let stranger = Arc::new(workshop.client(&[&rustls::version::TLS13], b"dot"));
    assert!(handshake(stranger, Arc::clone(&server), "api.edge.example.com").is_err(), "a name it lacks");
    let other = Arc::new(workshop.client(&[&rustls::version::TLS13], b"imap"));
    let error = handshake(other, server, "192.168.8.1").unwrap_err();
    assert_eq!(error, rustls::Error::NoApplicationProtocol);
    let strict = Arc::new(identity.server_config_tls13(&[b"doq"]));
    let old = Arc::new(workshop.client(&[&rustls::version::TLS12], b"doq"));
    assert!(handshake(old, strict, "192.168.8.1").is_err());
}

#[test]
fn sessions_are_resumed_by_tickets() {
    let workshop = Workshop::new();
    workshop.put_good();
    let server = Arc::new(Identity::new(workshop.files()).server_config(&[b"dot"]));
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let client = Arc::new(workshop.client(&[version], b"dot"));
        let kinds: Vec<_> = (0..2)
            .map(|_| {
                handshake(Arc::clone(&client), Arc::clone(&server), "192.168.8.1").unwrap().0.handshake_kind()
            })
            .collect();
        assert_eq!(kinds, [Some(rustls::HandshakeKind::Full), Some(rustls::HandshakeKind::Resumed)]);
    }
}

#[test]
fn a_renewed_certificate_serves_without_a_restart() {
    let workshop = Workshop::new();
    workshop.put_good();
    let identity = Identity::new(workshop.files());
    let server = Arc::new(identity.server_config(&[b"dot"]));
    let ask = || {
        let client = Arc::new(workshop.client(&[&rustls::version::TLS13], b"dot"));
        shown(&handshake(client, Arc::clone(&server), "192.168.8.1").unwrap().0)
    };
    let first = ask();
    assert_eq!(identity.reload().unwrap(), Reloaded::Same);
    identity.look(clock::wall());
    assert_eq!(ask(), first);
    workshop.put_good();
    identity.look(clock::wall());
    let second = ask();
    assert_ne!(second, first);
    // Half of a renewal: the new certificate is there, its key is not.
    let (certificate, key) = workshop.made(-1, 90);
    std::fs::write(workshop.path("server.crt"), &certificate).unwrap();
    identity.look(clock::wall());
    assert_eq!(ask(), second);
    assert!(identity.state().refused.unwrap().contains("does not belong to"));
    std::fs::write(workshop.path("server.key"), &key).unwrap();
    identity.look(clock::wall());
    assert_ne!(ask(), second);
    assert_eq!(identity.state().refused, None);
    // And what is taken away altogether goes on serving.
    std::fs::remove_file(workshop.path("server.crt")).unwrap();
    identity.look(clock::wall());
    assert!(identity.is_ready() && identity.state().refused.unwrap().contains("does not exist"));
    ask();
}

#[tokio::test]
async fn a_certificate_that_comes_later_is_found() {
    let workshop = Workshop::new();
    let identity = Identity::new(workshop.files());
    assert!(!identity.is_ready() && identity.state().refused.unwrap().contains("farosctl ca issue"));
    let server = Arc::new(identity.server_config(&[b"dot"]));
    let client = Arc::new(workshop.client(&[&rustls::version::TLS13], b"dot"));
    assert!(handshake(Arc::clone(&client), Arc::clone(&server), "192.168.8.1").is_err());
    workshop.put_good();
    let waiting = tokio::time::timeout(Duration::from_millis(20), identity.ready());
    assert!(waiting.await.is_err(), "nobody has looked yet");
    let following = crate::tasks::spawn("test", Arc::clone(&identity).follow());
    tokio::time::timeout(Duration::from_secs(60), identity.ready()).await.unwrap();
    assert!(handshake(client, server, "192.168.8.1").is_ok());
    following.abort();
}

#[test]
fn other_files_take_over_only_if_they_are_good() {
    let workshop = Workshop::new();
    workshop.put_good();
    let identity = Identity::new(workshop.files());
    let before = identity.state().certificate;
    identity.set_files(Files { certificate: workshop.path("x.crt"), key: workshop.path("x.key") });
    assert!(identity.reload().is_err());
    assert_eq!(identity.state().certificate, before);
    let (certificate, key) = workshop.made(-1, 90);
    std::fs::write(workshop.path("x.crt"), certificate).unwrap();
    std::fs::write(workshop.path("x.key"), key).unwrap();
    mode(&workshop.path("x.key"), 0o600);
    assert_eq!(identity.reload().unwrap(), Reloaded::Exchanged);
    assert_ne!(identity.state().certificate, before);
}

#[test]
fn every_flaw_is_named_with_what_to_do() {
    let workshop = Workshop::new();
    let (certificate, key) = workshop.made(-1, 90);
    let files = workshop.files();
    let said = |name: &str, advice: &str| {
        let error = workshop.refusal();
        assert_eq!(error.name(), name, "{error}");
        assert!(error.to_string().contains(advice), "{error}");
        assert!(!error.to_string().contains("PRIVATE KEY-----\n"), "{error}");
    };
    said("missing", "farosctl ca issue");
    std::fs::write(&files.certificate, &certificate).unwrap();
    said("missing", "server.key");
    workshop.put("not a certificate\n", &key);
    said("no_certificate", "BEGIN CERTIFICATE");
    workshop.put("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", &key);
    said("malformed", "make it anew");
    workshop.put(&certificate, "");
    said("no_key", "BEGIN PRIVATE KEY");
    workshop.put(&certificate, &certificate);
    said("no_key", "BEGIN PRIVATE KEY");
    workshop.put(&certificate, &key.replace("PRIVATE", "ENCRYPTED PRIVATE"));
    said("encrypted_key", "without a passphrase");
    workshop.put(&certificate, &workshop.made(-1, 90).1);
    said("mismatch", "does not belong");
    // The authority's before the server's.
    workshop.put(&(workshop.authority.pem() + &certificate), &key);
    said("mismatch", "stands first");
    workshop.put(&certificate, &key);
    mode(&files.key, 0o644);
    said("key_open", "chmod o=");
    mode(&files.key, 0o602);
    said("key_open", "0602");
    let (certificate, key) = workshop.made(-30, -1);
    workshop.put(&certificate, &key);
    said("expired", "farosctl ca renew");
    let (certificate, key) = workshop.made(1, 30);
    workshop.put(&certificate, &key);
    said("not_yet_valid", "clock");
    std::fs::write(&files.certificate, vec![b'x'; super::files::FILE_MAX + 1]).unwrap();
    said("too_large", "right file");
    std::fs::remove_file(&files.certificate).unwrap();
    std::fs::create_dir(&files.certificate).unwrap();
    said("unreadable", "chgrp faros");
}

#[test]
fn a_clock_that_is_set_right_makes_a_certificate_hold() {
    let workshop = Workshop::new();
    let (certificate, key) = workshop.made(10, 30);
    workshop.put(&certificate, &key);
    let identity = Identity::new(workshop.files());
    identity.look(clock::wall());
    assert!(!identity.is_ready());
    identity.look(after(11));
    assert!(identity.is_ready());
    // An end that comes while it serves changes nothing by itself: clients judge.
    identity.look(after(31));
    assert!(identity.is_ready());
}

#[test]
fn facts_are_what_openssl_says() {
    let workshop = Workshop::new();
    workshop.put_good();
    let path = workshop.files().certificate;
    let facts = Facts::of_file(&path).unwrap();
    let openssl = |arguments: &[&str]| {
        let run =
            std::process::Command::new("openssl").arg("x509").args(arguments).arg("-in").arg(&path).output();
        String::from_utf8(run.expect("openssl is installed").stdout).unwrap()
    };
    let fingerprint = openssl(&["-noout", "-fingerprint", "-sha256"]).to_lowercase().replace(':', "");
    assert!(fingerprint.trim().ends_with(&facts.fingerprint), "{fingerprint} {}", facts.fingerprint);
    let serial = openssl(&["-noout", "-serial"]).to_lowercase();
    assert!(serial.contains(facts.serial.trim_start_matches('0')), "{serial} {}", facts.serial);
    assert_eq!(facts.names, ["bastion.edge.example.com", "192.168.8.1", "fd08::1"]);
    assert!(!facts.authority && facts.subject.contains("CN=bastion"), "{facts:?}");
    assert!(facts.is_ending(after(61)) && !facts.is_ending(after(59)));
    let json = serde_json::to_value(&facts).unwrap();
    assert!(json["not_after"].as_str().unwrap().ends_with('Z'), "{json}");
}
