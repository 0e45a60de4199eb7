//! Tang beside Debian's tangd; see `faros_benches::tang`.

use std::process::ExitCode;

fn main() -> ExitCode {
    faros_benches::session::main("tang", |options, work| {
        let all = faros_benches::tang::servers::Contender::all(options);
        let contenders = options.select(all, |contender| contender.kind().name())?;
        Ok(faros_benches::tang::run(options, &contenders, work)?)
    })
}
