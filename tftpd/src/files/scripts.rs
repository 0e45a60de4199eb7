//! The scripts that lead a loader from TFTP to the node's own script, which the HTTP server writes.
//!
//! Loaders look for them under fixed names. A file of the same name below the root replaces them.

use bytes::Bytes;
use faros_common::site::Mac;

use crate::config::ScriptServer;
use crate::protocol::name::Name;

/// Under these names iPXE finds its script.
const IPXE_NAMES: [&str; 2] = ["autoexec.ipxe", "boot.ipxe"];

/// In these folders GRUB looks for its configuration, by the way it was built.
const GRUB_FOLDERS: [&str; 9] = [
    "",
    "grub",
    "grub2",
    "boot/grub",
    "boot/grub2",
    "grub/x86_64-efi",
    "grub/arm64-efi",
    "grub/i386-pc",
    "efi/boot",
];

/// The script of that name, if there is one.
pub fn script(name: &Name, server: &ScriptServer) -> Option<Bytes> {
    let path = std::str::from_utf8(name.as_bytes()).ok()?.to_ascii_lowercase();
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", &path));
    if IPXE_NAMES.contains(&file) {
        return Some(ipxe(server).into());
    }
    if !GRUB_FOLDERS.contains(&folder) {
        return None;
    }
    match file.strip_prefix("grub.cfg")? {
        "" => Some(grub(server, "$net_default_mac").into()),
        suffix => {
            let mac: Mac = suffix.strip_prefix("-01-").or_else(|| suffix.strip_prefix('-'))?.parse().ok()?;
            Some(grub(server, &mac.hyphenated()).into())
        }
    }
}

/// iPXE: three tries, then on to the next boot device.
fn ipxe(server: &ScriptServer) -> String {
    let url = format!(
        "{}/boot/ipxe?mac=${{netX/mac:hexhyp}}&uuid=${{uuid}}&serial=${{serial:uristring}}\
         &arch=${{buildarch:uristring}}&platform=${{platform}}",
        server.base_url()
    );
    format!(
        "#!ipxe\n\
         isset ${{netX/ip}} || dhcp ||\n\
         chain --replace {url} ||\n\
         echo No boot script from {base}; trying again\n\
         sleep 2\n\
         chain --replace {url} ||\n\
         sleep 5\n\
         chain --replace {url} ||\n\
         echo No boot script from {base}; is faros-ignition-http running?\n\
         exit 1\n",
        base = server.base_url()
    )
}

/// GRUB: a menu of the node's own, else iPXE, which gets the same by other means, or back to the firmware.
///
/// The server's port in the device's name needs GRUB 2.12 or a distribution's backport, and some builds (the signed
/// one of Debian 12) have no HTTP at all. Under Secure Boot the unsigned iPXE is refused, and the firmware goes on.
fn grub(server: &ScriptServer, mac: &str) -> String {
    let device = server.grub_device();
    format!(
        "# Leads to the boot menu of this machine.\n\
         insmod http\n\
         source \"{device}/boot/grub?mac={mac}\"\n\
         echo \"No boot menu from {device}; trying iPXE\"\n\
         if [ \"$grub_platform\" = efi ]; then\n\
         \x20 if [ \"$grub_cpu\" = arm64 ]; then\n\
         \x20   if chainloader /snponly-arm64.efi; then boot; fi\n\
         \x20 else\n\
         \x20   if chainloader /snponly.efi; then boot; fi\n\
         \x20 fi\n\
         fi\n\
         echo \"No boot menu and no iPXE; is faros-ignition-http running?\"\n\
         sleep 5\n\
         exit 1\n"
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn text(name: &str) -> Option<String> {
        let name = Name::parse(name.as_bytes(), Path::new("/srv")).unwrap();
        script(&name, &ScriptServer("http://192.0.2.1:8080".to_owned()))
            .map(|script| String::from_utf8(script.to_vec()).unwrap())
    }

    #[test]
    fn ipxe_is_led_to_its_script_with_what_it_knows_of_itself() {
        for name in ["autoexec.ipxe", "boot.ipxe", "/EFI/BOOT/AUTOEXEC.IPXE"] {
            let script = text(name).unwrap();
            assert!(script.starts_with("#!ipxe\n"), "{name}");
            assert!(script.contains(
                "chain --replace http://192.0.2.1:8080/boot/ipxe?mac=${netX/mac:hexhyp}&uuid=${uuid}&"
            ));
        }
    }

    #[test]
    fn grub_is_led_to_its_menu_by_the_card_it_booted_from() {
        for name in ["grub.cfg", "grub/grub.cfg", "/boot/grub/grub.cfg", "GRUB\\X86_64-EFI\\GRUB.CFG"] {
            assert!(
                text(name)
                    .unwrap()
                    .contains("source \"(http,192.0.2.1:8080)/boot/grub?mac=$net_default_mac\"")
            );
        }
        for name in ["grub/grub.cfg-01-52-54-00-00-08-11", "grub.cfg-52-54-00-00-08-11"] {
            assert!(text(name).unwrap().contains("?mac=52-54-00-00-08-11\""), "{name}");
        }
    }

    #[test]
    fn a_grub_without_http_goes_on_with_ipxe() {
        let script = text("grub.cfg").unwrap();
        assert!(script.contains("if chainloader /snponly.efi; then boot; fi"), "{script}");
    }

    #[test]
    fn other_names_have_no_script() {
        for name in ["grub/grub.cfg-C0A80811", "etc/grub.cfg", "grub/grub.cfgx", "boot.ipxe.bak", "ipxe"] {
            assert_eq!(text(name), None, "{name}");
        }
    }
}
