//! DNS beside NSD, Knot, BIND, unbound and dnsmasq; see `faros_benches::dns`.

use std::process::ExitCode;

fn main() -> ExitCode {
    faros_benches::session::main("dns", |options, work| {
        let all = faros_benches::dns::servers::Contender::all(options);
        let contenders = options.select(all, |contender| contender.kind().name())?;
        Ok(faros_benches::dns::run(options, &contenders, work)?)
    })
}
