//! The services. Each takes `enable`, `listen` and `external`.

use std::net::IpAddr;
use std::time::Duration;

use crate::site::read::{List, OneOrMany, table};
use crate::site::value::{AbsolutePath, Bounded, Listen, Port};
use crate::site::{DhcpOption, Mac, NtpSource};

table! {
    /// DHCP.
    RawDhcp {
        /// Whether it runs here.
        "enable" enable: optional bool = "true";
        /// Where it listens.
        "listen" listen: optional OneOrMany<Listen> = "port 67 of lan.address";
        /// With `enable = false`: who does it instead.
        "external" external: optional IpAddr;
        /// How long a lease lasts, from one minute to one year.
        "lease" lease: optional Duration = "1h";
        /// Machines that are never answered.
        "ignore" ignore: optional List<Mac> = "none";
        /// Options by number, for every client. A node's own win over them.
        "options" options: optional List<DhcpOption> = "none";
        /// Whether clients that ask for an address of another network are told off (NAK, RFC 2131 section 4.3.2).
        "authoritative" authoritative: optional bool = "true";
        /// Whether IPv6 router advertisements are sent on the LAN, so that firmware does not wait for one.
        "router-advertisements" router_advertisements: optional bool = "true";
    }
}

table! {
    /// TFTP.
    RawTftp {
        /// Whether it runs here.
        "enable" enable: optional bool = "true";
        /// Where it listens.
        "listen" listen: optional OneOrMany<Listen> = "port 69 of lan.address";
        /// With `enable = false`: who does it instead.
        "external" external: optional IpAddr;
        /// The tree it serves, read-only.
        "root" root: optional AbsolutePath = "/var/lib/faros/boot";
    }
}

table! {
    /// Boot scripts, Ignition and files over HTTP.
    RawHttp {
        /// Whether it runs here.
        "enable" enable: optional bool = "true";
        /// Where it listens.
        "listen" listen: optional OneOrMany<Listen> = "`port` of lan.address";
        /// With `enable = false`: who does it instead.
        "external" external: optional IpAddr;
        /// Its port.
        "port" port: optional Port = "8080";
        /// The tree it serves. Ignition files in it are given to their node only.
        "root" root: optional AbsolutePath = "/var/lib/faros/boot";
    }
}

table! {
    /// Time.
    RawNtp {
        /// Whether it runs here.
        "enable" enable: optional bool = "true";
        /// Where it listens.
        "listen" listen: optional OneOrMany<Listen> = "port 123 of the LAN addresses";
        /// With `enable = false`: who does it instead.
        "external" external: optional IpAddr;
        /// Where the time comes from: `nts://HOST`, `ntp://HOST`, `pool://HOST`, or a reference clock.
        "sources" sources: optional List<NtpSource> = "none: the local clock alone";
        /// The stratum served after `local-after` without any source, if the clock can be believed.
        "local-stratum" local_stratum: optional Bounded<1, 15> = "10";
        /// How long without any source before that.
        "local-after" local_after: optional Duration = "1h";
    }
}

table! {
    /// The web console.
    RawConsole {
        /// Whether it runs here.
        "enable" enable: optional bool = "true";
        /// Where it listens.
        "listen" listen: optional OneOrMany<Listen> = "`port` of lan.address";
        /// With `enable = false`: who does it instead.
        "external" external: optional IpAddr;
        /// Its port.
        "port" port: optional Port = "9090";
    }
}
