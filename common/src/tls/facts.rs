//! What stands in a certificate, for people and programs.

use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;
use serde::Serialize;
use sha2::{Digest, Sha256};
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{ASN1Time, FromDer, X509Certificate};

use super::{EXPIRY_WARNED, TlsError, files};

/// What stands in a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// Whom it is for, as a distinguished name (RFC 4514).
    pub subject: String,
    /// The organization in it, where there is one.
    #[serde(skip)]
    pub organization: Option<String>,
    /// Who signed it.
    pub issuer: String,
    /// The host names and addresses that it holds for.
    pub names: Vec<String>,
    /// Whether it may sign others.
    pub authority: bool,
    /// Its number, in hexadecimal.
    pub serial: String,
    /// SHA-256 over it, in hexadecimal: what `openssl x509 -fingerprint -sha256` shows, without the colons.
    pub fingerprint: String,
    /// SHA-256 over the public key with its algorithm (SubjectPublicKeyInfo), in hexadecimal.
    #[serde(skip)]
    pub public_key: String,
    /// The identifier of its own key (RFC 5280 section 4.2.1.2), in hexadecimal.
    #[serde(skip)]
    pub key_id: Option<String>,
    /// The identifier of the key that signed it (RFC 5280 section 4.2.1.1), in hexadecimal.
    #[serde(skip)]
    pub issuer_key_id: Option<String>,
    /// When it begins.
    #[serde(serialize_with = "rfc3339")]
    pub not_before: SystemTime,
    /// When it ends.
    #[serde(serialize_with = "rfc3339")]
    pub not_after: SystemTime,
}

impl Facts {
    /// The facts of the first certificate in a PEM file.
    ///
    /// # Errors
    /// The file is missing, unreadable, or holds no certificate that can be understood.
    pub fn of_file(path: &Path) -> Result<Self, TlsError> {
        let chain = files::certificates(path)?;
        Self::of(&chain[0], path)
    }

    /// The facts of `certificate`, which stands in the file `path`.
    pub(super) fn of(certificate: &CertificateDer<'_>, path: &Path) -> Result<Self, TlsError> {
        let malformed = |reason: &str| TlsError::Malformed(path.to_owned(), reason.to_owned());
        let (_, parsed) =
            X509Certificate::from_der(certificate).map_err(|_| malformed("it is no X.509 certificate"))?;
        let names = parsed.subject_alternative_name().map_err(|_| malformed("its names are broken"))?;
        let names = names.map(|names| names.value.general_names.iter().filter_map(shown).collect());
        Ok(Self {
            subject: parsed.subject().to_string(),
            organization: parsed
                .subject()
                .iter_organization()
                .next()
                .and_then(|organization| organization.as_str().ok())
                .map(str::to_owned),
            issuer: parsed.issuer().to_string(),
            names: names.unwrap_or_default(),
            authority: parsed.is_ca(),
            serial: hex(parsed.raw_serial()),
            fingerprint: hex(&Sha256::digest(certificate)),
            public_key: hex(&Sha256::digest(parsed.public_key().raw)),
            key_id: parsed.iter_extensions().find_map(|extension| match extension.parsed_extension() {
                ParsedExtension::SubjectKeyIdentifier(id) => Some(hex(id.0)),
                _ => None,
            }),
            issuer_key_id: parsed.iter_extensions().find_map(|extension| {
                match extension.parsed_extension() {
                    ParsedExtension::AuthorityKeyIdentifier(id) => {
                        id.key_identifier.as_ref().map(|id| hex(id.0))
                    }
                    _ => None,
                }
            }),
            not_before: time(parsed.validity().not_before),
            not_after: time(parsed.validity().not_after),
        })
    }

    /// Whether it is the certificate of the public key `spki` (a SubjectPublicKeyInfo in DER).
    pub fn is_of(&self, spki: &[u8]) -> bool {
        self.public_key == hex(&Sha256::digest(spki))
    }

    /// Whether `authority` signed it, as far as names and identifiers of keys tell.
    pub fn is_signed_by(&self, authority: &Self) -> bool {
        self.issuer == authority.subject
            && (self.issuer_key_id.is_none() || self.issuer_key_id == authority.key_id)
    }

    /// How long it still holds; none once it has ended.
    pub fn remaining(&self, now: SystemTime) -> Option<Duration> {
        self.not_after.duration_since(now).ok().filter(|left| !left.is_zero())
    }

    /// Whether its end is near enough to speak of it.
    pub fn is_ending(&self, now: SystemTime) -> bool {
        self.remaining(now).is_none_or(|left| left < EXPIRY_WARNED)
    }
}

fn shown(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) | GeneralName::URI(name) | GeneralName::RFC822Name(name) => {
            Some((*name).to_owned())
        }
        GeneralName::IPAddress(bytes) => address(bytes).map(|address| address.to_string()),
        _ => None,
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

fn time(at: ASN1Time) -> SystemTime {
    let seconds = at.timestamp();
    let distance = Duration::from_secs(seconds.unsigned_abs());
    let at = if seconds < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(distance)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(distance)
    };
    // The years of a certificate, 0 to 9999, fit.
    at.unwrap_or(SystemTime::UNIX_EPOCH)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn rfc3339<S: serde::Serializer>(at: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_rfc3339_seconds(*at))
}
