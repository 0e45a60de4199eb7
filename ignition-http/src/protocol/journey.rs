//! How far a node is on its way from being armed to running from its disk.
//!
//! ```text
//!            script          kernel sent      Ignition asked for      {report}, or the machine asks
//!   armed ──────────► loader ──────────► kernel ──────────► ignition ──────────► installed ──► disk
//!     ▲                  └─────────────────────────────────────▲   │   for a script again     │
//!     │                                                            └ never left the bastion:  │
//!     │                                                              back where it was        │
//!     └──────────────────────────────── arm (operator) ◄──────────────────────────────────────┘
//!   held: not armed, and whether it was ever installed is not known or does not matter; left by `arm`
//! ```
//!
//! Two rules decide everything. From `armed` to `ignition` a machine gets the installation, the same one at
//! each retry. From `installed` on, and while held, it gets its local disk, whatever it asks for, until the
//! operator arms it: so no reboot wipes a machine. In doubt the second rule wins.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A time in milliseconds since 1970, as the host's clock had it.
pub type UnixMillis = u64;

/// Where a node is. Ordered along the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Not armed; goes to its disk.
    Held,
    /// The next network boot installs.
    Armed,
    /// Its loader has fetched the installation's script.
    Loader,
    /// It has fetched the kernel.
    Kernel,
    /// It has asked for its Ignition.
    Ignition,
    /// The installation has ended.
    Installed,
    /// It has been sent to its disk since.
    Disk,
}

impl Stage {
    /// The name in status, events and records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Armed => "armed",
            Self::Loader => "loader",
            Self::Kernel => "kernel",
            Self::Ignition => "ignition",
            Self::Installed => "installed",
            Self::Disk => "disk",
        }
    }

    /// Whether a network boot installs the machine.
    pub fn installs(self) -> bool {
        (Self::Armed..=Self::Ignition).contains(&self)
    }
}

/// Who wanted the installation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ArmedBy {
    /// Nobody in particular: the node had never been seen.
    FirstSight,
    /// The operator.
    Operator,
}

/// What of a profile matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Kernel and initial RAM disks, counted together; file 0 is the kernel.
    pub files: u32,
    /// Whether there is an Ignition file for the node's role.
    pub seed: bool,
    /// Whether the new system is given a URL to report to.
    pub report: bool,
}

/// Most files of a plan that are told apart; those beyond count as fetched with the last of them.
pub const FILES_MAX: u32 = 64;

/// What ends an installation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// The new system's report.
    Report,
    /// The first script that is asked for after the Ignition was.
    Ignition,
    /// The first script that is asked for after kernel and RAM disks were all fetched.
    Files,
}

impl Plan {
    /// What ends an installation by this plan.
    pub fn ending(self) -> Ending {
        match (self.report, self.seed) {
            (true, _) => Ending::Report,
            (false, true) => Ending::Ignition,
            (false, false) => Ending::Files,
        }
    }

    fn all_files(self) -> u64 {
        match self.files.min(FILES_MAX) {
            0 => 0,
            files => u64::MAX >> (64 - files),
        }
    }
}

/// What a machine that asks for its script shall do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Boot {
    /// Install.
    Install,
    /// Go on to the local disk.
    Disk(DiskReason),
}

/// Why a machine is sent to its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskReason {
    /// It has no profile: there is nothing to install.
    NoProfile,
    /// It is held.
    Held,
    /// It is installed.
    Installed,
}

impl DiskReason {
    /// The reason as the machine's console and `explain` show it.
    pub fn text(self) -> &'static str {
        match self {
            Self::NoProfile => "it has no profile, so there is nothing to install",
            Self::Held => "it is not armed for installation",
            Self::Installed => "it is installed",
        }
    }
}

/// What a machine that asks for its Ignition gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seed {
    /// The file, once the change is on disk; [`Journey::on_seed_sent`] or [`Journey::on_seed_lost`] follow
    /// with this number.
    Serve(Arming),
    /// Nothing any more: it is installed.
    Gone,
    /// Nothing: it is held.
    Held,
}

/// Tells one arming of a node from the next, so that a late end of a transfer is not counted for another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Arming(u64);

/// What a report did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reported {
    /// It ended the installation.
    Installed,
    /// The node was installed already: a repeated report.
    Already,
    /// The operator has armed the node, and it has not booted since: the report is of the system that is
    /// about to be replaced.
    Ignored,
}

/// What has to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// Nothing.
    None,
    /// The node's record, at leisure: losing it changes no answer.
    Eventual,
    /// The node's record, before the answer leaves.
    BeforeAnswer,
}

/// An answer, and what has to be written for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step<T> {
    /// The answer.
    pub answer: T,
    /// What has to be written.
    pub change: Change,
    /// The stage that was reached by it, if a new one.
    pub reached: Option<Stage>,
}

/// Why a node is held that was started without a profile.
pub const WITHOUT_PROFILE: &str = "it went to its disk without a profile; arm it to install it";

/// One node's way. What is serialised is its record in the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Journey {
    stage: Stage,
    armed_by: ArmedBy,
    arming: Arming,
    /// When each stage was reached since the node was armed.
    times: BTreeMap<Stage, UnixMillis>,
    /// Which files of the plan were fetched, by bit.
    fetched: u64,
    /// Scripts served since the node was armed.
    scripts: u32,
    /// The plan that the machine was last told to follow since the node was armed: what ends it ends this
    /// installation, whatever the site file says by now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    follows: Option<Plan>,
    /// Why it is held, for the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    held_because: Option<String>,
    #[serde(skip)]
    delivery: Delivery,
}

/// What became of the Ignition transfers of the present arming.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Delivery {
    under_way: u32,
    /// After a restart nobody knows, so it counts as sent.
    perhaps_sent: bool,
    stage_before: Stage,
}

impl Default for Delivery {
    fn default() -> Self {
        Self { under_way: 0, perhaps_sent: true, stage_before: Stage::Loader }
    }
}

impl Journey {
    /// A node that has never been seen: armed.
    pub fn first_sight(now: UnixMillis) -> Self {
        Self::at(Stage::Armed, ArmedBy::FirstSight, now)
    }

    /// A node of which it is not known whether it was ever installed.
    pub fn held(because: &str, now: UnixMillis) -> Self {
        Self { held_because: Some(because.to_owned()), ..Self::at(Stage::Held, ArmedBy::FirstSight, now) }
    }

    fn at(stage: Stage, armed_by: ArmedBy, now: UnixMillis) -> Self {
        Self {
            stage,
            armed_by,
            arming: Arming::default(),
            times: BTreeMap::from([(stage, now)]),
            fetched: 0,
            scripts: 0,
            follows: None,
            held_because: None,
            delivery: Delivery::default(),
        }
    }

    /// Whether the node is as it was when it was first seen: nobody armed it, and it never booted.
    pub fn is_untouched(&self) -> bool {
        self.stage == Stage::Armed && self.armed_by == ArmedBy::FirstSight
    }

    /// Where the node is.
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// Who armed it last.
    pub fn armed_by(&self) -> ArmedBy {
        self.armed_by
    }

    /// When each stage was reached since it was armed.
    pub fn times(&self) -> &BTreeMap<Stage, UnixMillis> {
        &self.times
    }

    /// Installation scripts served since it was armed.
    pub fn scripts(&self) -> u32 {
        self.scripts
    }

    /// Why it is held.
    pub fn held_because(&self) -> Option<&str> {
        self.held_because.as_deref()
    }

    /// What a request for a script would be answered, changing nothing.
    pub fn boot(&self, plan: Option<Plan>) -> Boot {
        let Some(plan) = plan else { return Boot::Disk(DiskReason::NoProfile) };
        match self.stage {
            Stage::Held => Boot::Disk(DiskReason::Held),
            Stage::Installed | Stage::Disk => Boot::Disk(DiskReason::Installed),
            _ if self.has_ended(plan) => Boot::Disk(DiskReason::Installed),
            _ => Boot::Install,
        }
    }

    /// The machine's loader asks what to do.
    pub fn on_script(&mut self, plan: Option<Plan>, now: UnixMillis) -> Step<Boot> {
        let answer = self.boot(plan);
        match (answer, self.stage) {
            (Boot::Install, stage) => {
                self.follows = plan;
                self.scripts = self.scripts.saturating_add(1);
                let reached = (stage == Stage::Armed).then(|| self.reach(Stage::Loader, now));
                Step { answer, change: Change::Eventual, reached }
            }
            (Boot::Disk(DiskReason::Installed), Stage::Disk) => {
                Step { answer, change: Change::None, reached: None }
            }
            (Boot::Disk(DiskReason::Installed), stage) => {
                let unrecorded_end = stage != Stage::Installed;
                if unrecorded_end {
                    self.reach(Stage::Installed, now);
                }
                let reached = Some(self.reach(Stage::Disk, now));
                let change = if unrecorded_end { Change::BeforeAnswer } else { Change::Eventual };
                Step { answer, change, reached }
            }
            (Boot::Disk(DiskReason::NoProfile), _) if self.is_untouched() => {
                // It started from its disk, so whoever gives it a profile later does not see it first.
                *self = Self { arming: self.arming, ..Self::held(WITHOUT_PROFILE, now) };
                Step { answer, change: Change::BeforeAnswer, reached: Some(Stage::Held) }
            }
            _ => Step { answer, change: Change::None, reached: None },
        }
    }

    /// The machine has fetched file `index` of the plan as a whole.
    pub fn on_file(&mut self, index: u32, now: UnixMillis) -> Step<()> {
        if !(Stage::Loader..=Stage::Ignition).contains(&self.stage) {
            return Step { answer: (), change: Change::None, reached: None };
        }
        let before = self.fetched;
        self.fetched |= 1 << index.min(FILES_MAX - 1);
        let reached = (index == 0 && self.stage == Stage::Loader).then(|| self.reach(Stage::Kernel, now));
        let change =
            if self.fetched == before && reached.is_none() { Change::None } else { Change::Eventual };
        Step { answer: (), change, reached }
    }

    /// What a request for the Ignition would be answered, changing nothing.
    pub fn seed(&self) -> Seed {
        match self.stage {
            Stage::Held => Seed::Held,
            Stage::Installed | Stage::Disk => Seed::Gone,
            _ => Seed::Serve(self.arming),
        }
    }

    /// The machine asks for its Ignition, and may have it.
    pub fn on_seed(&mut self, plan: Option<Plan>, now: UnixMillis) -> Step<Seed> {
        let answer = self.seed();
        if !matches!(answer, Seed::Serve(_)) {
            return Step { answer, change: Change::None, reached: None };
        }
        // A machine that came without our script, from a medium of its own, follows the present plan.
        self.follows = self.follows.or(plan);
        if self.stage < Stage::Ignition {
            self.delivery = Delivery { under_way: 0, perhaps_sent: false, stage_before: self.stage };
        }
        self.delivery.under_way += 1;
        let reached = (self.stage < Stage::Ignition).then(|| self.reach(Stage::Ignition, now));
        // Also a repeated request waits for the disk: the first one's record may still be on its way.
        Step { answer, change: Change::BeforeAnswer, reached }
    }

    /// The Ignition left for the machine, perhaps as a whole.
    pub fn on_seed_sent(&mut self, arming: Arming) -> Step<()> {
        if arming == self.arming {
            self.delivery.under_way = self.delivery.under_way.saturating_sub(1);
            self.delivery.perhaps_sent = true;
        }
        Step { answer: (), change: Change::None, reached: None }
    }

    /// The connection broke before the Ignition had left as a whole: the machine cannot have been installed
    /// with it. Unless it may have got it otherwise, it is back where it was.
    pub fn on_seed_lost(&mut self, arming: Arming) -> Step<()> {
        let nothing = Step { answer: (), change: Change::None, reached: None };
        if arming != self.arming {
            return nothing;
        }
        self.delivery.under_way = self.delivery.under_way.saturating_sub(1);
        if self.stage != Stage::Ignition || self.delivery.under_way > 0 || self.delivery.perhaps_sent {
            return nothing;
        }
        self.stage = self.delivery.stage_before;
        self.times.remove(&Stage::Ignition);
        Step { answer: (), change: Change::Eventual, reached: None }
    }

    /// The new system says that it is installed.
    pub fn on_report(&mut self, now: UnixMillis) -> Step<Reported> {
        let (answer, reached) = match (self.stage, self.armed_by) {
            (Stage::Installed | Stage::Disk, _) => (Reported::Already, None),
            (Stage::Armed, ArmedBy::Operator) => (Reported::Ignored, None),
            _ => (Reported::Installed, Some(self.reach(Stage::Installed, now))),
        };
        let change = if answer == Reported::Ignored { Change::None } else { Change::BeforeAnswer };
        Step { answer, change, reached }
    }

    /// The operator wants the node installed at its next network boot.
    pub fn arm(&mut self, now: UnixMillis) -> Step<()> {
        let arming = Arming(self.arming.0 + 1);
        *self = Self { arming, ..Self::at(Stage::Armed, ArmedBy::Operator, now) };
        Step { answer: (), change: Change::BeforeAnswer, reached: Some(Stage::Armed) }
    }

    /// The operator wants the node to go to its disk. Does nothing to one that goes there anyway.
    pub fn disarm(&mut self, now: UnixMillis) -> Step<()> {
        if !self.stage.installs() {
            return Step { answer: (), change: Change::BeforeAnswer, reached: None };
        }
        let arming = Arming(self.arming.0 + 1);
        *self = Self { arming, ..Self::held("disarmed by the operator", now) };
        Step { answer: (), change: Change::BeforeAnswer, reached: Some(Stage::Held) }
    }

    /// By the plan that the machine follows, or by the present one. A change of the profile must not turn an
    /// installation that has ended into one that has not: that would wipe the machine.
    fn has_ended(&self, present: Plan) -> bool {
        self.has_ended_by(present) || self.follows.is_some_and(|plan| self.has_ended_by(plan))
    }

    fn has_ended_by(&self, plan: Plan) -> bool {
        match plan.ending() {
            Ending::Report => false,
            Ending::Ignition => self.stage == Stage::Ignition,
            Ending::Files => {
                self.stage >= Stage::Kernel && self.fetched & plan.all_files() == plan.all_files()
            }
        }
    }

    fn reach(&mut self, stage: Stage, now: UnixMillis) -> Stage {
        self.stage = stage;
        self.times.insert(stage, now);
        if stage != Stage::Held {
            self.held_because = None;
        }
        stage
    }
}

#[cfg(test)]
#[path = "journey_tests.rs"]
mod tests;
