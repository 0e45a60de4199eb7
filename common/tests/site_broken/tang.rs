//! Disk unlocking.

use crate::Case;
use crate::From::Minimal;

pub(crate) fn broken() -> Vec<Case> {
    vec![
        (
            Minimal("[tang]\nwindows = [\"mon-fri 06:00-25:00\"] #<\n"),
            "tang.windows[0]",
            "not a valid time of the day",
        ),
        (Minimal("[tang]\nwindows = \"mon-fry 06:00-20:00\" #<\n"), "tang.windows", "no day"),
        (
            Minimal("[tang]\nwindows = \"mon 06:00 - 20:00\" #<\n"),
            "tang.windows",
            "not a valid time of the week",
        ),
        (Minimal("[tang]\nwindows = \"mon 06:00-06:00\" #<\n"), "tang.windows", "ends when it begins"),
        (Minimal("[tang]\nwindows = \"mon 24:00-06:00\" #<\n"), "tang.windows", "begins none"),
        (Minimal("[tang]\nwindows = [] #<\n"), "tang.windows", "no window"),
        (Minimal("[tang]\nrate = -1 #<\n"), "tang.rate", "out of bounds"),
        (Minimal("[tang]\nrotate = \"90m\" #<\n"), "tang.rotate", "out of bounds"),
        (Minimal("[tang]\ntls-listen = \"192.168.8.1:7500\" #<\n"), "tang.tls-listen", "taken by tang"),
        (
            Minimal(
                "[[node]]\nname = \"w1\"\nrole = \"worker\"\nmac = \"52:54:00:00:08:21\"\ntang = \"held\" #<\n",
            ),
            "node[0].tang",
            "none of",
        ),
        (Minimal("[tang]\nsealed = true #<\n"), "tang.sealed", "could ever open"),
        (
            Minimal("[tang]\nsealed = true\nthreshold = 2 #<\n[[tang.slot]]\nkind = \"passphrase\"\n"),
            "tang.threshold",
            "can never be open",
        ),
        (
            Minimal("[tang]\nsealed = true\n[[tang.slot]] #<\nkind = \"tang\"\nurl = \"http://192.0.2.1\"\n"),
            "tang.slot[0].thumbprint",
            "needs the key",
        ),
        (
            Minimal(
                "[tang]\nsealed = true\n[[tang.slot]]\nkind = \"passphrase\"\nurl = \"http://192.0.2.1\" #<\n",
            ),
            "tang.slot[0].url",
            "means nothing",
        ),
        (
            Minimal(
                "[tang]\nsealed = true\n[[tang.slot]]\nkind = \"tang\"\nurl = \"http://192.0.2.1\"\n\
                 thumbprint = \"qgmqJSo6AEEuVQY7zVlklqdTMqY\"\nca = \"/ca.crt\" #<\n",
            ),
            "tang.slot[0].ca",
            "without encryption",
        ),
        (
            Minimal("[tang]\nsealed = true\n[[tang.slot]]\nkind = \"passphrase\"\nca = \"/ca.crt\" #<\n"),
            "tang.slot[0].ca",
            "means nothing",
        ),
        (
            Minimal(
                "[tang]\nsealed = true\n[[tang.slot]]\nkind = \"tang\"\nurl = \"http://192.168.8.1:7500\" #<\n\
                 thumbprint = \"qgmqJSo6AEEuVQY7zVlklqdTMqY\"\n",
            ),
            "tang.slot[0].url",
            "with themselves",
        ),
        (
            Minimal(
                "[tang]\nsealed = true\n[[tang.slot]]\nkind = \"tang\"\nurl = \"http://192.0.2.1\"\n\
                 thumbprint = \"short\" #<\n",
            ),
            "tang.slot[0].thumbprint",
            "not a valid thumbprint",
        ),
    ]
}

pub(crate) fn doubtful() -> Vec<Case> {
    vec![
        (
            Minimal(
                "[[node]]\nname = \"w1\"\nrole = \"worker\"\nmac = \"52:54:00:00:08:21\"\ntang = \"hold\" #<\n",
            ),
            "node[0].tang",
            "from any other address",
        ),
        (
            Minimal("[tang]\n[[tang.slot]] #<\nkind = \"passphrase\"\n"),
            "tang.slot",
            "while the keys are not sealed",
        ),
        (
            Minimal("[tang]\nsealed = true\n[[tang.slot]] #<\nkind = \"tpm2\"\n"),
            "tang.slot[0]",
            "whoever takes the whole host",
        ),
        (Minimal("[tang]\ncertificate = \"/a\" #<\n"), "tang.certificate", "certificate-key is not set"),
    ]
}
