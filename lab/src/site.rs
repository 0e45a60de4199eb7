//! The site file as the lab plays it.
//!
//! The file is taken as it is, except that its boot trees lie in the lab's own directory, and that a
//! rehearsal ([`crate::run`]) puts the lab's own small system in the place of profiles whose kernel is not
//! the lab's.

use std::path::Path;

use faros_common::site::{self, Site};
use toml::{Table, Value};

use crate::error::LabError;

/// The kernel of the lab's own system, below the boot root. A profile with this kernel is left as it is.
pub const KERNEL: &str = "lab/vmlinuz";

/// The initial RAM disk of the lab's own system.
pub const INITRD: &str = "lab/initrd";

/// The disk image that the lab's own system installs.
pub const IMAGE: &str = "lab/disk.img.gz";

/// The Ignition file of a role, below the boot root.
pub fn ignition_file(role: &str) -> String {
    format!("lab/{role}.ign")
}

/// The roles that have an Ignition file each.
pub const ROLES: [&str; 4] = ["bootstrap", "control-plane", "worker", "other"];

/// The directory of tangd's keys, beside the boot root.
const TANG_KEYS: &str = "tang";

/// What the kernel of the lab's own system is told.
const ARGUMENTS: &str = "console=ttyS0 quiet ignition.firstboot ignition.platform.id=metal \
    ignition.config.url={ignition} faros.report={report} faros.image={http}/lab/disk.img.gz faros.disk=/dev/vda";

/// Proves the site file at `path` and returns it as a table.
pub(crate) fn read(path: &Path) -> Result<Table, LabError> {
    site::load(path).map_err(LabError::Site)?;
    let text = std::fs::read_to_string(path).map_err(LabError::io("read", path))?;
    parse(&text)
}

/// `text` as a table.
pub(crate) fn parse(text: &str) -> Result<Table, LabError> {
    text.parse().map_err(|error| LabError::Unplayable(format!("the site file is not TOML: {error}")))
}

/// Puts the boot trees into the lab's directory, and the keys of disks beside them.
pub(crate) fn relocate(table: &mut Table, boot_root: &Path) {
    if let Some(section) = subtable(table, "tang") {
        let keys = boot_root.with_file_name(TANG_KEYS);
        section.insert("keys".to_owned(), Value::String(keys.display().to_string()));
    }
    for section in ["tftp", "http"] {
        if let Some(section) = subtable(table, section) {
            section.insert("root".to_owned(), Value::String(boot_root.display().to_string()));
        }
    }
}

/// Has every node boot the lab's own system.
pub(crate) fn rehearsed(table: &mut Table) {
    let mut ours = Table::new();
    ours.insert("kernel".to_owned(), KERNEL.into());
    ours.insert("initrd".to_owned(), Value::Array(vec![INITRD.into()]));
    ours.insert("args".to_owned(), ARGUMENTS.into());
    let per_role = ROLES.map(|role| (role.to_owned(), Value::String(ignition_file(role))));
    ours.insert("ignition".to_owned(), Value::Table(per_role.into_iter().collect()));

    let Some(profiles) = subtable(table, "profile") else { return };
    for (_, profile) in profiles.iter_mut() {
        if profile.get("kernel").and_then(Value::as_str) != Some(KERNEL) {
            *profile = Value::Table(ours.clone());
        }
    }
    profiles.entry("lab").or_insert(Value::Table(ours));
    for node in table.get_mut("node").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(node) = node.as_table_mut() {
            node.entry("profile").or_insert("lab".into());
        }
    }
}

/// Writes `table` to `path` and proves it again.
pub(crate) fn write(table: &Table, path: &Path) -> Result<Site, LabError> {
    std::fs::write(path, table.to_string()).map_err(LabError::io("write", path))?;
    Ok(site::load(path).map_err(LabError::Site)?.site)
}

fn subtable<'a>(table: &'a mut Table, name: &str) -> Option<&'a mut Table> {
    table.entry(name).or_insert(Value::Table(Table::new())).as_table_mut()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_trees_move_and_foreign_profiles_give_way() {
        let mut table = parse(
            "version = 1\n[http]\nport = 8081\n[profile.rhcos]\nkernel = \"rhcos/kernel\"\n\
             [profile.own]\nkernel = \"lab/vmlinuz\"\nargs = \"kept\"\n[[node]]\nname = \"a\"\n",
        )
        .unwrap();
        relocate(&mut table, Path::new("/lab/boot"));
        rehearsed(&mut table);
        assert_eq!(table["http"]["root"].as_str(), Some("/lab/boot"));
        assert_eq!(table["http"]["port"].as_integer(), Some(8081));
        assert_eq!(table["tftp"]["root"].as_str(), Some("/lab/boot"));
        assert_eq!(table["tang"]["keys"].as_str(), Some("/lab/tang"));
        assert_eq!(table["profile"]["rhcos"]["kernel"].as_str(), Some(KERNEL));
        assert_eq!(table["profile"]["own"]["args"].as_str(), Some("kept"));
        assert_eq!(table["node"][0]["profile"].as_str(), Some("lab"));
    }
}
