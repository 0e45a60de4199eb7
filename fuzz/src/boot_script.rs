//! Boot scripts: nothing that a client or the site file says becomes a command of the loader.

use std::net::IpAddr;
use std::sync::OnceLock;

use faros_ignition_http::Config;
use faros_ignition_http::protocol::identity::{Claim, Uuid};
use faros_ignition_http::protocol::script::{Install, Loader, Script, render, unquotable};
use faros_ignition_http::protocol::target::Query;
use faros_ignition_http::service::again;

use crate::Target;
use crate::input::Input;
use crate::site::site;

/// Feeds [`render`], by queries, kernel arguments and texts for the console.
pub const TARGET: Target = Target { name: "boot_script", run, seeds, memory: (64 * 1024, 128) };

/// What a line of an iPXE script may begin with.
const IPXE_COMMANDS: [&str; 14] = [
    "#!ipxe",
    "",
    "echo",
    "imgfree",
    "kernel",
    "initrd",
    "boot",
    ":again",
    "sleep",
    "chain",
    "iseq",
    "sanboot",
    "exit",
    ":firmware",
];

/// What a line of a GRUB script may begin with.
const GRUB_COMMANDS: [&str; 11] =
    ["set", "echo", "if", "elif", "fi", "initrd", "boot", "sleep", "configfile", "reboot", "exit"];

fn config() -> &'static Config {
    static CONFIG: OnceLock<Config> = OnceLock::new();
    CONFIG.get_or_init(|| Config::of(site()).unwrap_or_else(|_| panic!("the site serves HTTP")))
}

fn run(data: &[u8]) {
    let _ = config();
    let mut input = Input::new(data);
    let loader = if input.flag() { Loader::Ipxe } else { Loader::Grub };
    let kind = input.below(5);
    let peer = IpAddr::from([192, 168, 8, 128 + input.below(16)]);
    let query = std::str::from_utf8(input.short()).unwrap_or_default();
    let text = |input: &mut Input<'_>| String::from_utf8_lossy(input.short()).into_owned();

    let query = Query::parse(Some(query));
    let claim = Claim {
        mac: query.value("mac").and_then(|mac| mac.parse().ok()),
        uuid: query.value("uuid").and_then(Uuid::parse),
        peer,
        neighbour: None,
        local: false,
    };
    let url = again(config(), loader, claim);
    assert!(url.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":/.?=&-".contains(&byte)), "{url}");

    let script = match kind {
        0 => Script::Unknown { mac: claim.mac, address: peer },
        1 => Script::Disk { who: text(&mut input), why: text(&mut input) },
        2 => Script::Wait { who: text(&mut input), why: text(&mut input) },
        _ => Script::Install(Install {
            node: text(&mut input),
            profile: text(&mut input),
            http: config().base_url.clone(),
            tftp: config().tftp.filter(|_| kind == 3),
            kernel: "rhcos/kernel".to_owned(),
            initrds: vec!["rhcos/initramfs.img".to_owned(), "rhcos/extra 1.img".to_owned()],
            args: String::from_utf8_lossy(input.rest()).into_owned(),
        }),
    };
    if let Script::Install(install) = &script
        && !unquotable(loader, &install.args).is_empty()
    {
        // The site file with these arguments is refused, or warned of.
        return;
    }
    let rendered = render(loader, &script, &url);
    check_lines(loader, &rendered);
    if let Script::Install(install) = &script {
        let arguments = match loader {
            Loader::Ipxe => ipxe_arguments(&rendered),
            Loader::Grub => grub_arguments(&rendered),
        };
        let expected: Vec<&str> = install.args.split_ascii_whitespace().collect();
        assert_eq!(arguments, expected, "{rendered}");
    } else {
        let boots = rendered.lines().any(|line| line.starts_with("kernel") || line.contains("linux"));
        assert!(!boots || matches!(&script, Script::Disk { .. } | Script::Wait { .. }), "{rendered}");
    }
}

fn check_lines(loader: Loader, script: &str) {
    let commands: &[&str] = match loader {
        Loader::Ipxe => &IPXE_COMMANDS,
        Loader::Grub => &GRUB_COMMANDS,
    };
    for line in script.lines() {
        assert!(!line.contains(char::is_control), "{line:?}");
        let command = line.trim_start().split(' ').next().unwrap_or_default();
        assert!(commands.contains(&command), "{line:?}");
        if command == "echo" && loader == Loader::Ipxe {
            let words = line.split(' ').skip(1);
            assert!(!line.contains("${") && !line.ends_with('\\'), "{line:?}");
            for word in words {
                assert!(!matches!(word, ";" | "&&" | "||") && !word.starts_with('#'), "{line:?}");
            }
        }
        if loader == Loader::Grub && matches!(command, "echo" | "configfile") {
            assert_eq!(grub_words(line).len(), 2, "{line:?}");
        }
    }
}

/// The arguments after the kernel's name and those that name the RAM disks, as iPXE reads the line.
fn ipxe_arguments(script: &str) -> Vec<String> {
    let line = script.lines().find(|line| line.starts_with("kernel ")).expect("it boots a kernel");
    assert!(line.ends_with(" || goto again"), "{line:?}");
    let words = line.split_ascii_whitespace();
    let words = words.take_while(|word| !matches!(*word, ";" | "&&" | "||") && !word.starts_with('#'));
    words.skip(4).map(str::to_owned).collect()
}

fn grub_arguments(script: &str) -> Vec<String> {
    let line = script.lines().find_map(|line| line.strip_prefix("if ")).expect("it boots a kernel");
    let words = grub_words(line);
    assert_eq!(words[0], "linux");
    words.into_iter().skip(2).collect()
}

/// The words of a GRUB command up to its end.
fn grub_words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted, mut started) = (Vec::new(), String::new(), false, false);
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            '\'' => (quoted, started) = (!quoted, true),
            '\\' if !quoted => word.extend(characters.next()),
            ' ' | ';' if !quoted => {
                if std::mem::take(&mut started) {
                    words.push(std::mem::take(&mut word));
                }
                if character == ';' {
                    return words;
                }
            }
            other => {
                assert!(quoted || !"$\"|&<>{}".contains(other), "{line:?} means something to GRUB");
                started = true;
                word.push(other);
            }
        }
    }
    assert!(!quoted, "{line:?} is never closed");
    words.extend(started.then_some(word));
    words
}

fn seeds() -> Vec<Vec<u8>> {
    let seed = |loader: u8, kind: u8, query: &str, texts: [&str; 2], args: &str| {
        let short = |text: &str| [&[text.len() as u8], text.as_bytes()].concat();
        [vec![loader, kind, 0], short(query), short(texts[0]), short(texts[1]), args.into()].concat()
    };
    let query = "mac=52-54-00-00-08-11&uuid=4e420000-0000-4000-8000-000000000011&arch=x86_64";
    let hostile = "mac=52:54:00:00:08:99%0Ashell&uuid=${x}&serial=%27%3b";
    let mut seeds = Vec::new();
    for loader in [0, 1] {
        seeds.push(seed(loader, 0, query, ["", ""], ""));
        seeds.push(seed(loader, 0, hostile, ["", ""], ""));
        seeds.push(seed(loader, 1, query, ["cp1", "it is installed"], ""));
        seeds.push(seed(loader, 2, query, ["a'b", "${x} || shell\nshell ; #"], ""));
        seeds.push(seed(loader, 3, query, ["cp1", "rhcos"], "ds=nocloud;s=http://192.168.8.1/ quiet ---"));
        seeds.push(seed(loader, 4, query, ["cp1", "rhcos"], "a=$b c=d|e x#y ;z"));
    }
    seeds
}
