//! Keys and certificates: ECDSA on P-256 throughout, which everything understands and small machines sign quickly.

use std::time::SystemTime;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData,
};

use super::Term;
use super::folder::{AUTHORITY, Folder};
use crate::exit::Failure;

/// The longest common name and organization (RFC 5280 appendix A.1).
const DISTINGUISHED_MAX: usize = 64;

/// A certificate and its key, as PEM.
pub(super) struct Pair {
    pub(super) certificate: String,
    pub(super) key: String,
}

/// Whoever signs.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    organization: Option<String>,
    /// Nothing that it signs holds longer.
    pub(super) until: SystemTime,
}

/// A new authority for the cluster zone `zone`. It may sign for machines, not for further authorities.
pub(super) fn authority(zone: &str, term: Term) -> Result<Pair, Failure> {
    let mut params = params(Vec::new(), term)?;
    params.distinguished_name = distinguished(&format!("Authority of {zone}"), Some(zone));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = key()?;
    let certificate = params.self_signed(&key).map_err(|error| defect(&error))?;
    Ok(Pair { certificate: certificate.pem(), key: key.serialize_pem() })
}

impl Authority {
    /// The authority in `folder`, if it may sign at `now`.
    pub(super) fn load(folder: &Folder, now: SystemTime) -> Result<Self, Failure> {
        let (certificate, key) = (folder.certificate(AUTHORITY), folder.key(AUTHORITY));
        let facts = folder.facts(AUTHORITY)?;
        let again = "move ca.crt and ca.key away and run: farosctl ca init";
        if !facts.authority {
            return Err(Failure::failed(format!("{} is no authority's; {again}", certificate.display())));
        }
        if facts.remaining(now).is_none() {
            return Err(Failure::failed(format!(
                "the authority {} has ended, and whatever it signed with it; {again}",
                certificate.display()
            )));
        }
        let read = |path: &std::path::Path| {
            std::fs::read_to_string(path).map_err(|error| {
                Failure::failed(format!(
                    "cannot read {}: {error}; run as root on the bastion",
                    path.display()
                ))
            })
        };
        let broken = |_| Failure::failed(format!("{} holds no key that can sign; {again}", key.display()));
        let pair = KeyPair::from_pem(&read(&key)?).map_err(broken)?;
        // Somebody else's key would sign what nobody believes.
        if !facts.is_of(&pair.subject_public_key_info()) {
            return Err(Failure::failed(format!(
                "the key {} does not belong to {}; {again}",
                key.display(),
                certificate.display()
            )));
        }
        let issuer = Issuer::from_ca_cert_pem(&read(&certificate)?, pair).map_err(|error| {
            Failure::failed(format!("{} cannot sign ({error}); {again}", certificate.display()))
        })?;
        Ok(Self { issuer, organization: facts.organization, until: facts.not_after })
    }

    /// A certificate for the server `name`, reached by the host names and addresses `holds_for`, with a new key.
    pub(super) fn sign(&self, name: &str, holds_for: &[String], term: Term) -> Result<Pair, Failure> {
        let mut params = params(holds_for.to_vec(), term)?;
        params.distinguished_name = distinguished(name, self.organization.as_deref());
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let key = key()?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(|error| defect(&error))?;
        Ok(Pair { certificate: certificate.pem(), key: key.serialize_pem() })
    }
}

fn params(names: Vec<String>, term: Term) -> Result<CertificateParams, Failure> {
    let mut params = CertificateParams::new(names).map_err(|error| defect(&error))?;
    params.not_before = term.from.into();
    params.not_after = term.until.into();
    Ok(params)
}

fn distinguished(common: &str, organization: Option<&str>) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    let fits = |text: &str| text.len() <= DISTINGUISHED_MAX;
    if let Some(organization) = organization.filter(|text| fits(text)) {
        name.push(DnType::OrganizationName, organization);
    }
    name.push(DnType::CommonName, if fits(common) { common } else { "Authority of this site" });
    name
}

fn key() -> Result<KeyPair, Failure> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|error| defect(&error))
}

fn defect(error: &rcgen::Error) -> Failure {
    Failure::failed(format!("cannot make the certificate: {error}"))
}
