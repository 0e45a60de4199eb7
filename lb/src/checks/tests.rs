use std::future::Future;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::ask as ask_once;
use super::*;

const PATIENCE: Duration = Duration::from_millis(400);

/// A server that does `serve` with each connection.
async fn server<F, Fut>(serve: F) -> SocketAddr
where
    F: Fn(TcpStream) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    faros_common::tasks::spawn("stub", async move {
        while let Ok((stream, _)) = listener.accept().await {
            faros_common::tasks::spawn("stub connection", serve(stream));
        }
    });
    address
}

/// A server that answers every request with `text` and closes.
async fn answering(text: impl Into<String>) -> SocketAddr {
    let text: Arc<str> = text.into().into();
    server(move |mut stream| {
        let text = Arc::clone(&text);
        async move {
            let _ = stream.read(&mut [0; 2048]).await;
            let _ = stream.write_all(text.as_bytes()).await;
        }
    })
    .await
}

fn question() -> Question {
    Question { path: "/readyz".to_owned(), host: String::new(), statuses: vec![(200, 299)], body: None }
}

fn http(target: SocketAddr, question: Question) -> Probe {
    Probe { target, kind: Kind::Http(question), proxy: None, timeout: PATIENCE }
}

async fn verdict(probe: Probe) -> Result<(), Failure> {
    ask(&probe, &Authority::default()).await
}

async fn verdict_on(text: impl Into<String>) -> Result<(), Failure> {
    verdict(http(answering(text).await, question())).await
}

#[tokio::test]
async fn a_server_that_waits_for_a_proxy_header_gets_one_without_addresses() {
    for (form, header) in [
        (ProxyOut::V1, b"PROXY UNKNOWN\r\n".to_vec()),
        (ProxyOut::V2, b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0".to_vec()),
    ] {
        let target = server(move |mut stream| {
            let expected = header.clone();
            async move {
                let mut first = vec![0; expected.len()];
                stream.read_exact(&mut first).await.unwrap();
                let status = if first == expected { "200 OK" } else { "400 Bad Request" };
                let _ = stream.read(&mut [0; 2048]).await;
                let _ = stream
                    .write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes())
                    .await;
            }
        })
        .await;
        assert_eq!(verdict(Probe { proxy: Some(form), ..http(target, question()) }).await, Ok(()));
    }
}

#[tokio::test]
async fn a_good_answer_is_good() {
    assert_eq!(verdict_on("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await, Ok(()));
    assert_eq!(verdict_on("HTTP/1.0 204 No Content\r\n\r\n").await, Ok(()));
    assert_eq!(
        verdict_on("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n").await,
        Ok(())
    );
}

#[tokio::test]
async fn another_status_is_named_and_a_redirect_is_not_followed() {
    assert_eq!(verdict_on("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n").await, Err(Failure::Status(500)));
    let there = answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let redirect = format!("HTTP/1.1 302 Found\r\nLocation: http://{there}/\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(verdict_on(redirect).await, Err(Failure::Status(302)));
}

#[tokio::test]
async fn garbage_silence_and_early_ends_are_named() {
    assert!(matches!(verdict_on("SSH-2.0-OpenSSH_9.2\r\n").await, Err(Failure::NotHttp(_))));
    assert_eq!(verdict_on("").await, Err(Failure::Closed(Stage::Head)));
    assert_eq!(verdict_on("HTTP/1.1 200").await, Err(Failure::Closed(Stage::Head)));
    let silent = server(|stream| async move {
        tokio::time::sleep(Duration::from_secs(60)).await;
        drop(stream);
    })
    .await;
    assert_eq!(verdict(http(silent, question())).await, Err(Failure::TimedOut(Stage::Head)));
}

#[tokio::test]
async fn an_answer_that_dribbles_is_not_waited_for() {
    let dribbling = server(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n").await;
        for _ in 0..100 {
            if stream.write_all(b"X: y\r\n").await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    assert_eq!(verdict(http(dribbling, question())).await, Err(Failure::TimedOut(Stage::Head)));
}

#[tokio::test]
async fn a_head_without_end_is_refused() {
    let header = format!("X: {}\r\n", "y".repeat(1000));
    let large = format!("HTTP/1.1 200 OK\r\n{}\r\n", header.repeat(40));
    assert_eq!(verdict_on(large).await, Err(Failure::HeadTooLarge));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(300));
    assert_eq!(verdict_on(many).await, Err(Failure::HeadTooLarge));
}

#[tokio::test]
async fn the_body_must_hold_what_is_expected_within_its_bound() {
    let wanted = |body: &str| Question { body: Some(body.to_owned()), ..question() };
    let answer = |body: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let ok = answering(answer("all is ok here")).await;
    assert_eq!(verdict(http(ok, wanted("is ok"))).await, Ok(()));
    assert_eq!(verdict(http(ok, wanted("is bad"))).await, Err(Failure::Body));
    let late = answering(answer(&format!("{}ok", "x".repeat(200_000)))).await;
    assert_eq!(verdict(http(late, wanted("ok"))).await, Err(Failure::Body));
    let cut = answering("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort").await;
    assert_eq!(verdict(http(cut, wanted("ok"))).await, Err(Failure::Closed(Stage::Body)));
}

#[tokio::test]
async fn a_connection_is_enough_for_a_tcp_check_and_is_closed_after_it() {
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let target = server(move |mut stream| {
        let told = told.clone();
        async move {
            let _ = told.send(stream.read(&mut [0; 16]).await.map_err(|error| error.kind()));
        }
    })
    .await;
    assert_eq!(verdict(Probe { target, kind: Kind::Tcp, proxy: None, timeout: PATIENCE }).await, Ok(()));
    assert_eq!(heard.recv().await, Some(Ok(0)));
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let refused = verdict(Probe { target: nobody, kind: Kind::Tcp, proxy: None, timeout: PATIENCE }).await;
    assert_eq!(refused, Err(Failure::Refused));
}

#[tokio::test]
async fn the_request_is_of_the_form_that_servers_expect() {
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let target = server(move |mut stream| {
        let told = told.clone();
        async move {
            let mut request = [0; 2048];
            let length = stream.read(&mut request).await.unwrap();
            let _ = told.send(String::from_utf8_lossy(&request[..length]).to_lowercase());
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        }
    })
    .await;
    verdict(http(target, question())).await.unwrap();
    let request = heard.recv().await.unwrap();
    assert!(request.starts_with("get /readyz http/1.1\r\n"), "{request}");
    assert!(request.contains(&format!("\r\nhost: {target}\r\n")), "{request}");
    assert!(request.contains("\r\nconnection: close\r\n"), "{request}");
}

/// An authority, and servers' certificates signed by it.
struct Pki {
    issuer: CertifiedIssuer<'static, KeyPair>,
    file: tempfile::NamedTempFile,
}

impl Pki {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), issuer.pem()).unwrap();
        Self { issuer, file }
    }

    /// A server with a certificate for `name`, valid until the end of `year`.
    async fn server(&self, name: &str, year: i32) -> SocketAddr {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(year, 12, 31);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        server(move |stream| {
            let acceptor = acceptor.clone();
            async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let _ = stream.read(&mut [0; 2048]).await;
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
                let _ = stream.shutdown().await;
            }
        })
        .await
    }

    fn trust(&self, name: Option<&str>) -> Trust {
        Trust { ca: Some(self.file.path().to_owned()), server_name: name.map(str::to_owned) }
    }
}

fn https(target: SocketAddr, trust: Trust) -> Probe {
    // Unoptimised cryptography on a busy machine.
    Probe { target, kind: Kind::Https(question(), trust), proxy: None, timeout: Duration::from_secs(10) }
}

#[tokio::test]
async fn certificates_are_looked_at_only_with_an_authority() {
    let (ours, others) = (Pki::new(), Pki::new());
    let good = ours.server("api.example.com", 2200).await;
    assert_eq!(verdict(https(good, Trust::default())).await, Ok(()));
    assert_eq!(verdict(https(good, ours.trust(None))).await, Ok(()));
    assert_eq!(verdict(https(good, ours.trust(Some("api.example.com")))).await, Ok(()));
    assert_eq!(verdict(https(good, others.trust(None))).await, Err(Failure::CertificateUnknown));
    let wrong = verdict(https(good, ours.trust(Some("other.example.com")))).await;
    assert_eq!(wrong, Err(Failure::CertificateName("other.example.com".to_owned())));
}

#[tokio::test]
async fn an_expired_certificate_is_named_where_certificates_are_looked_at() {
    let ours = Pki::new();
    let expired = ours.server("api.example.com", 2021).await;
    assert_eq!(verdict(https(expired, ours.trust(None))).await, Err(Failure::CertificateExpired));
    assert_eq!(verdict(https(expired, Trust::default())).await, Ok(()));
}

#[tokio::test]
async fn a_missing_authority_is_named_and_one_that_comes_is_used() {
    let ours = Pki::new();
    let target = ours.server("api.example.com", 2200).await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ca.pem");
    let trust = Trust { ca: Some(path.clone()), server_name: None };
    let authority = Authority::default();
    let ask = || async { ask_once(&https(target, trust.clone()), &authority).await };
    assert!(matches!(ask().await, Err(Failure::Authority(_))));
    std::fs::write(&path, "no certificate").unwrap();
    assert!(matches!(ask().await, Err(Failure::Authority(_))));
    std::fs::copy(ours.file.path(), &path).unwrap();
    assert_eq!(ask().await, Ok(()));
    std::fs::write(&path, Pki::new().issuer.pem() + "\n").unwrap();
    assert_eq!(ask().await, Err(Failure::CertificateUnknown));
}

#[tokio::test]
async fn a_server_without_tls_fails_an_https_check() {
    let plain = answering("HTTP/1.1 400 Bad Request\r\n\r\n").await;
    assert!(matches!(verdict(https(plain, Trust::default())).await, Err(Failure::Tls(_))));
}
