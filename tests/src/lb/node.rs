//! A node of the cluster, played by nginx: the API with `/readyz`, machine configs, ingress and the router's health.
//!
//! One process, so that SIGSTOP freezes the node as a whole. What it answers is its own name.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use faros_lab::{Lab, Namespace, Process, Signal};
use openssl::asn1::Asn1Time;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::x509::extension::SubjectAlternativeName;
use openssl::x509::{X509, X509NameBuilder};

use super::{program, site};
use crate::eventually;

/// The API.
pub const API: u16 = 6443;
/// Machine configs.
pub const MACHINE_CONFIG: u16 = 22623;
/// Where the router says how it is.
pub const ROUTER_HEALTH: u16 = 1936;

/// A running node; ends when dropped.
pub struct Node {
    process: Option<Process>,
    command: Box<dyn Fn() -> Command + Send>,
    directory: PathBuf,
    log: PathBuf,
}

impl Node {
    /// Starts it in `namespace` and waits until it answers.
    pub fn start(lab: &Lab, namespace: &Namespace, name: &str) -> Self {
        Self::start_with(lab, namespace, name, &Certificate::usual(name))
    }

    /// [`Node::start`] with a certificate of one's own.
    pub fn start_with(lab: &Lab, namespace: &Namespace, name: &str, certificate: &Certificate) -> Self {
        let directory = lab.dir().join("nodes").join(name);
        fs::create_dir_all(directory.join("www")).expect("the lab's directory is ours");
        fs::write(directory.join("certificate.pem"), &certificate.certificate).expect("ours");
        fs::write(directory.join("key.pem"), &certificate.key).expect("ours");
        fs::write(directory.join("nginx.conf"), configuration(&directory, name)).expect("ours");
        let (configuration, place) = (directory.join("nginx.conf"), namespace.name().to_owned());
        let command = move || {
            let mut command = Command::new("ip");
            command.args(["netns", "exec", &place]).arg(program("nginx")).arg("-c").arg(&configuration);
            command
        };
        let log = lab.log_file(&format!("node-{name}"));
        let mut node = Self { process: None, command: Box::new(command), directory, log };
        node.set_ready(true);
        node.set_router_ready(true);
        node.revive();
        let answers = || {
            let address = (site::NODES.iter().find(|node| node.0 == name)).map_or("127.0.0.1", |node| node.2);
            let url = format!("http://{address}:{}/", site::PORT);
            let output = namespace.output("curl", ["-s", "--max-time", "1", &url]).expect("curl starts");
            output.stdout == format!("{name}\n").as_bytes()
        };
        eventually(&format!("{name} answers"), answers);
        node
    }

    /// Whether `/readyz` and `/healthz` say that all is well.
    pub fn set_ready(&self, ready: bool) {
        self.set("readyz", ready);
    }

    /// The same of the ingress router.
    pub fn set_router_ready(&self, ready: bool) {
        self.set("router", ready);
    }

    /// Ends it at once: from now on its ports refuse.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("it is ended");
        }
    }

    /// Starts it again after [`Node::kill`].
    pub fn revive(&mut self) {
        self.process = Some(Process::start(&mut (self.command)(), self.log.clone()).expect("nginx starts"));
    }

    /// Stops it in its tracks: the kernel takes connections, and nobody answers.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on after [`Node::freeze`].
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        self.process.as_ref().expect("it runs").signal(signal);
    }

    fn set(&self, name: &str, well: bool) {
        let path = self.directory.join("www").join(name);
        if well {
            fs::write(path, "ok\n").expect("ours");
        } else {
            let _ = fs::remove_file(path);
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // A frozen process would not hear that it is to end.
        if let Some(process) = &self.process {
            process.signal(Signal::CONT);
            process.signal(Signal::KILL);
        }
    }
}

/// A certificate with its key, PEM.
pub struct Certificate {
    /// The certificate.
    pub certificate: Vec<u8>,
    /// Its key.
    pub key: Vec<u8>,
}

impl Certificate {
    /// Signed by itself, for `name` and the nodes' addresses, good for a day.
    pub fn usual(name: &str) -> Self {
        let day = |days| Asn1Time::days_from_now(days).expect("a time");
        Self::made(name, &day(0), &day(1))
    }

    /// One whose time is over.
    pub fn expired(name: &str) -> Self {
        let at = |text| Asn1Time::from_str_x509(text).expect("a time");
        Self::made(name, &at("20200101000000Z"), &at("20200102000000Z"))
    }

    fn made(name: &str, from: &Asn1Time, until: &Asn1Time) -> Self {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).expect("a curve");
        let key = PKey::from_ec_key(EcKey::generate(&group).expect("randomness")).expect("a key");
        let mut subject = X509NameBuilder::new().expect("memory");
        subject.append_entry_by_nid(Nid::COMMONNAME, name).expect("a name");
        let subject = subject.build();
        let mut builder = X509::builder().expect("memory");
        let serial = openssl::bn::BigNum::from_u32(1).and_then(|number| number.to_asn1_integer()).expect("1");
        builder.set_version(2).expect("version 3");
        builder.set_serial_number(&serial).expect("a number");
        builder.set_subject_name(&subject).expect("a name");
        builder.set_issuer_name(&subject).expect("a name");
        builder.set_pubkey(&key).expect("a key");
        builder.set_not_before(from).expect("a time");
        builder.set_not_after(until).expect("a time");
        let mut names = SubjectAlternativeName::new();
        names.dns(name);
        for (_, _, address) in site::NODES {
            names.ip(address);
        }
        let names = names.build(&builder.x509v3_context(None, None)).expect("names");
        builder.append_extension(names).expect("an extension");
        builder.sign(&key, MessageDigest::sha256()).expect("a signature");
        let certificate = builder.build().to_pem().expect("PEM");
        Self { certificate, key: key.private_key_to_pem_pkcs8().expect("PEM") }
    }
}

fn configuration(directory: &Path, name: &str) -> String {
    let at = |file: &str| directory.join(file).display().to_string();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|what| format!("  {what}_temp_path {};\n", at(what)))
        .collect();
    let server = |port: u16, secure: bool, health: &str, file: &str| {
        let tls = if secure { " ssl" } else { "" };
        format!(
            "  server {{\n    listen {port}{tls} backlog=4096;\n    \
             location = {health} {{ try_files /{file} =500; }}\n    \
             location / {{ return 200 \"{name}\\n\"; }}\n  }}\n"
        )
    };
    let servers = [
        server(API, true, "/readyz", "readyz"),
        server(MACHINE_CONFIG, true, "/healthz", "readyz"),
        server(80, false, "/nowhere", "router"),
        server(443, true, "/nowhere", "router"),
        server(ROUTER_HEALTH, false, "/healthz/ready", "router"),
        server(site::PORT, false, "/healthz", "readyz"),
        server(site::CHECK_PORT, false, "/healthz", "readyz"),
    ];
    format!(
        "daemon off;\nmaster_process off;\nuser root;\nworker_rlimit_nofile 20000;\n\
         error_log {} crit;\npid {};\nevents {{ worker_connections 18000; }}\nhttp {{\n  access_log off;\n{temporary}  \
         root {};\n  default_type text/plain;\n  ssl_certificate {};\n  ssl_certificate_key {};\n  \
         client_header_timeout 2h;\n  keepalive_timeout 2h;\n  keepalive_requests 1000000000;\n{}}}\n",
        at("error.log"),
        at("pid"),
        at("www"),
        at("certificate.pem"),
        at("key.pem"),
        servers.concat()
    )
}
