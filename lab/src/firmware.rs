//! The kinds of firmware that the lab's nodes have.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// How a machine's firmware boots from the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Firmware {
    /// PC BIOS with a PXE ROM: client architecture 0 (RFC 4578 section 2.1).
    Bios,
    /// UEFI with its own PXE client: architecture 7.
    UefiPxe,
    /// UEFI HTTP boot: architecture 16.
    UefiHttp,
}

impl Firmware {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Bios, Self::UefiPxe, Self::UefiHttp];

    /// The client architecture that it sends in option 93.
    pub fn architecture(self) -> u16 {
        match self {
            Self::Bios => 0,
            Self::UefiPxe => 7,
            Self::UefiHttp => 16,
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bios => "bios",
            Self::UefiPxe => "uefi-pxe",
            Self::UefiHttp => "uefi-http",
        }
    }

    /// The kind for the `index`th node called `node`: the kind whose name the node's name begins with,
    /// otherwise each kind in turn.
    pub fn for_node(node: &str, index: usize) -> Self {
        let named = Self::ALL.into_iter().find(|kind| node.starts_with(kind.name()));
        named.unwrap_or(Self::ALL[index % Self::ALL.len()])
    }
}

impl fmt::Display for Firmware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Firmware {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == text)
            .ok_or_else(|| format!("{text} is no firmware: it is bios, uefi-pxe or uefi-http"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_telling_name_decides_otherwise_the_turn() {
        assert_eq!(Firmware::for_node("uefi-http-2", 0), Firmware::UefiHttp);
        assert_eq!(Firmware::for_node("cp2", 1), Firmware::UefiPxe);
        assert_eq!(Firmware::for_node("cp4", 3), Firmware::Bios);
    }

    #[test]
    fn names_read_back() {
        for kind in Firmware::ALL {
            assert_eq!(kind.name().parse(), Ok(kind));
        }
        assert!("efi".parse::<Firmware>().is_err());
    }
}
