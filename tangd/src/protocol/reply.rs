//! Answers.

use std::sync::Arc;

use bytes::Bytes;

/// An answer: status, content type and body; and what has happened, for the records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The content type; none goes with an empty body.
    pub content_type: Option<&'static str>,
    /// The body; empty for every refusal.
    pub body: Bytes,
    /// What has happened.
    pub outcome: Outcome,
}

/// What has happened with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// An advertisement went out.
    Advertised,
    /// A key took part in an exchange.
    Recovered {
        /// The key's S256 thumbprint, whichever the client asked by.
        thumbprint: String,
        /// The key's file.
        file: String,
        /// Whether it is rotated out.
        hidden: bool,
    },
    /// Nothing was given out.
    Refused(Reason),
}

/// Why nothing was given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// The target is as long as [`super::TARGET_BYTES_MAX`] or longer (414).
    TargetTooLong,
    /// No such path (404).
    NoSuchPath,
    /// The path takes another method (405).
    MethodNotAllowed,
    /// No key signs, or there is none to be advertised (500): the key directory needs an operator.
    NothingToAdvertise,
    /// The body is larger than [`super::BODY_BYTES_MAX`] (413).
    BodyTooLarge,
    /// The body is not one JSON object (400).
    NotJson,
    /// The key in the body does not allow to derive keys from it (403).
    RequestForbidsExchange,
    /// The body is no EC key, or its `alg` is another one than ECMR (400).
    NotAnExchangeKey,
    /// No key has this thumbprint (404).
    UnknownKey,
    /// The key with this thumbprint does not sign (404).
    NotASigningKey,
    /// The key with this thumbprint does not exchange (403): a signature key never computes for strangers.
    NotAnExchangeKeyOfOurs,
    /// The key store is sealed (503): it opens again, so the client shall ask again.
    Sealed,
    /// The point is on another curve than our key (400).
    OtherCurve,
    /// The coordinates are no point of the curve, or a private part beside them is not theirs (400).
    NotAPoint,
    /// The keys cannot be read, or libcrypto failed (500).
    System,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 15] = [
        Self::TargetTooLong,
        Self::NoSuchPath,
        Self::MethodNotAllowed,
        Self::NothingToAdvertise,
        Self::BodyTooLarge,
        Self::NotJson,
        Self::NotAnExchangeKey,
        Self::RequestForbidsExchange,
        Self::UnknownKey,
        Self::NotASigningKey,
        Self::NotAnExchangeKeyOfOurs,
        Self::Sealed,
        Self::OtherCurve,
        Self::NotAPoint,
        Self::System,
    ];

    /// The HTTP status that tells it.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::NotJson | Self::NotAnExchangeKey | Self::OtherCurve | Self::NotAPoint => 400,
            Self::RequestForbidsExchange | Self::NotAnExchangeKeyOfOurs => 403,
            Self::NoSuchPath | Self::UnknownKey | Self::NotASigningKey => 404,
            Self::MethodNotAllowed => 405,
            Self::BodyTooLarge => 413,
            Self::TargetTooLong => 414,
            Self::NothingToAdvertise | Self::System => 500,
            Self::Sealed => 503,
        }
    }

    /// Its stable name, in metrics, events and the audit log.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::TargetTooLong => "target_too_long",
            Self::NoSuchPath => "no_such_path",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::NothingToAdvertise => "nothing_to_advertise",
            Self::BodyTooLarge => "body_too_large",
            Self::NotJson => "not_json",
            Self::NotAnExchangeKey => "not_an_exchange_key",
            Self::RequestForbidsExchange => "request_forbids_exchange",
            Self::UnknownKey => "unknown_key",
            Self::NotASigningKey => "not_a_signing_key",
            Self::NotAnExchangeKeyOfOurs => "key_does_not_exchange",
            Self::Sealed => "sealed",
            Self::OtherCurve => "other_curve",
            Self::NotAPoint => "not_a_point",
            Self::System => "system",
        }
    }
}

impl Reply {
    /// A refusal: the reason's status and nothing else.
    #[must_use]
    pub fn refused(reason: Reason) -> Self {
        Self {
            status: reason.status(),
            content_type: None,
            body: Bytes::new(),
            outcome: Outcome::Refused(reason),
        }
    }

    pub(super) fn advertised(advertisement: Option<Arc<[u8]>>, otherwise: Reason) -> Self {
        advertisement.map_or_else(
            || Self::refused(otherwise),
            |bytes| Self {
                status: 200,
                content_type: Some("application/jose+json"),
                body: Bytes::from_owner(bytes),
                outcome: Outcome::Advertised,
            },
        )
    }

    pub(super) fn recovered(jwk: String, outcome: Outcome) -> Self {
        Self { status: 200, content_type: Some("application/jwk+json"), body: jwk.into(), outcome }
    }
}
