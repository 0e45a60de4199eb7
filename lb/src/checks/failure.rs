//! What can be wrong with a server.

use std::fmt;

/// How far a check had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// No connection yet.
    Connect,
    /// The TLS handshake.
    Handshake,
    /// Waiting for the head of the answer.
    Head,
    /// Reading its body.
    Body,
}

impl fmt::Display for Stage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Connect => "while connecting",
            Self::Handshake => "during the TLS handshake",
            Self::Head => "before an answer",
            Self::Body => "within its answer",
        })
    }
}

/// Why a check failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nothing listens there.
    Refused,
    /// There is no way there.
    Unreachable(String),
    /// Not done in time.
    TimedOut(Stage),
    /// The connection was reset.
    Reset(Stage),
    /// The connection was closed.
    Closed(Stage),
    /// The TLS handshake failed for another reason than the certificate.
    Tls(String),
    /// The certificate has expired.
    CertificateExpired,
    /// The certificate is not valid yet.
    CertificateNotYetValid,
    /// The certificate is of no authority in the file.
    CertificateUnknown,
    /// The certificate is for another name.
    CertificateName(String),
    /// The certificate is refused for another reason.
    Certificate(String),
    /// The file of authorities cannot be used.
    Authority(String),
    /// The answer is no HTTP.
    NotHttp(String),
    /// The answer's head is larger than it may be.
    HeadTooLarge,
    /// The status is none of the good ones.
    Status(u16),
    /// The body does not contain what it should.
    Body,
    /// This host could not ask: says nothing about the server.
    Local(String),
}

impl Failure {
    /// A short name, for metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Unreachable(_) => "unreachable",
            Self::TimedOut(_) => "timed_out",
            Self::Reset(_) => "reset",
            Self::Closed(_) => "closed",
            Self::Tls(_) => "tls",
            Self::CertificateExpired => "certificate_expired",
            Self::CertificateNotYetValid => "certificate_not_yet_valid",
            Self::CertificateUnknown => "certificate_unknown",
            Self::CertificateName(_) => "certificate_name",
            Self::Certificate(_) => "certificate",
            Self::Authority(_) => "authority",
            Self::NotHttp(_) => "not_http",
            Self::HeadTooLarge => "head_too_large",
            Self::Status(_) => "status",
            Self::Body => "body",
            Self::Local(_) => "local",
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => formatter.write_str("connection refused: nothing listens there"),
            Self::Unreachable(text) => write!(formatter, "unreachable: {text}"),
            Self::TimedOut(stage) => write!(formatter, "not done in time {stage}"),
            Self::Reset(stage) => write!(formatter, "connection reset {stage}"),
            Self::Closed(stage) => write!(formatter, "connection closed {stage}"),
            Self::Tls(text) => write!(formatter, "no TLS: {text}"),
            Self::CertificateExpired => formatter.write_str("its certificate has expired"),
            Self::CertificateNotYetValid => formatter.write_str("its certificate is not valid yet"),
            Self::CertificateUnknown => formatter.write_str("its certificate is of no authority in check.ca"),
            Self::CertificateName(name) => write!(formatter, "its certificate is not for {name}"),
            Self::Certificate(text) => write!(formatter, "its certificate is refused: {text}"),
            Self::Authority(text) => write!(formatter, "check.ca cannot be used: {text}"),
            Self::NotHttp(text) => write!(formatter, "the answer is no HTTP: {text}"),
            Self::HeadTooLarge => formatter.write_str("the head of the answer is too large"),
            Self::Status(status) => write!(formatter, "answered {status}"),
            Self::Body => formatter.write_str("the body of the answer is not as expected"),
            Self::Local(text) => write!(formatter, "this host could not ask: {text}"),
        }
    }
}

impl std::error::Error for Failure {}
