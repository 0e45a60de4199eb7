//! What a fuzz target is.

use std::path::Path;
use std::{fs, io};

use crate::platform;

/// One thing that is fed.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, which says what it feeds.
    pub name: &'static str,
    /// Feeds it; panics where a claim is broken.
    pub run: fn(&[u8]),
    /// Inputs to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// The most memory one input may take: so many bytes, and so many more for each byte of input.
    pub memory: (usize, usize),
}

impl Target {
    /// Feeds `data`, and holds the target to its memory.
    ///
    /// # Panics
    /// Where a claim is broken: that is the finding.
    pub fn feed(&self, data: &[u8]) {
        let ((), peak) = platform::measured(|| (self.run)(data));
        let most = self.memory.0 + self.memory.1 * data.len();
        assert!(peak <= most, "{} bytes of input took {peak} bytes of memory, {most} at most", data.len());
    }

    /// Writes what the target begins with to its corpus, `corpus/<name>/` in this crate's folder: its seeds, and
    /// the inputs that once broke it. libFuzzer reads the corpus afterwards.
    ///
    /// # Panics
    /// Where the folder cannot be written.
    pub fn sow(&self) {
        let written = self.write_corpus();
        written.unwrap_or_else(|error| panic!("the corpus of {} cannot be written: {error}", self.name));
    }

    fn write_corpus(&self) -> io::Result<()> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let corpus = root.join("corpus").join(self.name);
        fs::create_dir_all(&corpus)?;
        for (number, seed) in (self.seeds)().iter().enumerate() {
            fs::write(corpus.join(format!("seed-{number}")), seed)?;
        }
        let regressions = root.join("regressions").join(self.name);
        if regressions.is_dir() {
            for regression in fs::read_dir(regressions)? {
                let regression = regression?;
                fs::copy(regression.path(), corpus.join(regression.file_name()))?;
            }
        }
        Ok(())
    }
}
