//! The numbers of DNS (IANA "Domain Name System (DNS) Parameters").

/// Types of records and questions.
pub mod kind {
    /// Address (RFC 1035).
    pub const A: u16 = 1;
    /// Authoritative name server (RFC 1035).
    pub const NS: u16 = 2;
    /// Mail destination (obsolete, RFC 1035).
    pub const MD: u16 = 3;
    /// Mail forwarder (obsolete, RFC 1035).
    pub const MF: u16 = 4;
    /// Canonical name of an alias (RFC 1035).
    pub const CNAME: u16 = 5;
    /// Start of authority (RFC 1035).
    pub const SOA: u16 = 6;
    /// Mailbox (RFC 1035).
    pub const MB: u16 = 7;
    /// Mail group member (RFC 1035).
    pub const MG: u16 = 8;
    /// Mail rename (RFC 1035).
    pub const MR: u16 = 9;
    /// Pointer to a name (RFC 1035).
    pub const PTR: u16 = 12;
    /// Host information (RFC 1035); also the minimal answer to ANY (RFC 8482).
    pub const HINFO: u16 = 13;
    /// Mailbox information (RFC 1035).
    pub const MINFO: u16 = 14;
    /// Mail exchange (RFC 1035).
    pub const MX: u16 = 15;
    /// Text (RFC 1035).
    pub const TXT: u16 = 16;
    /// Responsible person (RFC 1183).
    pub const RP: u16 = 17;
    /// Signature of the first DNSSEC, and of transactions (RFC 2931).
    pub const SIG: u16 = 24;
    /// IPv6 address (RFC 3596).
    pub const AAAA: u16 = 28;
    /// Location of a service (RFC 2782).
    pub const SRV: u16 = 33;
    /// Naming authority pointer (RFC 3403).
    pub const NAPTR: u16 = 35;
    /// Alias of a whole subtree (RFC 6672).
    pub const DNAME: u16 = 39;
    /// The pseudo-record of EDNS (RFC 6891).
    pub const OPT: u16 = 41;
    /// Delegation signer (RFC 4034).
    pub const DS: u16 = 43;
    /// SSH key fingerprint (RFC 4255).
    pub const SSHFP: u16 = 44;
    /// DNSSEC signature (RFC 4034).
    pub const RRSIG: u16 = 46;
    /// Authenticated denial (RFC 4034).
    pub const NSEC: u16 = 47;
    /// DNSSEC key (RFC 4034).
    pub const DNSKEY: u16 = 48;
    /// Hashed authenticated denial (RFC 5155).
    pub const NSEC3: u16 = 50;
    /// Parameters of NSEC3 (RFC 5155).
    pub const NSEC3PARAM: u16 = 51;
    /// Certificate association (RFC 6698).
    pub const TLSA: u16 = 52;
    /// Child DS (RFC 7344).
    pub const CDS: u16 = 59;
    /// Child DNSKEY (RFC 7344).
    pub const CDNSKEY: u16 = 60;
    /// Service binding (RFC 9460).
    pub const SVCB: u16 = 64;
    /// Service binding of HTTPS (RFC 9460).
    pub const HTTPS: u16 = 65;
    /// Transaction key (RFC 2930).
    pub const TKEY: u16 = 249;
    /// Transaction signature (RFC 8945).
    pub const TSIG: u16 = 250;
    /// Incremental zone transfer (RFC 1995).
    pub const IXFR: u16 = 251;
    /// Zone transfer (RFC 5936).
    pub const AXFR: u16 = 252;
    /// All mailbox types (RFC 1035).
    pub const MAILB: u16 = 253;
    /// All mail agent types (obsolete, RFC 1035).
    pub const MAILA: u16 = 254;
    /// Any type (RFC 1035, RFC 8482).
    pub const ANY: u16 = 255;
    /// Uniform resource identifier (RFC 7553).
    pub const URI: u16 = 256;
    /// Certification authority authorization (RFC 8659).
    pub const CAA: u16 = 257;
}

/// Classes.
pub mod class {
    /// The Internet.
    pub const IN: u16 = 1;
    /// Chaosnet: servers' self-description.
    pub const CH: u16 = 3;
    /// Hesiod.
    pub const HS: u16 = 4;
    /// No class: in UPDATE (RFC 2136).
    pub const NONE: u16 = 254;
    /// Any class.
    pub const ANY: u16 = 255;
}

/// What a message wants.
pub mod opcode {
    /// A question (RFC 1035).
    pub const QUERY: u8 = 0;
    /// Word of a changed zone (RFC 1996).
    pub const NOTIFY: u8 = 4;
    /// A change to a zone (RFC 2136).
    pub const UPDATE: u8 = 5;
}

/// Response codes; those above 15 need an OPT record to be told (RFC 6891 section 6.1.3), or a TSIG record.
pub mod rcode {
    /// No error.
    pub const NOERROR: u16 = 0;
    /// The request could not be read.
    pub const FORMERR: u16 = 1;
    /// The server failed.
    pub const SERVFAIL: u16 = 2;
    /// The name does not exist.
    pub const NXDOMAIN: u16 = 3;
    /// Such requests are not served.
    pub const NOTIMP: u16 = 4;
    /// Policy forbids.
    pub const REFUSED: u16 = 5;
    /// UPDATE: a name exists that must not.
    pub const YXDOMAIN: u16 = 6;
    /// UPDATE: an RRset exists that must not.
    pub const YXRRSET: u16 = 7;
    /// UPDATE: an RRset is missing that must exist.
    pub const NXRRSET: u16 = 8;
    /// Not authoritative for the zone, or (TSIG) not authorized.
    pub const NOTAUTH: u16 = 9;
    /// UPDATE: a name is outside of the zone.
    pub const NOTZONE: u16 = 10;
    /// The version of EDNS is not spoken here (RFC 6891).
    pub const BADVERS: u16 = 16;
    /// TSIG: the signature is wrong (RFC 8945).
    pub const BADSIG: u16 = 16;
    /// TSIG: the key is unknown (RFC 8945).
    pub const BADKEY: u16 = 17;
    /// TSIG: the time is outside of the window (RFC 8945).
    pub const BADTIME: u16 = 18;
    /// TSIG: the signature is cut too short (RFC 8945).
    pub const BADTRUNC: u16 = 22;
    /// The server cookie is missing or wrong (RFC 7873).
    pub const BADCOOKIE: u16 = 23;

    /// The mnemonic for logs and metrics; the codes that TSIG reuses go by their EDNS name.
    pub fn mnemonic(rcode: u16) -> &'static str {
        match rcode {
            NOERROR => "NOERROR",
            FORMERR => "FORMERR",
            SERVFAIL => "SERVFAIL",
            NXDOMAIN => "NXDOMAIN",
            NOTIMP => "NOTIMP",
            REFUSED => "REFUSED",
            YXDOMAIN => "YXDOMAIN",
            YXRRSET => "YXRRSET",
            NXRRSET => "NXRRSET",
            NOTAUTH => "NOTAUTH",
            NOTZONE => "NOTZONE",
            BADVERS => "BADVERS",
            BADKEY => "BADKEY",
            BADTIME => "BADTIME",
            BADTRUNC => "BADTRUNC",
            BADCOOKIE => "BADCOOKIE",
            _ => "OTHER",
        }
    }
}

/// Option codes of EDNS.
pub mod option {
    /// Name server identifier (RFC 5001).
    pub const NSID: u16 = 3;
    /// Client subnet (RFC 7871).
    pub const CLIENT_SUBNET: u16 = 8;
    /// Cookies (RFC 7873).
    pub const COOKIE: u16 = 10;
    /// How long a TCP connection may idle (RFC 7828).
    pub const TCP_KEEPALIVE: u16 = 11;
    /// Padding against traffic analysis (RFC 7830).
    pub const PADDING: u16 = 12;
    /// Extended DNS error (RFC 8914).
    pub const EXTENDED_ERROR: u16 = 15;
}

/// Info codes of extended DNS errors (RFC 8914).
pub mod ede {
    /// None of the others.
    pub const OTHER: u16 = 0;
    /// A DNSKEY algorithm is not supported.
    pub const UNSUPPORTED_DNSKEY_ALGORITHM: u16 = 1;
    /// A DS digest type is not supported.
    pub const UNSUPPORTED_DS_DIGEST: u16 = 2;
    /// The answer is past its TTL (RFC 8767).
    pub const STALE_ANSWER: u16 = 3;
    /// The answer was made up by policy.
    pub const FORGED_ANSWER: u16 = 4;
    /// DNSSEC validation could not be completed.
    pub const DNSSEC_INDETERMINATE: u16 = 5;
    /// DNSSEC validation failed.
    pub const DNSSEC_BOGUS: u16 = 6;
    /// A signature has expired.
    pub const SIGNATURE_EXPIRED: u16 = 7;
    /// A signature is not yet valid.
    pub const SIGNATURE_NOT_YET_VALID: u16 = 8;
    /// A DNSKEY is missing.
    pub const DNSKEY_MISSING: u16 = 9;
    /// Signatures are missing.
    pub const RRSIGS_MISSING: u16 = 10;
    /// No key has the zone key bit.
    pub const NO_ZONE_KEY_BIT: u16 = 11;
    /// Proof of nonexistence is missing.
    pub const NSEC_MISSING: u16 = 12;
    /// A failure, from the cache.
    pub const CACHED_ERROR: u16 = 13;
    /// The server is not up yet.
    pub const NOT_READY: u16 = 14;
    /// Blocked by the operator.
    pub const BLOCKED: u16 = 15;
    /// Censored by somebody else's order.
    pub const CENSORED: u16 = 16;
    /// Filtered as the client asked for.
    pub const FILTERED: u16 = 17;
    /// This client may not ask this.
    pub const PROHIBITED: u16 = 18;
    /// Nonexistence is past its TTL (RFC 8767).
    pub const STALE_NXDOMAIN: u16 = 19;
    /// Not authoritative, and recursion was not desired.
    pub const NOT_AUTHORITATIVE: u16 = 20;
    /// The operation is not supported.
    pub const NOT_SUPPORTED: u16 = 21;
    /// No upstream server could be reached.
    pub const NO_REACHABLE_AUTHORITY: u16 = 22;
    /// An unrecoverable network error.
    pub const NETWORK_ERROR: u16 = 23;
    /// The zone's data is invalid.
    pub const INVALID_DATA: u16 = 24;
}
