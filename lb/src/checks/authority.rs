//! The files of authorities, read again when they change: a cluster that gets a new authority needs no reload here.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use super::{Failure, Trust, tls};

/// A file of authorities is not larger; beyond it the check has failed.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// TLS clients by what they trust. One per daemon.
#[derive(Debug, Default)]
pub struct Authority {
    clients: Mutex<HashMap<Trust, Client>>,
}

#[derive(Debug)]
struct Client {
    /// What the file was when it was read; `None`: there is none to read.
    version: Option<(SystemTime, u64)>,
    config: Arc<ClientConfig>,
}

impl Authority {
    /// The TLS client for `trust`.
    ///
    /// # Errors
    /// [`Failure::Authority`]: the file is missing, unreadable or holds no certificate.
    pub(super) fn config(&self, trust: &Trust) -> Result<Arc<ClientConfig>, Failure> {
        let version = match &trust.ca {
            None => None,
            Some(path) => Some(version(path)?),
        };
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(trust).filter(|client| client.version == version) {
            return Ok(Arc::clone(&client.config));
        }
        let roots = trust.ca.as_deref().map(roots).transpose()?;
        let config = Arc::new(tls::config(roots, trust.server_name.is_some())?);
        clients.insert(trust.clone(), Client { version, config: Arc::clone(&config) });
        Ok(config)
    }

    /// Forgets what no check uses any more.
    pub fn retain(&self, used: impl Fn(&Trust) -> bool) {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner).retain(|trust, _| used(trust));
    }

    /// Whether `path` can be used as a file of authorities.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn try_file(path: &Path) -> Result<(), Failure> {
        version(path)?;
        roots(path).map(|_| ())
    }
}

fn version(path: &Path) -> Result<(SystemTime, u64), Failure> {
    let unreadable = |error: std::io::Error| Failure::Authority(format!("{}: {error}", path.display()));
    let metadata = path.metadata().map_err(unreadable)?;
    if metadata.len() > FILE_BYTES_MAX {
        return Err(Failure::Authority(format!("{} is larger than {FILE_BYTES_MAX} bytes", path.display())));
    }
    Ok((metadata.modified().map_err(unreadable)?, metadata.len()))
}

fn roots(path: &Path) -> Result<RootCertStore, Failure> {
    let refused = |reason: String| Failure::Authority(format!("{}: {reason}", path.display()));
    let pem = std::fs::read(path).map_err(|error| refused(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| refused(error.to_string()))?;
        roots.add(certificate).map_err(|error| refused(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(refused("there is no certificate in it".to_owned()));
    }
    Ok(roots)
}
