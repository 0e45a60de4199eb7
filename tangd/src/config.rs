//! Our part of the site file.

use std::net::SocketAddr;
use std::path::PathBuf;

use faros_common::clock;
use faros_common::site::{Diagnostic, Severity, Site};
use faros_common::tls::Files;

/// What `tangd` needs to know of a site.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it listens.
    pub listen: Vec<SocketAddr>,
    /// Where HTTPS listens.
    pub tls_listen: Vec<SocketAddr>,
    /// The certificate of HTTPS.
    pub tls_files: Files,
    /// The directory of keys.
    pub keys: PathBuf,
    /// The whole site: who is a node, and what applies to it.
    pub site: Site,
}

impl Config {
    /// Derives our part of `site`.
    ///
    /// # Errors
    /// None: what could be wrong was found when the site file was read.
    pub fn of(site: &Site) -> Result<Self, Vec<Diagnostic>> {
        Ok(Self {
            listen: site.tang.listen.clone(),
            tls_listen: site.tang.tls_listen.clone(),
            tls_files: Files {
                certificate: site.tang.certificate.clone(),
                key: site.tang.certificate_key.clone(),
            },
            keys: site.tang.keys.clone(),
            site: site.clone(),
        })
    }

    /// What is asked for and not there (yet): the certificate.
    #[must_use]
    pub fn warnings(&self) -> Vec<Diagnostic> {
        if self.tls_listen.is_empty() {
            return Vec::new();
        }
        let judged = self.tls_files.judge(clock::wall());
        let warning = judged.err().map(|error| Diagnostic {
            severity: Severity::Warning,
            place: None,
            key: "tang.certificate".to_owned(),
            message: error.to_string(),
            help: Some("`farosctl ca issue tangd` makes one; until then HTTPS handshakes fail".to_owned()),
        });
        warning.into_iter().collect()
    }
}
