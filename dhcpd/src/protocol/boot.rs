//! Which boot file a client gets: by what is asking (iPXE, PXE firmware, UEFI HTTP boot) and by its
//! architectures (option 93).

use std::net::Ipv4Addr;

use super::message::Hardware;
use super::request::Request;
use crate::config::BootServers;
use crate::uuid::Uuid;

/// What kind of thing is asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// An operating system, or anything else that does not boot from the network.
    System,
    /// PXE firmware that reads a loader over TFTP.
    Pxe,
    /// UEFI firmware that reads a loader over HTTP.
    HttpBoot,
    /// iPXE, which reads its script over HTTP.
    Ipxe,
}

/// The processor and firmware of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Platform {
    /// BIOS on x86.
    Bios,
    /// UEFI on x86-64.
    UefiX64,
    /// UEFI on arm64.
    UefiArm64,
}

impl Platform {
    /// The platform of a processor architecture type (IANA registry of RFC 4578 and RFC 5970), where there
    /// is a loader for it, and whether the type stands for booting over HTTP.
    pub fn of_architecture(architecture: u16) -> Option<(Self, bool)> {
        match architecture {
            0 => Some((Self::Bios, false)),
            7 | 9 => Some((Self::UefiX64, false)),
            11 => Some((Self::UefiArm64, false)),
            16 => Some((Self::UefiX64, true)),
            19 => Some((Self::UefiArm64, true)),
            20 => Some((Self::Bios, true)),
            _ => None,
        }
    }

    /// The loader that runs on the firmware's own network driver.
    pub fn loader(self) -> &'static str {
        match self {
            Self::Bios => "undionly.kpxe",
            Self::UefiX64 => "snponly.efi",
            Self::UefiArm64 => "snponly-arm64.efi",
        }
    }

    /// The loader that brings network drivers of its own: what is left to try where the first one returns
    /// to the firmware again and again.
    pub fn loader_with_drivers(self) -> &'static str {
        match self {
            Self::Bios => "ipxe.pxe",
            Self::UefiX64 => "ipxe.efi",
            Self::UefiArm64 => "ipxe-arm64.efi",
        }
    }
}

/// What the chain-loop breaker says about a client (see [`super::chain`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chain {
    /// Nothing unusual.
    Sound,
    /// The same loader was handed out too often in a short time.
    Looping,
}

/// The answer to "what do I boot".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Boot {
    /// What is asking.
    pub stage: Stage,
    /// The boot file: a name below the TFTP root, or a URL.
    pub file: Option<String>,
    /// The loader that would be named while nothing loops; what the chain-loop breaker counts.
    pub usual: Option<String>,
    /// The server of the file.
    pub server: Option<Ipv4Addr>,
    /// Which rule decided, for people.
    pub rule: String,
}

/// Decides what `request` boots. `uuid` and `hardware` go into the script's URL.
pub fn decide(
    request: &Request<'_>,
    servers: &BootServers,
    hardware: Hardware,
    uuid: Option<Uuid>,
    chain: Chain,
) -> Boot {
    let class = request.vendor_class().unwrap_or_default();
    let architectures = stated_architectures(request, &class);
    let none = |stage, rule: String| Boot { stage, file: None, usual: None, server: None, rule };

    let disguised = chain == Chain::Looping && request.asks_like_ipxe();
    if request.is_ipxe() || disguised {
        let Some((server, port)) = servers.http else {
            return none(Stage::Ipxe, "iPXE is asking, but no HTTP server is configured".into());
        };
        let url = script_url(server, port, hardware, uuid);
        let how =
            if disguised { "asks for what only iPXE asks for" } else { "says it is iPXE (option 175 or 77)" };
        return Boot {
            stage: Stage::Ipxe,
            usual: Some(url.clone()),
            file: Some(url),
            server: Some(server),
            rule: format!("the client {how}: it gets the URL of its boot script"),
        };
    }

    let http_class = class.starts_with("HTTPClient");
    let pxe_class = class.starts_with("PXEClient");
    let known: Vec<(Platform, bool)> =
        architectures.iter().filter_map(|&architecture| Platform::of_architecture(architecture)).collect();
    if !http_class && !pxe_class && architectures.is_empty() {
        return none(Stage::System, "not a network boot: neither option 60 nor option 93 says so".into());
    }
    let wants_http = http_class || (!pxe_class && known.first().is_some_and(|&(_, http)| http));
    let stage = if wants_http { Stage::HttpBoot } else { Stage::Pxe };
    let chosen = known.iter().find(|&&(_, http)| http == wants_http).or(known.first());
    let Some(&(platform, _)) = chosen else {
        return none(stage, format!("no loader exists for architecture {architectures:?} (option 93)"));
    };

    let (loader, why) = match chain {
        Chain::Sound => (platform.loader(), "its loader"),
        Chain::Looping => (
            platform.loader_with_drivers(),
            "the loader with drivers of its own, because the usual one returns",
        ),
    };
    if wants_http {
        let Some((server, port)) = servers.http else {
            return none(stage, "UEFI HTTP boot, but no HTTP server is configured".into());
        };
        let url = |name: &str| format!("http://{server}:{port}/loaders/{name}");
        return Boot {
            stage,
            usual: Some(url(platform.loader())),
            file: Some(url(loader)),
            server: Some(server),
            rule: format!("UEFI HTTP boot on {platform:?}, option 93 = {architectures:?}: {why} over HTTP"),
        };
    }
    let Some(server) = servers.tftp else {
        return none(stage, "PXE firmware is asking, but no TFTP server is configured".into());
    };
    Boot {
        stage,
        usual: Some(platform.loader().to_owned()),
        file: Some(loader.to_owned()),
        server: Some(server),
        rule: format!("PXE firmware on {platform:?}, option 93 = {architectures:?}: {why} over TFTP"),
    }
}

/// Option 93, or the number within option 60 (`PXEClient:Arch:00007:…`), or BIOS for a bare `PXEClient`.
fn stated_architectures(request: &Request<'_>, class: &str) -> Vec<u16> {
    let stated = request.architectures();
    if !stated.is_empty() {
        return stated;
    }
    let mut parts = class.split(':');
    let kind = parts.next().unwrap_or_default();
    match (parts.next(), parts.next().map(str::parse)) {
        (Some("Arch"), Some(Ok(architecture))) => vec![architecture],
        _ if kind == "PXEClient" => vec![0],
        _ => Vec::new(),
    }
}

/// The URL of a machine's boot script, with what is known about it filled in.
fn script_url(server: Ipv4Addr, port: u16, hardware: Hardware, uuid: Option<Uuid>) -> String {
    let mut url = format!("http://{server}:{port}/boot/ipxe");
    let mut separator = '?';
    if let Some(mac) = hardware.mac() {
        url += &format!("{separator}mac={}", mac.hyphenated());
        separator = '&';
    }
    if let Some(uuid) = uuid {
        url += &format!("{separator}uuid={uuid}");
    }
    url
}

#[cfg(test)]
mod tests {
    use super::super::options::Options;
    use super::*;

    const SERVER: Ipv4Addr = Ipv4Addr::new(192, 168, 8, 1);

    fn boot_with(area: &[u8], chain: Chain) -> Boot {
        let hardware = Hardware::new(1, &[0x52, 0x54, 0, 0, 8, 0x11]);
        let request = Request::imagined(hardware, Options::frame(area, &[], &[]).unwrap());
        let servers = BootServers { tftp: Some(SERVER), http: Some((SERVER, 8080)) };
        decide(&request, &servers, hardware, request.uuid(), chain)
    }

    fn area(class: &str, architectures: &[u16], more: &[u8]) -> Vec<u8> {
        let mut area = Vec::new();
        if !class.is_empty() {
            area.extend([60, class.len() as u8]);
            area.extend(class.as_bytes());
        }
        if !architectures.is_empty() {
            area.extend([93, 2 * architectures.len() as u8]);
            area.extend(architectures.iter().flat_map(|a| a.to_be_bytes()));
        }
        area.extend(more);
        area
    }

    fn file(class: &str, architectures: &[u16]) -> Option<String> {
        boot_with(&area(class, architectures, &[]), Chain::Sound).file
    }

    #[test]
    fn each_firmware_gets_its_loader() {
        for (class, architectures, expected) in [
            ("PXEClient:Arch:00000:UNDI:002001", &[0][..], "undionly.kpxe"),
            ("PXEClient:Arch:00007:UNDI:003000", &[7], "snponly.efi"),
            ("PXEClient", &[9], "snponly.efi"),
            ("PXEClient", &[11], "snponly-arm64.efi"),
            ("PXEClient", &[6, 7], "snponly.efi"),
            ("PXEClient:Arch:00011:UNDI:003000", &[], "snponly-arm64.efi"),
            ("PXEClient", &[], "undionly.kpxe"),
            ("HTTPClient:Arch:00016:UNDI:003000", &[16], "http://192.168.8.1:8080/loaders/snponly.efi"),
            ("HTTPClient", &[19], "http://192.168.8.1:8080/loaders/snponly-arm64.efi"),
            ("HTTPClient", &[7, 16], "http://192.168.8.1:8080/loaders/snponly.efi"),
            ("HTTPClient:Arch:00016", &[], "http://192.168.8.1:8080/loaders/snponly.efi"),
            ("PXEClient", &[16, 7], "snponly.efi"),
            ("", &[7], "snponly.efi"),
        ] {
            assert_eq!(file(class, architectures).as_deref(), Some(expected), "{class} {architectures:?}");
        }
        for (class, architectures) in
            [("", &[][..]), ("udhcp 1.35", &[]), ("PXEClient", &[6]), ("PXEClient", &[99])]
        {
            assert_eq!(file(class, architectures), None, "{class} {architectures:?}");
        }
    }

    #[test]
    fn ipxe_comes_before_class_and_architecture() {
        for more in [&[77, 4, b'i', b'P', b'X', b'E'][..], &[77, 5, 4, b'i', b'P', b'X', b'E'], &[175, 0]] {
            let boot = boot_with(&area("PXEClient:Arch:00007:UNDI:003010", &[7], more), Chain::Sound);
            assert_eq!(boot.stage, Stage::Ipxe);
            assert_eq!(boot.file.as_deref(), Some("http://192.168.8.1:8080/boot/ipxe?mac=52-54-00-00-08-11"));
        }
    }

    #[test]
    fn a_looping_client_gets_another_loader_or_the_script_if_it_is_ipxe_in_disguise() {
        let boot = boot_with(&area("PXEClient", &[7], &[]), Chain::Looping);
        assert_eq!((boot.file.as_deref(), boot.usual.as_deref()), (Some("ipxe.efi"), Some("snponly.efi")));
        let boot = boot_with(&area("PXEClient", &[7], &[55, 2, 1, 175]), Chain::Looping);
        assert_eq!(boot.stage, Stage::Ipxe);
        let boot = boot_with(&area("PXEClient", &[7], &[55, 2, 1, 175]), Chain::Sound);
        assert_eq!(boot.stage, Stage::Pxe);
    }
}
