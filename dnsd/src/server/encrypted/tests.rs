//! Clients of each transport, over loopback.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use faros_common::clock;
use faros_common::daemon::Control;
use faros_common::metrics::Metrics;
use http_body_util::{BodyExt, Full};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE};
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ClientConfig;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::door::{Door, QuicDoor};
use super::*;
use crate::engine::tests::{engine as new_engine, query};
use crate::protocol::code::kind;
use crate::server::admission::STRANGER_MAX;

/// A daemon's encrypted transports on loopback, and an authority that clients trust.
struct Server {
    encrypted: Arc<Encrypted>,
    metrics: Metrics,
    admission: Arc<Admission>,
    serving: JoinHandle<Option<()>>,
    stop: watch::Sender<bool>,
    authority: CertifiedIssuer<'static, KeyPair>,
    directory: tempfile::TempDir,
}

impl Server {
    /// With a certificate.
    async fn start() -> Self {
        let server = Self::start_bare();
        server.put_certificate();
        server.encrypted.identity.reload().unwrap();
        server.open().await;
        server
    }

    async fn open(&self) {
        let open = async {
            while !self.encrypted.is_open() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), open).await.unwrap();
    }

    /// Without one.
    fn start_bare() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let (tls, https) = (Door::on_loopback(), Door::on_loopback());
        let quic = QuicDoor::on_loopback();
        let settings = Settings {
            listen: Listeners {
                tls: vec![tls.address()],
                https: vec![https.address()],
                quic: vec![quic.address()],
            },
            files: Files {
                certificate: directory.path().join("dnsd.crt"),
                key: directory.path().join("dnsd.key"),
            },
        };
        let (engine, metrics) = new_engine();
        let admission = Admission::new(engine.counters().clone());
        let (control, stop) = Control::new();
        let doors = Doors { tls: vec![tls], https: vec![https], quic: vec![quic] };
        let encrypted = Encrypted::new(&settings, doors);
        let serving = Arc::clone(&encrypted).serve(engine, Arc::clone(&admission), control, |_| {});
        let serving = tasks::spawn("test", serving);
        Self { encrypted, metrics, admission, serving, stop, authority, directory }
    }

    fn put_certificate(&self) {
        let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        params.not_before = (clock::wall() - Duration::from_secs(3600)).into();
        params.not_after = (clock::wall() + Duration::from_secs(3600)).into();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.authority).unwrap();
        let Files { certificate: path, key: key_path } = Files {
            certificate: self.directory.path().join("dnsd.crt"),
            key: self.directory.path().join("dnsd.key"),
        };
        std::fs::write(path, certificate.pem()).unwrap();
        std::fs::write(&key_path, key.serialize_pem()).unwrap();
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(key_path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn client(&self, alpn: &[u8]) -> ClientConfig {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from(self.authority.der().to_vec())).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![alpn.to_vec()];
        config
    }

    async fn connect(&self, address: SocketAddr, alpn: &[u8]) -> std::io::Result<TlsStream<TcpStream>> {
        let connector = TlsConnector::from(Arc::new(self.client(alpn)));
        connector.connect(server_name(), TcpStream::connect(address).await?).await
    }

    fn tls(&self) -> SocketAddr {
        self.encrypted.listen.tls[0]
    }

    fn https(&self) -> SocketAddr {
        self.encrypted.listen.https[0]
    }

    /// One request over HTTP/2.
    async fn h2(&self, request: Request<Full<Bytes>>) -> Response<Bytes> {
        let stream = self.connect(self.https(), b"h2").await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tasks::spawn("client", connection);
        whole(sender.send_request(request).await.unwrap()).await
    }

    async fn stopped(self) {
        self.stop.send_replace(true);
        tokio::time::timeout(Duration::from_secs(10), self.serving).await.unwrap().unwrap();
    }

    fn has_counted(&self, sample: &str) -> bool {
        self.metrics.render().contains(sample)
    }
}

fn server_name() -> ServerName<'static> {
    "127.0.0.1".try_into().unwrap()
}

async fn whole(response: Response<hyper::body::Incoming>) -> Response<Bytes> {
    let (head, body) = response.into_parts();
    Response::from_parts(head, body.collect().await.unwrap().to_bytes())
}

fn own(edns: Option<&[u8]>) -> Vec<u8> {
    query("api.edge.example.com.", kind::A, edns)
}

/// The option by which a client asks for padding, empty.
const PADDING: [u8; 4] = [0, 12, 0, 0];

async fn ask(stream: &mut TlsStream<TcpStream>, question: &[u8]) -> std::io::Result<Vec<u8>> {
    stream.write_all(&[&(question.len() as u16).to_be_bytes(), question].concat()).await?;
    stream.flush().await?;
    let length = stream.read_u16().await?;
    let mut reply = vec![0; usize::from(length)];
    stream.read_exact(&mut reply).await?;
    Ok(reply)
}

fn post(uri: &str, kind: Option<&str>, body: Vec<u8>) -> Request<Full<Bytes>> {
    let request = Request::builder().method(Method::POST).uri(format!("https://127.0.0.1{uri}"));
    let request = kind.into_iter().fold(request, |request, kind| request.header(CONTENT_TYPE, kind));
    request.body(Full::new(body.into())).unwrap()
}

#[tokio::test]
async fn dns_over_tls_is_answered_and_padded() {
    let server = Server::start().await;
    let mut stream = server.connect(server.tls(), b"dot").await.unwrap();
    assert_eq!(ask(&mut stream, &own(None)).await.unwrap()[7], 1);
    let padded = ask(&mut stream, &own(Some(&PADDING))).await.unwrap();
    assert_eq!(padded.len() % 468, 0, "{}", padded.len());
    assert!(ask(&mut stream, &own(Some(&[]))).await.unwrap().len() < 100, "nobody asked for padding");
    assert_eq!(server.admission.len(), 1);
    drop(stream);
    server.stopped().await;
}

#[tokio::test]
async fn dns_over_https_is_answered_by_either_method_and_version() {
    const MESSAGE: &str = "application/dns-message";
    let server = Server::start().await;
    let text = BASE64URL_NOPAD.encode(&own(None));
    let get = Request::get(format!("https://127.0.0.1/dns-query?dns={text}")).body(Full::default()).unwrap();
    for request in [get.clone(), post("/dns-query", Some(MESSAGE), own(None))] {
        let response = server.h2(request).await;
        assert_eq!((response.status().as_u16(), response.body()[7]), (200, 1));
        assert_eq!(response.headers()[CONTENT_TYPE], MESSAGE);
        assert!(response.headers()[CACHE_CONTROL].to_str().unwrap().starts_with("max-age="));
    }
    let padded = server.h2(post("/dns-query", Some(MESSAGE), own(Some(&PADDING)))).await;
    assert_eq!(padded.body().len() % 468, 0);
    // HTTP/1.1, two requests on one connection.
    let stream = server.connect(server.https(), b"http/1.1").await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tasks::spawn("client", connection);
    for _ in 0..2 {
        let response = whole(sender.send_request(get.clone()).await.unwrap()).await;
        assert_eq!((response.status().as_u16(), response.body()[7]), (200, 1));
    }
    drop(sender);
    server.stopped().await;
}

#[tokio::test]
async fn what_is_no_question_gets_the_status_that_says_so() {
    let server = Server::start().await;
    let kind = Some("application/dns-message");
    let response = [0x12, 0x34, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0].to_vec();
    for (expected, request) in [
        (404, post("/", kind, own(None))),
        (415, post("/dns-query", Some("application/json"), own(None))),
        (413, post("/dns-query", kind, vec![0; 70_000])),
        (400, post("/dns-query", kind, response)),
        (400, post("/dns-query", kind, b"x".to_vec())),
    ] {
        let response = server.h2(request).await;
        assert_eq!(response.status().as_u16(), expected);
        assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
    }
    // What DNS itself has an answer for is a success of HTTP (RFC 8484 section 4.2.1).
    let refused = server.h2(post("/dns-query", kind, own(None)[..14].to_vec())).await;
    assert_eq!((refused.status().as_u16(), refused.body()[3] & 0x0f), (200, 1));
    assert_eq!(refused.headers()[CACHE_CONTROL], "no-store");
    let long = Request::get(format!("https://127.0.0.1/dns-query?dns={}", "A".repeat(60_000)));
    let response = server.h2(long.body(Full::default()).unwrap()).await;
    assert_eq!(response.status().as_u16(), 431);
    server.stopped().await;
}

#[tokio::test]
async fn dns_over_quic_is_answered() {
    use hickory_proto::op::{DnsRequest, DnsRequestOptions, Message};
    use hickory_server::net::quic::QuicClientStream;
    use hickory_server::net::xfer::{DnsRequestSender, FirstAnswer};

    let server = Server::start().await;
    let builder = QuicClientStream::builder().crypto_config(server.client(quic::ALPN));
    let mut client = builder.build(server.encrypted.listen.quic[0], "127.0.0.1".into()).await.unwrap();
    for _ in 0..150 {
        let message = Message::from_vec(&own(Some(&PADDING))).unwrap();
        let request = DnsRequest::new(message, DnsRequestOptions::default());
        let reply = client.send_message(request).first_answer().await.unwrap();
        assert_eq!(reply.answers.len(), 1);
        assert_eq!(reply.as_buffer().len() % 468, 0);
    }
    client.shutdown();
    drop(client);
    server.stopped().await;
}

#[tokio::test]
async fn doors_are_closed_until_there_is_a_certificate() {
    let server = Server::start_bare();
    tokio::time::sleep(Duration::from_millis(50)).await;
    for address in [server.tls(), server.https()] {
        let error = TcpStream::connect(address).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    }
    let status = server.encrypted.status();
    assert_eq!((&status["open"], &status["identity"]["ready"]), (&json!(false), &json!(false)));
    assert!(status["identity"]["refused"].as_str().unwrap().contains("farosctl ca issue"), "{status}");
    server.put_certificate();
    server.encrypted.identity.reload().unwrap();
    server.open().await;
    let mut stream = server.connect(server.tls(), b"dot").await.unwrap();
    assert_eq!(ask(&mut stream, &own(None)).await.unwrap()[7], 1);
    drop(stream);
    server.stopped().await;
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_to_new_connections_and_disturbs_no_old_one() {
    let server = Server::start().await;
    let mut first = server.connect(server.tls(), b"dot").await.unwrap();
    let shown = |stream: &TlsStream<TcpStream>| stream.get_ref().1.peer_certificates().unwrap()[0].to_vec();
    server.put_certificate();
    let settings = Settings { listen: server.encrypted.listen.clone(), files: server.files() };
    server.encrypted.reload(&settings).unwrap();
    let second = server.connect(server.tls(), b"dot").await.unwrap();
    assert_ne!(shown(&first), shown(&second));
    assert_eq!(ask(&mut first, &own(None)).await.unwrap()[7], 1);
    let mut elsewhere = settings.clone();
    elsewhere.listen.tls.clear();
    assert!(server.encrypted.reload(&elsewhere).unwrap_err().contains("restart"));
    drop((first, second));
    server.stopped().await;
}

impl Server {
    fn files(&self) -> Files {
        Files {
            certificate: self.directory.path().join("dnsd.crt"),
            key: self.directory.path().join("dnsd.key"),
        }
    }
}

#[tokio::test]
async fn one_connection_too_many_is_closed_and_counted() {
    let server = Server::start().await;
    // Loopback is of the site; a stranger's share stands for the limit.
    let places: Vec<_> = (0..STRANGER_MAX)
        .filter_map(|_| server.admission.admit("198.51.100.1".parse().unwrap(), false))
        .collect();
    assert_eq!(places.len(), STRANGER_MAX);
    let site: Vec<_> = (0..crate::server::admission::SITE_CLIENT_MAX)
        .filter_map(|_| server.admission.admit("127.0.0.1".parse().unwrap(), true))
        .collect();
    assert!(server.connect(server.tls(), b"dot").await.is_err());
    assert!(server.connect(server.https(), b"h2").await.is_err());
    drop(site);
    let mut stream = server.connect(server.tls(), b"dot").await.unwrap();
    assert_eq!(ask(&mut stream, &own(None)).await.unwrap()[7], 1);
    drop((stream, places));
    server.stopped().await;
}

#[tokio::test]
async fn nonsense_instead_of_a_handshake_ends_the_connection() {
    let server = Server::start().await;
    let mut stream = TcpStream::connect(server.tls()).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    for _ in 0..200 {
        if server.admission.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(server.has_counted("connections_ended_total{reason=\"handshake_failed\"} 1"));
    server.stopped().await;
}

#[tokio::test]
async fn a_stop_ends_idle_connections_of_every_kind() {
    let server = Server::start().await;
    let mut tls = server.connect(server.tls(), b"dot").await.unwrap();
    ask(&mut tls, &own(None)).await.unwrap();
    let h2 = server.connect(server.https(), b"h2").await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(h2)).await.unwrap();
    let client = tasks::spawn("client", connection);
    let request = post("/dns-query", Some("application/dns-message"), own(None));
    assert_eq!(sender.send_request(request).await.unwrap().status().as_u16(), 200);
    let mute = TcpStream::connect(server.tls()).await.unwrap();
    let admission = Arc::clone(&server.admission);
    server.stopped().await;
    assert_eq!(tls.read(&mut [0; 1]).await.unwrap(), 0, "close_notify");
    client.await.unwrap().unwrap().unwrap();
    for _ in 0..500 {
        if admission.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(admission.is_empty());
    drop(mute);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_over_https_is_ended() {
    let (engine, _) = new_engine();
    let admission = Admission::new(engine.counters().clone());
    let (control, _stop) = Control::new();
    let shared = tls::Shared { engine, admission, control };
    let (client, served) = tokio::io::duplex(64 * 1024);
    let address = "127.0.0.1:4242".parse().unwrap();
    let peer =
        crate::engine::Client { address, local: address.ip(), transport: crate::engine::Transport::Https };
    let serving = tasks::spawn("test", async move { https::serve(served, peer, &shared).await });
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(client)).await.unwrap();
    tasks::spawn("client", connection);
    let since = tokio::time::Instant::now();
    for _ in 0..3 {
        tokio::time::sleep(https::IDLE - Duration::from_secs(1)).await;
        let request = post("/dns-query", Some("application/dns-message"), own(None));
        assert_eq!(sender.send_request(request).await.unwrap().status().as_u16(), 200);
    }
    serving.await.unwrap();
    let lasted = since.elapsed();
    let expected = 3 * (https::IDLE - Duration::from_secs(1)) + https::IDLE;
    assert!(lasted >= expected && lasted < expected + Duration::from_secs(10), "{lasted:?}");
}

impl Door {
    fn on_loopback() -> Self {
        // Bound only: a listener's own constructor listens.
        let socket = door::reserve("127.0.0.1:0".parse().unwrap()).unwrap();
        Self::of(socket)
    }
}

impl QuicDoor {
    fn on_loopback() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        Self::of(socket)
    }
}
