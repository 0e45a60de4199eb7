//! Values that are one of a few words.

use crate::site::read::closest;
use crate::site::{
    Balance, CheckKind, ClusterKind, DnsKeyAlgorithm, GatewayMode, InstallMethod, Plane, ProxyVersion,
    Published, Role, TangAccess, TangPolicy, TangSlotKind, Transport,
};

/// Makes an enum readable from one of a few words.
macro_rules! choices {
    ($($type:ty { $($word:literal $variant:ident)+ })+) => {$(
        impl $crate::site::read::Value for $type {
            fn read(
                input: $crate::site::read::Input<'_>,
                found: &mut $crate::site::read::Findings,
            ) -> Option<Self> {
                const WORDS: &[&str] = &[$($word),+];
                let text = input.text(&format!("one of {}", WORDS.join(", ")), found)?;
                match text {
                    $($word => Some(Self::$variant),)+
                    _ => {
                        let message = format!("{} is none of {}", $crate::site::read::quoted(text), WORDS.join(", "));
                        let finding = found.error(&input.spot, message);
                        if let Some(like) = closest(text, WORDS) {
                            finding.help(format!("did you mean \"{like}\"?"));
                        }
                        None
                    }
                }
            }

            fn shape() -> $crate::site::read::Shape {
                $crate::site::read::Shape::Choice(&[$($word),+])
            }
        }
    )+};
}

choices! {
    ClusterKind { "openshift" Openshift "kubernetes" Kubernetes "none" None }
    GatewayMode { "pat" Pat "nat" Nat "off" Off }
    Published {
        "ssh" Ssh "console" Console "api" Api "ingress" Ingress "dns" Dns "ntp" Ntp "tang" Tang "http" Http
    }
    Transport { "tcp" Tcp "udp" Udp }
    TangPolicy { "open" Open "known-nodes" KnownNodes }
    TangAccess { "allow" Allow "hold" Hold "deny" Deny }
    TangSlotKind { "passphrase" Passphrase "tang" Tang "tpm2" Tpm2 }
    Plane { "auto" Auto "user" User "kernel" Kernel }
    Balance {
        "least-connections" LeastConnections "round-robin" RoundRobin "random-two" RandomTwo "source" Source
    }
    CheckKind { "tcp" Tcp "http" Http "https" Https }
    ProxyVersion { "v1" V1 "v2" V2 }
    DnsKeyAlgorithm {
        "hmac-sha1" HmacSha1 "hmac-sha224" HmacSha224 "hmac-sha256" HmacSha256 "hmac-sha384" HmacSha384
        "hmac-sha512" HmacSha512
    }
    InstallMethod { "agent" Agent "upi" Upi }
    Role { "bootstrap" Bootstrap "control-plane" ControlPlane "worker" Worker "other" Other }
}
