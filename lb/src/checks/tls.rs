//! The TLS of a check.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{Authority, Failure, Stage, Trust};

/// Shakes hands over `stream`.
pub(super) async fn connect(
    stream: TcpStream,
    target: SocketAddr,
    trust: &Trust,
    authority: &Authority,
) -> Result<TlsStream<TcpStream>, Failure> {
    let config = authority.config(trust)?;
    let name = match &trust.server_name {
        Some(name) => ServerName::try_from(name.clone())
            .map_err(|error| Failure::Local(format!("{name} is no server's name: {error}")))?,
        // An address is never sent (RFC 6066 section 3).
        None => ServerName::IpAddress(target.ip().into()),
    };
    TlsConnector::from(config).connect(name, stream).await.map_err(|error| explain(&error, trust))
}

/// A client that believes `roots`, or anybody without.
pub(super) fn config(roots: Option<RootCertStore>, with_name: bool) -> Result<ClientConfig, Failure> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain = match roots {
        None => None,
        Some(roots) => Some(
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .build()
                .map_err(|error| Failure::Authority(error.to_string()))?,
        ),
    };
    let verifier = Arc::new(Verifier { provider: Arc::clone(&provider), chain, with_name });
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Failure::Local(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    // A resumed handshake would not look at the certificate again.
    config.resumption = rustls::client::Resumption::disabled();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Looks at the certificate as far as the check says; that the server has its key is looked at always.
#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    chain: Option<Arc<WebPkiServerVerifier>>,
    with_name: bool,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        match chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // The name comes last: everything else was found good.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.with_name => Ok(ServerCertVerified::assertion()),
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn explain(error: &std::io::Error, trust: &Trust) -> Failure {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    match tls {
        Some(Error::InvalidCertificate(reason)) => match reason {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                Failure::CertificateExpired
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                Failure::CertificateNotYetValid
            }
            // A signature that does not fit is an authority of the same name with another key.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Failure::CertificateUnknown,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Failure::CertificateName(trust.server_name.clone().unwrap_or_default())
            }
            other => Failure::Certificate(other.to_string()),
        },
        Some(other) => Failure::Tls(other.to_string()),
        None => match error.kind() {
            std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe => {
                Failure::Reset(Stage::Handshake)
            }
            std::io::ErrorKind::UnexpectedEof => Failure::Closed(Stage::Handshake),
            std::io::ErrorKind::TimedOut => Failure::TimedOut(Stage::Handshake),
            _ => Failure::Tls(error.to_string()),
        },
    }
}
