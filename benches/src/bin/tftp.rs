//! TFTP beside dnsmasq, tftpd-hpa and atftpd; see `faros_benches::tftp`.

use std::process::ExitCode;

fn main() -> ExitCode {
    faros_benches::session::main("tftp", |options, work| {
        let all = faros_benches::tftp::servers::Contender::all(options);
        let contenders = options.select(all, |contender| contender.kind().name())?;
        Ok(faros_benches::tftp::run(options, &contenders, work)?)
    })
}
