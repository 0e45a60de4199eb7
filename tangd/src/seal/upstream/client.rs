//! The two requests that a client makes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use faros_common::tasks;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST};
use hyper::{Method, Request, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::Upstream;
use crate::crypto::Point;
use crate::protocol::jwk::PublicJwk;
use crate::seal::SealError;

/// How long one request may take in all, from the look-up of the name to the last byte.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(10);
/// The largest answer that is read.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// Asks one server.
#[derive(Debug)]
pub(in crate::seal) struct Client<'u> {
    upstream: &'u Upstream,
    uri: Uri,
    tls: bool,
}

impl<'u> Client<'u> {
    /// A client of this server; nothing is asked yet.
    pub(in crate::seal) fn new(upstream: &'u Upstream) -> Result<Self, SealError> {
        let wrong = || {
            SealError::Invalid(format!("{} is no URL of a Tang server; write http://HOST:PORT", upstream.url))
        };
        let uri: Uri = upstream.url.parse().map_err(|_| wrong())?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(wrong()),
        };
        if uri.host().is_none_or(str::is_empty) || uri.query().is_some() {
            return Err(wrong());
        }
        Ok(Self { upstream, uri, tls })
    }

    /// `GET /adv`.
    pub(in crate::seal) async fn advertisement(&self) -> Result<Bytes, SealError> {
        self.limited(self.ask(Method::GET, "adv", Bytes::new())).await
    }

    /// `POST /rec/{thumbprint}`: the product of `point` and the key of that thumbprint.
    pub(in crate::seal) async fn recover(&self, thumbprint: &str, point: &Point) -> Result<Point, SealError> {
        let body = PublicJwk::new(point.clone(), "ECMR", &["deriveKey"]).to_json().into();
        let reply = self.limited(self.ask(Method::POST, &format!("rec/{thumbprint}"), body)).await?;
        let reply: PublicJwk =
            serde_json::from_slice(&reply).map_err(|_| self.failed("answers with no EC key"))?;
        Ok(reply.point().clone())
    }

    async fn limited(
        &self,
        answer: impl Future<Output = Result<Bytes, SealError>>,
    ) -> Result<Bytes, SealError> {
        let answer = tokio::time::timeout(REQUEST_TIME_MAX, answer).await;
        answer.unwrap_or_else(|_| Err(self.failed("does not answer in time")))
    }

    async fn ask(&self, method: Method, path: &str, body: Bytes) -> Result<Bytes, SealError> {
        let host = self.uri.host().unwrap_or_default();
        let port = self.uri.port_u16().unwrap_or(if self.tls { 443 } else { 80 });
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let stream =
            TcpStream::connect((bare, port)).await.map_err(|error| self.failed(&error.to_string()))?;
        stream.set_nodelay(true).map_err(|error| self.failed(&error.to_string()))?;
        if !self.tls {
            return self.converse(stream, method, path, body).await;
        }
        let name = ServerName::try_from(bare.to_owned())
            .map_err(|_| self.failed("has no name for a certificate"))?;
        let connector = TlsConnector::from(Arc::new(self.tls_config()?));
        let stream =
            connector.connect(name, stream).await.map_err(|error| self.failed(&error.to_string()))?;
        self.converse(stream, method, path, body).await
    }

    async fn converse(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Bytes, SealError> {
        let failed = |error: hyper::Error| self.failed(&error.to_string());
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
        let connection = tasks::spawn("upstream Tang", connection);
        let prefix = self.uri.path().trim_end_matches('/');
        let authority = self.uri.authority().map_or("", |authority| authority.as_str());
        // User and password before an @ are not part of the header.
        let host = authority.rsplit('@').next().unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(format!("{prefix}/{path}"))
            .header(HOST, host)
            .header(ACCEPT, "application/jose+json, application/jwk+json")
            .header(CONTENT_TYPE, "application/jwk+json")
            .body(Full::new(body))
            .map_err(|error| self.failed(&error.to_string()))?;
        let response = sender.send_request(request).await.map_err(failed)?;
        let status = response.status();
        let answer = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        connection.abort();
        if status.as_u16() != 200 {
            // A redirect too: whoever set the URL meant this server.
            return Err(self.failed(&format!("answers {status} to /{path}")));
        }
        Ok(answer.map_err(|error| self.failed(&error.to_string()))?.to_bytes())
    }

    fn tls_config(&self) -> Result<ClientConfig, SealError> {
        let failed =
            |error: &dyn std::fmt::Display| SealError::Upstream(format!("TLS cannot be set up: {error}"));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| failed(&error))?;
        let Some(authorities) = &self.upstream.ca else {
            let builder = builder.with_platform_verifier().map_err(|error| failed(&error))?;
            return Ok(builder.with_no_client_auth());
        };
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(authorities.as_bytes()) {
            let certificate = certificate.map_err(|error| failed(&error))?;
            roots.add(certificate).map_err(|error| failed(&error))?;
        }
        Ok(builder.with_root_certificates(roots).with_no_client_auth())
    }

    fn failed(&self, what: &str) -> SealError {
        SealError::Upstream(format!("{} {what}", self.upstream.url))
    }
}
