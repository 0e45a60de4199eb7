//! Syntax, keys, types and what is missing.

use crate::Case;
use crate::From::{Minimal, Whole};

pub(crate) fn broken() -> Vec<Case> {
    vec![
        // Syntax.
        (Whole("version = 1\n[cluster #<\n"), "", "not TOML"),
        (Whole("version = 1\nversion = 1 #<\n"), "version", "duplicate key"),
        (Whole("version = 1\n[lan]\nx = @ #<\n"), "", "not TOML"),
        // Keys, types and what is missing.
        (Minimal("[dhcp]\nleas = \"1h\" #<\n"), "dhcp.leas", "unknown key"),
        (Minimal("[dhpc] #<\n"), "dhpc", "unknown key"),
        (
            Minimal(
                "[[node]]\nname = \"a\"\nrole = \"worker\"\nmac = \"52:54:00:00:00:01\"\nbmc = { url = \"ipmi://192.168.8.3\", usr = \"x\", user = \"x\", password = { env = \"X\" } } #<\n",
            ),
            "node[0].bmc.usr",
            "unknown key",
        ),
        (
            Minimal("[[node]] #<\nname = \"a\"\nmac = \"52:54:00:00:00:01\"\n"),
            "node[0].role",
            "needs the key",
        ),
        (
            Whole(
                "version = 2 #<\n[cluster]\nname = \"edge\"\ndomain = \"example.com\"\nkind = \"none\"\n[lan]\ninterface = \"lan0\"\naddress = \"192.168.8.1/24\"\n",
            ),
            "version",
            "version \"2\"",
        ),
        (
            Whole(
                "[cluster]\nname = \"edge\"\ndomain = \"example.com\"\nkind = \"none\"\n[lan]\ninterface = \"lan0\"\naddress = \"192.168.8.1/24\"\n",
            ),
            "version",
            "needs the key",
        ),
        (
            Whole("version = 1\n[cluster]\nname = \"edge\"\ndomain = \"example.com\"\nkind = \"none\"\n"),
            "lan",
            "needs the key",
        ),
        (Minimal("[wan]\ninterface = 5 #<\n"), "wan.interface", "the number 5"),
        (Minimal("[http]\nport = \"8080\" #<\n"), "http.port", "a whole number"),
        (Minimal("[http]\nport = 0 #<\n"), "http.port", "out of bounds"),
        (Minimal("[http]\nport = 65536 #<\n"), "http.port", "out of bounds"),
        (Minimal("[console]\nenable = \"no\" #<\n"), "console.enable", "true or false"),
        (Minimal("[node] #<\nname = \"a\"\n"), "node", "[[node]]"),
        (Minimal("[dhcp]\nignore = \"52:54:00:00:00:99\" #<\n"), "dhcp.ignore", "a list"),
    ]
}
