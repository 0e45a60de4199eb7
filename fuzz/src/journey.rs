//! A node's way from being armed to its disk, with restarts that lose what may be lost.
//!
//! The claim that matters: once a node is installed or held, nothing but the operator's word makes it install.

use faros_ignition_http::protocol::journey::{
    Arming, Boot, Change, Ending, FILES_MAX, Journey, Plan, Reported, Seed, Step,
};

use crate::Target;
use crate::input::Input;

/// Feeds [`Journey`].
pub const TARGET: Target = Target { name: "journey", run, seeds, memory: (64 * 1024, 1024) };

struct World {
    journey: Journey,
    plan: Option<Plan>,
    now: u64,
    /// Records that a power cut may leave as the last one: the last that an answer waited for, and those after it.
    records: Vec<Vec<u8>>,
    /// Whether the node must not be installed: it is, or it is held.
    safe: bool,
    /// The arming whose Ignition has left as a whole.
    delivered: bool,
    transfers: Vec<Arming>,
}

fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let now = u64::from(input.u32());
    let held = input.flag();
    let journey = if held { Journey::held("the journal was lost", now) } else { Journey::first_sight(now) };
    let plan = plan(&mut input);
    let mut world = World {
        journey,
        plan,
        now,
        records: Vec::new(),
        safe: held,
        delivered: false,
        transfers: Vec::new(),
    };
    world.records.push(world.record());
    while !input.is_empty() {
        world.step(&mut input);
        world.check();
    }
}

fn plan(input: &mut Input<'_>) -> Option<Plan> {
    let kind = input.byte();
    (kind & 7 != 7).then(|| Plan {
        files: u32::from(input.byte()) % (FILES_MAX + 3),
        seed: kind & 8 != 0,
        report: kind & 16 != 0,
    })
}

impl World {
    fn record(&self) -> Vec<u8> {
        serde_json::to_vec(&self.journey).expect("a record can be written")
    }

    fn took<T: Copy>(&mut self, step: Step<T>) -> T {
        if let Some(stage) = step.reached {
            assert_eq!(stage, self.journey.stage());
        }
        match step.change {
            Change::None => {}
            Change::Eventual => self.records.push(self.record()),
            Change::BeforeAnswer => self.records = vec![self.record()],
        }
        step.answer
    }

    fn step(&mut self, input: &mut Input<'_>) {
        self.now += u64::from(input.byte());
        let now = self.now;
        match input.below(12) {
            0..=1 => {
                let expected = self.journey.boot(self.plan);
                let must_end =
                    self.delivered && self.plan.is_some_and(|plan| plan.ending() == Ending::Ignition);
                let step = self.journey.on_script(self.plan, now);
                let answer = self.took(step);
                assert_eq!(answer, expected, "what was foretold is not what came");
                assert!(
                    !(must_end && answer == Boot::Install),
                    "its Ignition had left, and it installs again"
                );
                self.safe |= !self.journey.stage().installs();
            }
            2 => {
                let step = self.journey.on_file(input.byte().into(), now);
                self.took(step);
            }
            3..=4 => {
                let expected = self.journey.seed();
                let step = self.journey.on_seed(self.plan, now);
                assert!(step.change == Change::BeforeAnswer || !matches!(step.answer, Seed::Serve(_)));
                let answer = self.took(step);
                assert_eq!(answer, expected);
                if let Seed::Serve(arming) = answer {
                    self.transfers.push(arming);
                }
            }
            5 | 6 if !self.transfers.is_empty() => {
                let place = usize::from(input.byte()) % self.transfers.len();
                let arming = self.transfers.remove(place);
                let present = self.journey.seed() == Seed::Serve(arming);
                let sent = input.flag();
                self.delivered |= sent && present;
                let step =
                    if sent { self.journey.on_seed_sent(arming) } else { self.journey.on_seed_lost(arming) };
                self.took(step);
            }
            7 => {
                let step = self.journey.on_report(now);
                let answer = self.took(step);
                self.safe |= answer != Reported::Ignored;
            }
            8 => {
                let step = self.journey.arm(now);
                self.took(step);
                (self.safe, self.delivered) = (false, false);
            }
            9 => {
                let installing = self.journey.stage().installs();
                let step = self.journey.disarm(now);
                self.took(step);
                if installing {
                    (self.safe, self.delivered) = (true, false);
                }
            }
            10 => self.plan = plan(input),
            _ => self.restart(input),
        }
    }

    /// The process ends; what was written at leisure may be lost, from the end on.
    fn restart(&mut self, input: &mut Input<'_>) {
        let kept = usize::from(input.byte()) % self.records.len();
        self.records.truncate(kept + 1);
        let record = self.records.last().expect("one is always kept");
        self.journey = serde_json::from_slice(record).expect("a record that was written can be read");
        assert_eq!(&self.record(), record);
        self.transfers.clear();
    }

    fn check(&self) {
        if self.safe {
            assert!(
                self.journey.boot(self.plan) != Boot::Install,
                "at {:?} it installs",
                self.journey.stage()
            );
            assert!(
                !matches!(self.journey.seed(), Seed::Serve(_)),
                "at {:?} it has secrets",
                self.journey.stage()
            );
        }
        let stage = self.journey.stage();
        assert!(self.journey.times().contains_key(&stage), "nobody knows since when it is {}", stage.name());
        assert_eq!(self.plan.is_none(), self.plan.is_none() && self.journey.boot(None) != Boot::Install);
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let start = [0, 0, 0, 9, 0];
    let story = |plan: [u8; 2], steps: &[u8]| [&start[..], &plan, steps].concat();
    vec![
        // Script, kernel, Ignition sent, script: installed, disk.
        story([8, 2], &[1, 0, 1, 2, 0, 1, 2, 1, 1, 3, 1, 5, 0, 1, 1, 0, 1, 0]),
        // The same with a report, and armed again.
        story([24, 2], &[1, 0, 1, 2, 0, 1, 3, 1, 5, 0, 1, 1, 7, 1, 0, 1, 8, 1, 7, 1, 0]),
        // The transfer breaks off; a restart in between.
        story([8, 2], &[1, 0, 1, 2, 0, 1, 3, 1, 5, 0, 0, 1, 0, 1, 3, 1, 11, 0, 1, 0, 1, 9, 1, 0]),
        // No Ignition: the files end it.
        story([0, 2], &[1, 0, 1, 2, 0, 1, 2, 1, 1, 0, 1, 11, 0, 1, 0]),
    ]
}
