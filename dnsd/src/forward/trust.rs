//! Whom DNS over TLS trusts: the system's certificate authorities, or those that `SSL_CERT_FILE` and
//! `SSL_CERT_DIR` name.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use tracing::warn;

/// The settings of TLS towards upstreams; cheap to clone.
#[derive(Clone, Debug)]
pub struct Trust(Arc<ClientConfig>);

impl Trust {
    /// Reads the system's certificate authorities: before the sandbox closes, or where it lets them be read. Without
    /// any, no upstream is trusted and the log says why; plain ones are not affected.
    pub fn of_system() -> Self {
        let config = hickory_net::tls::client_config().unwrap_or_else(|error| {
            warn!(
                event = "trust_missing",
                %error,
                "no certificate authorities: no upstream with tls:// can be trusted; install ca-certificates"
            );
            Self::config(RootCertStore::empty())
        });
        Self(Arc::new(config))
    }

    /// Trusts `roots` and nobody else.
    pub fn of_roots(roots: RootCertStore) -> Self {
        Self(Arc::new(Self::config(roots)))
    }

    /// For rustls.
    pub fn client_config(&self) -> Arc<ClientConfig> {
        self.0.clone()
    }

    fn config(roots: RootCertStore) -> ClientConfig {
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring has the cipher suites of TLS 1.2 and 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth()
    }
}
