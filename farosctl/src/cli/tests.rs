//! The command line as it is typed.

use clap::CommandFactory;

use super::*;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(std::iter::once("farosctl").chain(line.split_whitespace()))
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn global_flags_stand_anywhere() {
    for line in [
        "-o json --site a.toml node list",
        "node list -o json --site a.toml",
        "node -o json list --site=a.toml",
    ] {
        let cli = parse(line).unwrap();
        assert_eq!(cli.global.output, Format::Json);
        assert_eq!(cli.global.site, PathBuf::from("a.toml"));
        assert!(matches!(cli.command, Command::Node(NodeCommand::List)));
    }
}

#[test]
fn every_documented_command_parses() {
    for line in [
        "check",
        "check ../shared/site.toml",
        "site schema",
        "site reference",
        "site show",
        "site names",
        "status",
        "events",
        "events -f --node cp1 --daemon dhcpd --daemon tftpd --event lease_granted -n 5 --since 10m",
        "leases",
        "lease list",
        "lease show 192.168.8.11",
        "lease release 192.168.8.130",
        "explain cp1",
        "node list",
        "node show cp1",
        "node install cp1 --yes",
        "node install cp1 cp2",
        "node disarm cp1",
        "boot loaders",
        "boot loaders list",
        "boot loaders import /tmp --force",
        "boot script cp1",
        "boot unknown",
        "reload",
        "reload dhcpd tftpd",
        "wait --for=installed cp1 --timeout 30m",
        "wait --for up",
        "lab --light --nodes a,b --keep --firmware bios --jobs 1 --stall 1m -q",
        "completions bash",
        "dns query cp1",
        "dns query cp1.edge.example.com. AAAA --client 192.168.8.11",
        "dns query 192.168.8.11 --server 127.0.0.1:5353",
        "tang show-keys",
        "tang show-keys --keys /var/lib/faros/tang",
        "tang rotate",
        "tang audit -n 100",
        "tang audit --file /var/lib/faros/tangd/audit",
        "tang waiting",
        "tang approve cp1 cp2 --for 30m",
        "tang approve --all",
        "tang lock cp1 --reason stolen",
        "tang lock --all",
        "tang unlock cp1",
        "tang unlock --all",
        "tang butane",
        "tang butane cp1 --tpm --tang http://tang.example.com#t --threshold 2 --fips --layout aarch64",
        "tang butane --role worker --variant openshift --device /dev/sdb --keys /tmp",
        "tang seal --threshold 2 --passphrase-file /tmp/a --passphrase-file -",
        "tang unseal",
        "tang unseal --passphrase-file -",
        "tang slots list --keys /tmp",
        "tang slots add passphrase --name night-shift",
        "tang slots add tang http://hq.example.com:7500 THUMBPRINT --ca /tmp/ca.pem",
        "tang slots add tpm2 --pcr 0 --pcr 7 --tcti device:/dev/tpmrm0",
        "tang slots remove tang",
        "tang backup /tmp/backup --backup-passphrase-file /tmp/words",
        "tang restore /tmp/backup --clear --keys /tmp",
        "lb status",
        "lb status api",
        "lb drain cp1 --within 30s --timeout 1m",
        "lb drain cp1 --frontend api --no-wait",
        "lb enable cp1",
        "lb maintenance cp1",
        "lb add api cp4 192.168.8.14:6443 --weight 2 --backup --persist",
        "lb remove cp4 --persist --cut",
        "lb retire --frontend api",
        "lb recall",
        "lb import /etc/haproxy/haproxy.cfg --resolve --all",
        "lb import -",
        "render",
        "render zone",
        "render zone edge.example.com --out /tmp",
        "render --out /tmp zone",
        "ca init",
        "ca init --dir /tmp/tls",
        "ca show",
        "ca issue dnsd --san dns.example.com --san 192.0.2.1 --days 90",
        "ca renew",
        "ca renew dnsd console",
        "version",
    ] {
        parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
}

#[test]
fn nonsense_is_a_usage_error() {
    for line in [
        "",
        "chekc",
        "node install",
        "node instal cp1",
        "wait cp1",
        "wait --for=lunch cp1",
        "events -n many",
        "lease show",
        "-o xml status",
        "boot loaders import",
        "dns query",
        "dns query a A --client b",
        "dns query a A --client 192.0.2.1 --server 192.0.2.2",
        "lb drain",
        "lb drain cp1 --within ever",
        "lb add api cp4 192.168.8.14",
        "lb add api cp4 192.168.8.14:6443 --weight 257",
        "lb import",
        "tang approve",
        "tang approve cp1 --all",
        "tang approve cp1 --for ever",
        "tang lock",
        "tang slots",
        "tang slots add tang http://hq.example.com",
        "tang slots remove",
        "tang backup",
        "tang seal --threshold many",
        "tang butane cp1 --role worker",
        "tang butane --role bootstrap",
        "render zoo",
        "ca issue",
        "ca issue dnsd --days 0",
        "ca issue dnsd --days 826",
        "wait --for=disk cp1 --timeout soon",
    ] {
        assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
    }
}

#[test]
fn a_misspelt_command_gets_a_suggestion() {
    assert!(parse("chekc").unwrap_err().to_string().contains("check"));
}
