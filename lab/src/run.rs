//! A rehearsal: every node of a site boots, installs itself, reboots, and comes up from its disk.

use std::path::PathBuf;
use std::time::Duration;

use faros_common::clock;
use faros_common::site::Node;
use serde::Serialize;

use crate::content;
use crate::error::LabError;
use crate::events::Events;
use crate::firmware::Firmware;
use crate::journey::{Journey, table};
use crate::lab::Lab;
use crate::light::LightNode;
use crate::platform;
use crate::rootless;
use crate::show::Show;
use crate::site;
use crate::vm::{self, Console, Vm};

/// How to rehearse.
#[derive(Clone, Debug)]
pub struct LabOptions {
    /// The site file.
    pub site: PathBuf,
    /// Light nodes even where virtual machines could run.
    pub light: bool,
    /// Only these nodes; empty: all.
    pub nodes: Vec<String>,
    /// This firmware for all nodes; without it the names decide, or each kind in turn.
    pub firmware: Option<Firmware>,
    /// Virtual machines at the same time; light nodes all start at once.
    pub jobs: usize,
    /// How long a node may make no progress; by default [`VM_STALL`] and [`LIGHT_STALL`].
    pub stall: Option<Duration>,
    /// Leave the lab's directory (site file, logs, consoles, states) in place.
    pub keep: bool,
    /// When all nodes are done, leave the site standing until Ctrl-C: for asking its daemons and arming its
    /// nodes again.
    pub stay: bool,
    /// Record the LAN into this file (pcap).
    pub capture: Option<PathBuf>,
    /// Show nothing while it runs.
    pub quiet: bool,
}

/// How long a virtual machine may make no progress: translated firmware on a busy host takes its time.
pub const VM_STALL: Duration = Duration::from_secs(240);

/// How long a light node may make no progress.
pub const LIGHT_STALL: Duration = Duration::from_secs(30);

/// How many virtual machines run at the same time unless told otherwise.
pub const JOBS: usize = 2;

impl LabOptions {
    /// A rehearsal of the site file at `site`, with all defaults.
    pub fn new(site: PathBuf) -> Self {
        Self {
            site,
            light: false,
            nodes: Vec::new(),
            firmware: None,
            jobs: JOBS,
            stall: None,
            keep: false,
            stay: false,
            capture: None,
            quiet: false,
        }
    }
}

/// What a rehearsal showed.
#[derive(Clone, Debug, Serialize)]
pub struct LabReport {
    /// Whether every node went the whole way with one address.
    pub ok: bool,
    /// The nodes in the order of the site file.
    pub nodes: Vec<Journey>,
    /// What was different from what was asked for, and why.
    pub notes: Vec<String>,
    /// How long everything took, in seconds.
    pub secs: f64,
    /// The lab's directory, where it was kept.
    pub kept: Option<PathBuf>,
}

impl LabReport {
    /// The report for people: a line per node, stalls explained, notes.
    pub fn table(&self) -> String {
        let mut text = table(&self.nodes);
        for note in &self.notes {
            text.push_str(&format!("note: {note}\n"));
        }
        if let Some(kept) = &self.kept {
            text.push_str(&format!("kept: {}\n", kept.display()));
        }
        let through = self.nodes.iter().filter(|node| node.complete()).count();
        text.push_str(&format!(
            "{through} of {} nodes got through in {:.1} s\n",
            self.nodes.len(),
            self.secs
        ));
        text
    }
}

/// Rehearses a site. While it runs, it shows each node's way on standard error: a live table on a
/// terminal, a line per stage elsewhere. Everything is taken down before it returns, also after Ctrl-C.
///
/// For an ordinary user it starts this program anew in a user namespace of its own.
///
/// # Errors
/// The lab could not be built or was interrupted. A node that does not get through is no error: see
/// [`LabReport::ok`].
pub fn run(options: &LabOptions) -> Result<LabReport, LabError> {
    rootless::enter_user_namespace()?;
    platform::watch_for_interrupts();
    let began = clock::now();
    let mut show = Show::new(options.quiet);
    let mut notes = Vec::new();

    let mut played = site::read(&options.site)?;
    site::rehearsed(&mut played);
    let mut lab = Lab::from_table(played)?;
    if options.keep {
        lab.keep();
    }
    if rootless::is_alone() {
        notes.push("the daemons run without their sandbox: this user namespace has a single user".to_owned());
    }
    let light = options.light || must_be_light(&mut notes);
    let nodes = chosen(&lab, options)?;
    place_content(&lab, light, &nodes, &mut notes, &mut show)?;
    show.say(&format!("starting the daemons of {}", options.site.display()));
    let capture = |file: &PathBuf| lab.capture(lab.bastion(), &lab.site().lan.interface, "", file);
    let _capture = options.capture.as_ref().map(capture).transpose()?;
    lab.start_daemons()?;

    let events = lab.events()?;
    let journeys = nodes
        .iter()
        .map(|(node, firmware)| {
            let journey = Journey::new(node.name.clone(), Lab::mac_of(node), *firmware, light);
            if light && lab.serves_api(node) { journey.up_to_the_api() } else { journey }
        })
        .collect();
    let mut rehearsal =
        Rehearsal { lab: &lab, options, light, nodes, journeys, machines: Vec::new(), next: 0 };
    let outcome = rehearsal.play(&events, &mut show);
    let nodes = rehearsal.journeys;
    show.end();
    outcome?;
    let secs = clock::now().saturating_duration_since(began).as_secs_f64();
    let ok = nodes.iter().all(Journey::complete);
    if options.stay {
        stand(&lab, &table(&nodes), &mut show);
    }
    Ok(LabReport { ok, nodes, notes, secs, kept: options.keep.then(|| lab.dir().to_owned()) })
}

/// Leaves the site standing until somebody interrupts, saying how to talk to it.
fn stand(lab: &Lab, so_far: &str, show: &mut Show) {
    show.say(so_far.trim_end());
    show.say(&format!(
        "the site stands until Ctrl-C; ask it with: farosctl --site {} --run-dir {} status",
        lab.site_file().display(),
        lab.run_dir().display()
    ));
    while !platform::interrupted() {
        std::thread::sleep(LOOK);
    }
}

fn must_be_light(notes: &mut Vec<String>) -> bool {
    let obstacles = vm::obstacles();
    if obstacles.is_empty() {
        return false;
    }
    notes.push(format!("light nodes instead of virtual machines: {}", obstacles.join(", ")));
    true
}

fn chosen(lab: &Lab, options: &LabOptions) -> Result<Vec<(Node, Firmware)>, LabError> {
    let all = &lab.site().nodes;
    if let Some(unknown) = options.nodes.iter().find(|name| all.iter().all(|node| &node.name != *name)) {
        let known: Vec<_> = all.iter().map(|node| node.name.as_str()).collect();
        return Err(LabError::Unplayable(format!(
            "the site has no node {unknown}; its nodes: {}",
            known.join(", ")
        )));
    }
    let wanted = |node: &&Node| options.nodes.is_empty() || options.nodes.contains(&node.name);
    let nodes: Vec<_> = all
        .iter()
        .filter(wanted)
        .enumerate()
        .map(|(index, node)| {
            let firmware = options.firmware.unwrap_or_else(|| Firmware::for_node(&node.name, index));
            (node.clone(), firmware)
        })
        .collect();
    if nodes.is_empty() {
        return Err(LabError::Unplayable("the site has no [[node]] that could boot".to_owned()));
    }
    Ok(nodes)
}

fn place_content(
    lab: &Lab,
    light: bool,
    nodes: &[(Node, Firmware)],
    notes: &mut Vec<String>,
    show: &mut Show,
) -> Result<(), LabError> {
    let root = lab.boot_root();
    if light {
        for name in content::place_missing_loaders(&root)? {
            notes.push(format!("{name} is a stand-in: the package ipxe is not installed"));
        }
    } else if let Some(name) =
        nodes.iter().find_map(|(_, firmware)| content::missing_loader(&root, *firmware))
    {
        return Err(LabError::Missing(format!(
            "the boot loader {name} is missing; install the package ipxe, or use light nodes (--light)"
        )));
    }
    lab.furnish(light, &mut |text| show.say(text))
}

enum Machine {
    Virtual(Vm),
    Light(LightNode),
}

impl Machine {
    fn console(&self) -> &Console {
        match self {
            Self::Virtual(vm) => vm.console(),
            Self::Light(node) => node.console(),
        }
    }

    /// A machine that is off says nothing more.
    fn is_off(&mut self) -> bool {
        match self {
            Self::Virtual(vm) => vm.process().ended().is_some(),
            Self::Light(_) => false,
        }
    }

    fn last_words(&mut self) -> String {
        match self {
            Self::Virtual(vm) if vm.console().tail(1).is_empty() => vm.process().log_tail(3),
            machine => machine.console().tail(3),
        }
    }
}

struct Rehearsal<'a> {
    lab: &'a Lab,
    options: &'a LabOptions,
    light: bool,
    nodes: Vec<(Node, Firmware)>,
    journeys: Vec<Journey>,
    /// The machines that are on, with the index of their node.
    machines: Vec<(usize, Machine)>,
    next: usize,
}

/// How long the lab waits for the next event before it looks at the consoles.
const LOOK: Duration = Duration::from_millis(20);

/// How long a machine that went off may still have words on the way.
const LAST_WORDS: Duration = Duration::from_millis(300);

impl Rehearsal<'_> {
    fn play(&mut self, events: &Events, show: &mut Show) -> Result<(), LabError> {
        let stall = self.options.stall.unwrap_or(if self.light { LIGHT_STALL } else { VM_STALL });
        loop {
            if platform::interrupted() {
                return Err(LabError::Interrupted);
            }
            self.power_on()?;
            if self.machines.is_empty() {
                return Ok(());
            }
            // The daemons' word first: what a machine says is a consequence of it.
            let mut wait = LOOK;
            while let Some(event) = events.next(wait) {
                wait = Duration::ZERO;
                for journey in &mut self.journeys {
                    if let Some(stage) = journey.on_event(&event) {
                        show.stage(journey, stage);
                    }
                }
            }
            self.listen(stall, show);
            self.machines.retain(|(index, _)| {
                let journey = &self.journeys[*index];
                journey.next_stage().is_some() && journey.stall.is_none()
            });
            show.refresh(&self.journeys);
        }
    }

    fn power_on(&mut self) -> Result<(), LabError> {
        let at_once = if self.light { usize::MAX } else { self.options.jobs.max(1) };
        while self.next < self.nodes.len() && self.machines.len() < at_once {
            let index = self.next;
            self.next += 1;
            let (node, firmware) = &self.nodes[index];
            self.journeys[index].on_power(clock::now());
            let machine = if self.light {
                Machine::Light(LightNode::start(self.lab, node, *firmware)?)
            } else {
                Machine::Virtual(self.lab.boot_vm(node, *firmware)?)
            };
            self.machines.push((index, machine));
        }
        Ok(())
    }

    fn listen(&mut self, stall: Duration, show: &mut Show) {
        for (index, machine) in &mut self.machines {
            let journey = &mut self.journeys[*index];
            // Looked at before the console: what it said last is read below all the same.
            let off = machine.is_off();
            let mut wait = if off { LAST_WORDS } else { Duration::ZERO };
            while let Some(line) = machine.console().next(wait) {
                wait = wait.min(LOOK);
                if let Some(stage) = journey.on_line(&line) {
                    show.stage(journey, stage);
                }
            }
            if off && journey.next_stage().is_some() {
                journey.stop(format!("the machine went off; its last words: {}", machine.last_words()));
            }
            if journey.stall.is_none() && journey.next_stage().is_some() {
                let words = machine.last_words();
                journey.on_time(clock::now(), stall, &words);
            }
            if journey.stall.is_some() {
                show.stall(journey);
            }
        }
    }
}
