use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{RootCertStore, ServerConfig};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;

/// An upstream over TLS, for `dns.example`.
struct TlsLiar {
    address: SocketAddr,
    trust: Trust,
    connections: Arc<AtomicU32>,
    seen: Arc<Mutex<Vec<Asked>>>,
}

impl TlsLiar {
    async fn start(behaviour: impl Fn(&Asked) -> Vec<Act> + Send + Sync + 'static) -> Self {
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let own = CertificateParams::new(vec!["dns.example".to_owned()])
            .unwrap()
            .signed_by(&key, &authority)
            .unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(authority.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![own.der().clone()],
                PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
            )
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (connections, seen) = (Arc::new(AtomicU32::new(0)), Arc::new(Mutex::new(Vec::new())));
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let behaviour: Arc<liar::Behaviour> = Arc::new(behaviour);
        let (counted, log) = (connections.clone(), seen.clone());
        tasks::spawn("tls_liar", async move {
            loop {
                let (stream, source) = listener.accept().await.unwrap();
                counted.fetch_add(1, Ordering::Relaxed);
                let (acceptor, log, behaviour) = (acceptor.clone(), log.clone(), behaviour.clone());
                tasks::spawn("tls_liar", async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    liar::serve(stream, source, log, Arc::default(), behaviour).await;
                });
            }
        });
        Self { address, trust: Trust::of_roots(roots), connections, seen }
    }

    fn site(&self, tls_name: &str) -> Site {
        let server = Server { address: self.address, tls_name: Some(tls_name.to_owned()) };
        Site::trusting(ForwardConfig { public: vec![server], ..ForwardConfig::default() }, self.trust.clone())
    }
}

#[tokio::test]
async fn one_connection_serves_many_questions_out_of_order() {
    let liar = TlsLiar::start(|asked| vec![Act::Reply(asked.truth())]).await;
    let site = liar.site("dns.example");
    assert_truth("first.example.", &site.resolve("first.example.").await);
    let askers: Vec<_> = (0..50)
        .map(|number| {
            let forwarder = site.forwarder.clone();
            tasks::spawn("ask", async move { forwarder.resolve(&ask(&format!("n{number}.example."))).await })
        })
        .collect();
    for (number, asker) in askers.into_iter().enumerate() {
        assert_truth(&format!("n{number}.example."), &asker.await.unwrap().unwrap());
    }
    assert_eq!(liar.connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn an_upstream_that_cannot_prove_its_name_is_not_asked() {
    let liar = TlsLiar::start(|asked| vec![Act::Reply(asked.truth())]).await;
    let site = liar.site("other.example");
    let resolved = site.resolve("www.example.").await;
    assert_eq!(resolved.body.rcode, rcode::SERVFAIL);
    assert_eq!(resolved.ede.map(|(code, _)| code), Some(ede::NETWORK_ERROR));
    assert_eq!(site.status(0, "cause"), "tls");
    assert!(liar.seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_connection_that_was_closed_is_made_anew() {
    let liar = TlsLiar::start(|asked| vec![Act::Reply(asked.truth()), Act::Hang]).await;
    let site = liar.site("dns.example");
    for number in 0..3 {
        let text = format!("n{number}.example.");
        assert_truth(&text, &site.resolve(&text).await);
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    assert_eq!(liar.connections.load(Ordering::Relaxed), 3);
    assert_eq!(site.told("upstream_down"), 0);
}

#[tokio::test]
async fn a_connection_dead_without_knowing_is_replaced_while_questions_wait() {
    let muted = Arc::new(AtomicU32::new(0));
    let by_port = muted.clone();
    // The first connection falls silent after its first answer, as after a change of the network.
    let liar = TlsLiar::start(move |asked| {
        let port = u32::from(asked.source.port());
        match by_port.load(Ordering::Relaxed) {
            0 => by_port.store(port, Ordering::Relaxed),
            first if first == port => return vec![],
            _ => {}
        }
        vec![Act::Reply(asked.truth())]
    })
    .await;
    let site = liar.site("dns.example");
    assert_truth("a.example.", &site.resolve("a.example.").await);
    assert_truth("b.example.", &site.resolve("b.example.").await);
    assert_eq!(site.told("upstream_down"), 0);
    assert_ne!(muted.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn who_accepts_connections_and_never_answers_is_found_dead() {
    let liar = TlsLiar::start(|_| vec![]).await;
    let site = liar.site("dns.example");
    let resolved = site.resolve("www.example.").await;
    assert_eq!(resolved.ede.map(|(code, _)| code), Some(ede::NO_REACHABLE_AUTHORITY));
    assert!(site.forwarder.is_down());
}
