//! Balancing beside HAProxy; see `faros_benches::lb`.

use std::process::ExitCode;

fn main() -> ExitCode {
    faros_benches::session::main("lb", |options, work| {
        let all = faros_benches::lb::servers::Contender::all(options);
        let contenders = options.select(all, |contender| contender.kind().name())?;
        Ok(faros_benches::lb::run(options, &contenders, work)?)
    })
}
