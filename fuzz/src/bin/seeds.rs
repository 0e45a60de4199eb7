//! Writes what the targets begin with to `corpus/<target>/`: their seeds, and the regressions.

use std::fs;
use std::io;
use std::path::Path;

use faros_fuzz::TARGETS;

fn main() -> io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for target in TARGETS {
        let corpus = root.join("corpus").join(target.name);
        fs::create_dir_all(&corpus)?;
        for (number, seed) in (target.seeds)().iter().enumerate() {
            fs::write(corpus.join(format!("seed-{number}")), seed)?;
        }
        let Ok(regressions) = fs::read_dir(root.join("regressions").join(target.name)) else { continue };
        for regression in regressions {
            let regression = regression?;
            fs::copy(regression.path(), corpus.join(regression.file_name()))?;
        }
    }
    Ok(())
}
