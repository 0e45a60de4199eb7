//! Random histories on a disk that fails, stops and forgets: what was promised is recovered, in order, and nothing
//! that was never appended.

use std::sync::Arc;

use super::super::sim::{Fault, Operation, Random, SimDisk};
use super::super::{Journal, JournalError, JournalOptions};

/// Histories in an ordinary run; `FAROS_JOURNAL_SEEDS` asks for more.
const SEEDS: u64 = 20_000;

struct History {
    disk: SimDisk,
    random: Random,
    options: JournalOptions,
    journal: Option<Journal>,
    /// Everything ever appended that may still be there.
    appended: Vec<Vec<u8>>,
    /// What the file may hold instead, while the last start could not make sure of what it had read.
    ghosts: Vec<Vec<Vec<u8>>>,
    /// So many of them were reported durable.
    durable: usize,
    /// Whether a start has ever succeeded.
    started: bool,
    counter: u32,
}

impl History {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(!seed);
        let preallocate_bytes = [0, 512, 4096][random.below(3) as usize];
        Self {
            disk: SimDisk::new(seed),
            random,
            options: JournalOptions { preallocate_bytes, ..JournalOptions::new("leases", 1) },
            journal: None,
            appended: Vec::new(),
            ghosts: Vec::new(),
            durable: 0,
            started: false,
            counter: 0,
        }
    }

    fn below(&mut self, limit: usize) -> usize {
        self.random.below(limit as u64) as usize
    }

    fn run(&mut self) {
        let steps = 10 + self.below(30);
        if self.below(4) == 0 {
            // The first start is interrupted too.
            let operations = 1 + self.below(16) as u64;
            self.disk.stop_after(operations);
        }
        for _ in 0..steps {
            self.step();
        }
        self.crash();
        self.reopen(false);
    }

    fn step(&mut self) {
        if self.disk.has_stopped() {
            self.crash();
        }
        if self.journal.is_none() {
            let hurt = self.below(3) == 0;
            self.reopen(hurt);
        }
        match self.below(16) {
            0..=4 => self.append(),
            5..=8 => self.commit(),
            9 => self.snapshot(),
            10 => self.begin_snapshot(),
            11 => self.step_snapshot(),
            12 => self.hurt(),
            13 => {
                let operations = 1 + self.below(20) as u64;
                self.disk.stop_after(operations);
            }
            14 if self.below(2) == 0 => self.crash(),
            14 => self.disk.heal(),
            _ => {
                let room = self.below(4000) as u64;
                let capacity = (self.below(2) == 0).then(|| self.disk.used() + room);
                self.disk.capacity(capacity);
            }
        }
    }

    fn append(&mut self) {
        for _ in 0..1 + self.below(4) {
            let length = [0, 3, 100, 200, 500, 511, 1024, 3000][self.below(8)];
            self.counter += 1;
            let mut record = self.counter.to_le_bytes().to_vec();
            record.resize(4 + length, self.counter as u8 | 1);
            if self.below(8) == 0 {
                // Zeroes of a record's own must not pass for a hole, nor for the end.
                record[4..].fill(0);
            }
            let lsn = self.journal.as_mut().unwrap().append(&record).unwrap();
            self.appended.push(record);
            assert_eq!(lsn.0 as usize, self.appended.len());
        }
    }

    fn commit(&mut self) {
        match self.journal.as_mut().unwrap().commit() {
            Ok(lsn) => {
                self.durable = self.appended.len();
                assert_eq!(lsn.0 as usize, self.durable);
            }
            Err(error) => assert_only_disk(&error),
        }
    }

    fn snapshot(&mut self) {
        match self.journal.as_mut().unwrap().snapshot(&self.appended) {
            Ok(()) => self.durable = self.appended.len(),
            Err(error) => assert_only_disk(&error),
        }
    }

    fn begin_snapshot(&mut self) {
        self.journal.as_mut().unwrap().begin_snapshot(self.appended.clone()).unwrap();
    }

    fn step_snapshot(&mut self) {
        if let Err(error) = self.journal.as_mut().unwrap().step_snapshot() {
            assert_only_disk(&error);
        }
        let durable = self.journal.as_ref().unwrap().durable().0 as usize;
        self.durable = self.durable.max(durable);
    }

    fn hurt(&mut self) {
        use Operation::{Create, Open, Read, Remove, Rename, Sync, SyncDir, Truncate, Write};
        let operations =
            [Create, Open, Read, Remove, Rename, Sync, Sync, Sync, SyncDir, Truncate, Write, Write];
        let faults = [Fault::NoSpace, Fault::Quota, Fault::ReadOnly, Fault::Io];
        let operation = operations[self.below(operations.len())];
        let fault = faults[self.below(faults.len())];
        let times = 1 + self.below(3) as u32;
        self.disk.fail(operation, fault, times);
    }

    /// Process or machine end here; faults outlast neither.
    fn crash(&mut self) {
        if self.below(3) == 0 {
            self.disk.kill();
        } else {
            self.disk.power_cut();
        }
        self.journal = None;
        self.disk.heal();
        self.disk.capacity(None);
    }

    fn reopen(&mut self, hurt: bool) {
        if hurt {
            self.hurt();
        }
        loop {
            match Journal::open_on(Arc::new(self.disk.clone()), self.options.clone()) {
                Ok((journal, recovered)) => {
                    let count = recovered.records.len();
                    assert!(count >= self.durable, "{} promised, {count} recovered", self.durable);
                    let known = |history: &Vec<Vec<u8>>| history.get(..count) == Some(&recovered.records);
                    assert!(
                        known(&self.appended) || self.ghosts.iter().any(known),
                        "not a prefix of what was appended"
                    );
                    assert_eq!(recovered.report.last.0 as usize, count);
                    assert!(!(self.started && recovered.report.first_start), "started empty");
                    self.started = true;
                    let before = std::mem::replace(&mut self.appended, recovered.records);
                    if journal.is_failed() {
                        self.ghosts.push(before);
                    } else {
                        self.durable = count;
                        self.ghosts.clear();
                    }
                    self.journal = Some(journal);
                    return;
                }
                Err(error) => {
                    assert_only_disk(&error);
                    assert!(hurt || self.disk.has_stopped(), "{error}");
                    self.crash();
                }
            }
        }
    }
}

/// On a disk that only fails, no state looks damaged, gone or foreign.
fn assert_only_disk(error: &JournalError) {
    assert!(matches!(error, JournalError::Disk { .. }), "{error:?}");
}

#[test]
fn no_promise_is_lost_in_any_history() {
    let seeds = std::env::var("FAROS_JOURNAL_SEEDS").map_or(SEEDS, |seeds| seeds.parse().unwrap());
    let threads: Vec<_> = (0..2)
        .map(|part| {
            std::thread::Builder::new()
                .spawn(move || {
                    for seed in (part..seeds).step_by(2) {
                        let run = std::panic::AssertUnwindSafe(|| History::new(seed).run());
                        if let Err(panic) = std::panic::catch_unwind(run) {
                            eprintln!("seed {seed}");
                            std::panic::resume_unwind(panic);
                        }
                    }
                })
                .unwrap()
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}

/// One fixed history, stopped at every single operation, with both kinds of end.
#[test]
fn no_promise_is_lost_whichever_operation_is_the_last() {
    for preallocate_bytes in [0, 4096] {
        for cut in [false, true] {
            let mut stop = 0;
            loop {
                stop += 1;
                let disk = SimDisk::new(stop);
                disk.stop_after(stop);
                let options = JournalOptions { preallocate_bytes, ..JournalOptions::new("leases", 1) };
                let promised = fixed_history(&disk, &options).unwrap_or_else(|promised| promised);
                let stopped = disk.has_stopped();
                if cut {
                    disk.power_cut();
                } else {
                    disk.kill();
                }
                let (_, recovered) = Journal::open_on(Arc::new(disk), options).unwrap();
                let numbers: Vec<u8> = recovered.records.iter().map(|record| record[0]).collect();
                let expected: Vec<u8> = (0..numbers.len() as u8).collect();
                assert_eq!(numbers, expected);
                assert!(numbers.len() >= promised, "stopped at {stop}: {promised} promised, {numbers:?}");
                if !stopped {
                    assert!(stop > 60, "the history was too short");
                    break;
                }
            }
        }
    }
}

/// How many records were promised; `Err` if the disk stopped.
fn fixed_history(disk: &SimDisk, options: &JournalOptions) -> Result<usize, usize> {
    let mut promised = 0;
    let (mut journal, _) = Journal::open_on(Arc::new(disk.clone()), options.clone()).map_err(|_| promised)?;
    for round in 0..8u8 {
        for number in 0..3 {
            journal.append(&[round * 3 + number; 300]).map_err(|_| promised)?;
        }
        journal.commit().map_err(|_| promised)?;
        promised += 3;
        if round % 3 == 2 {
            journal.snapshot((0..promised as u8).map(|number| [number; 300])).map_err(|_| promised)?;
        }
    }
    Ok(promised)
}
