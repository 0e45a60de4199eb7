//! Sections: which lines belong to which proxy, and what it has from `defaults`.

use std::collections::BTreeMap;

use super::proxy::{Global, Kind, Proxy};
use super::words::Line;
use super::{Findings, quoted};

/// Sections that say nothing of balancing, or something that is not taken over.
const FOREIGN: [&str; 15] = [
    "acme",
    "cache",
    "crt-store",
    "fcgi-app",
    "http-errors",
    "log-forward",
    "log-profile",
    "mailers",
    "peers",
    "program",
    "resolvers",
    "ring",
    "traces",
    "userlist",
    "dynamic-update",
];

/// All front ends, back ends and those that are both, with the defaults filled in.
pub(super) fn proxies(lines: &[Line], found: &mut Findings) -> Vec<Proxy> {
    let mut proxies: Vec<Proxy> = Vec::new();
    let mut defaults = Proxy::default();
    let mut named: BTreeMap<String, Proxy> = BTreeMap::new();
    let mut global = Global::default();
    let mut section = Section::None;
    let settle = |section: Section,
                  defaults: &mut Proxy,
                  named: &mut BTreeMap<String, Proxy>,
                  all: &mut Vec<Proxy>| {
        match section {
            Section::Defaults(proxy) => {
                if !proxy.name.is_empty() {
                    named.insert(proxy.name.clone(), (*proxy).clone());
                }
                *defaults = *proxy;
            }
            Section::Proxy(proxy) => all.push(*proxy),
            Section::None | Section::Global | Section::Foreign => {}
        }
    };
    for line in lines {
        let opened = match line.word(0) {
            "global" => Some(Section::Global),
            "defaults" => {
                let own = if line.word(1) == "from" { "" } else { line.word(1) };
                Some(Section::Defaults(Box::new(Proxy { name: own.to_owned(), ..Proxy::default() })))
            }
            "frontend" | "backend" | "listen" => Some(Section::Proxy(Box::default())),
            word if FOREIGN.contains(&word) => {
                if word != "userlist" && word != "peers" && word != "mailers" {
                    found.note(
                        line.number,
                        format!("the section {word} is not taken over"),
                        "nothing, most likely",
                    );
                }
                Some(Section::Foreign)
            }
            _ => None,
        };
        let Some(opened) = opened else {
            match &mut section {
                Section::Global => global.take(line),
                Section::Defaults(proxy) | Section::Proxy(proxy) => proxy.take(line, found),
                Section::Foreign => {}
                Section::None => found.unsupported(
                    line.number,
                    format!("{} stands in no section", quoted(line.word(0))),
                    "put it below global, defaults, frontend, backend or listen",
                ),
            }
            continue;
        };
        settle(std::mem::replace(&mut section, Section::None), &mut defaults, &mut named, &mut proxies);
        section = match opened {
            Section::Proxy(_) => Section::Proxy(Box::new(proxy(line, &defaults, &named, found))),
            Section::Defaults(own) => {
                let base = inherited(line, &named, found).cloned().unwrap_or_default();
                Section::Defaults(Box::new(Proxy { name: own.name, ..base }))
            }
            other => other,
        };
    }
    settle(section, &mut defaults, &mut named, &mut proxies);
    for proxy in &mut proxies {
        proxy.global = global;
    }
    proxies
}

enum Section {
    None,
    Global,
    Foreign,
    Defaults(Box<Proxy>),
    Proxy(Box<Proxy>),
}

/// A proxy as its first line begins it.
fn proxy(line: &Line, defaults: &Proxy, named: &BTreeMap<String, Proxy>, found: &mut Findings) -> Proxy {
    let base = inherited(line, named, found).unwrap_or(defaults);
    let mut proxy = Proxy {
        kind: match line.word(0) {
            "frontend" => Kind::Frontend,
            "backend" => Kind::Backend,
            _ => Kind::Listen,
        },
        name: line.word(1).to_owned(),
        line: line.number,
        ..base.clone()
    };
    if proxy.name.is_empty() {
        found.unsupported(line.number, format!("a {} without a name", line.word(0)), "name it");
    }
    // An old form: `listen NAME ADDRESS:PORT`.
    if line.words.len() > 2 && line.word(2) != "from" && proxy.kind != Kind::Backend {
        let mut words = vec!["bind".to_owned()];
        words.extend_from_slice(line.rest(2));
        proxy.take(&Line { number: line.number, words }, found);
    }
    proxy
}

/// The defaults that a section asks for by name.
fn inherited<'n>(line: &Line, named: &'n BTreeMap<String, Proxy>, found: &mut Findings) -> Option<&'n Proxy> {
    let from = line.words.iter().position(|word| word == "from").filter(|at| *at > 0)?;
    let name = line.word(from + 1);
    let base = named.get(name);
    if base.is_none() {
        found.unsupported(
            line.number,
            format!("there are no defaults {} above", quoted(name)),
            "name some that are there",
        );
    }
    base
}
