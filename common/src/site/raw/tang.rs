//! Disk unlocking.

use std::net::IpAddr;
use std::time::Duration;

use crate::site::read::{List, OneOrMany, table};
use crate::site::value::{AbsolutePath, Bounded, Listen, Port, TangUrl, Thumbprint};
use crate::site::{TangPolicy, TangSlotKind, TangWindow};

table! {
    /// Disk unlocking (Tang).
    RawTang {
        /// Whether it runs here.
        "enable" enable: optional bool = "true";
        /// Where it listens.
        "listen" listen: optional OneOrMany<Listen> = "`port` of lan.address";
        /// With `enable = false`: who does it instead.
        "external" external: optional IpAddr;
        /// Its port.
        "port" port: optional Port = "7500";
        /// The directory of JWK files, in the layout of upstream Tang.
        "keys" keys: optional AbsolutePath = "/var/lib/faros/tang";
        /// Whom it answers: everybody on the LAN, or addresses of nodes only. An address is a node's while it is
        /// reserved for the node or leased to it and, as far as the kernel's neighbour table knows, one of the node's
        /// cards is behind it.
        "policy" policy: optional TangPolicy = "open";
        /// How many keys a node may recover in a minute, as many at once; `0`: as many as it likes. Never counted for
        /// the site as a whole, because after a power cut all nodes come at once.
        "rate" rate: optional Bounded<0, 100_000> = "60";
        /// When keys are recovered, in UTC: `mon-fri 06:00-20:00`, `sat,sun 22:00-04:00` (until 04:00 of the day after),
        /// `daily 06:00-20:00` or `sun` (all day). Outside of them, and while this host's clock cannot be believed,
        /// only an approval opens.
        "windows" windows: optional OneOrMany<TangWindow> = "always";
        /// Whether every recovery waits until `farosctl tang approve` lets the node through.
        "hold" hold: optional bool = "false";
        /// How old a signing key may grow before a new pair takes over, from 1 day to 10 years. The old pair stays for
        /// the nodes that still use it.
        "rotate" rotate: optional Duration = "never";
        /// Whether the keys are encrypted at rest. After a start nothing is unlocked until enough slots have opened.
        "sealed" sealed: optional bool = "false";
        /// What can open the sealed keys.
        "slot" slot: optional List<RawTangSlot>;
        /// How many slots it takes to open the sealed keys.
        "threshold" threshold: optional Bounded<1, 16> = "1";
        /// Where it listens for HTTPS.
        "tls-listen" tls_listen: optional OneOrMany<Listen> = "nowhere; port 7501 where an entry names none";
        /// The certificate for HTTPS, PEM: its own first, then those of intermediate authorities.
        /// `farosctl ca issue tangd` makes it.
        "certificate" certificate: optional AbsolutePath = "/etc/faros/tls/tangd.crt";
        /// The private key that belongs to the certificate, PEM.
        "certificate-key" certificate_key: optional AbsolutePath = "/etc/faros/tls/tangd.key";
    }
}

table! {
    /// Something that can open the sealed keys, alone or together with others.
    RawTangSlot {
        /// `passphrase`: an operator types it. `tang`: another Tang server, whose owner can so revoke this site.
        /// `tpm2`: this host's TPM, which stops the theft of its disk and not that of the whole host.
        "kind" kind: required TangSlotKind;
        /// The other Tang server (kind `tang`).
        "url" url: optional TangUrl;
        /// The thumbprint (S256 or S1) of a signing key of the other Tang server (kind `tang`).
        "thumbprint" thumbprint: optional Thumbprint;
        /// The certificates (PEM) of the authorities that vouch for the other Tang server (kind `tang` with an https URL),
        /// read when the slot is made and kept in it.
        "ca" ca: optional AbsolutePath = "those that this host trusts";
        /// The platform registers that must be as they were when the slot was made (kind `tpm2`).
        "pcrs" pcrs: optional List<Bounded<0, 23>> = "none";
    }
}
