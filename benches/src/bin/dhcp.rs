//! DHCP beside Kea and dnsmasq; see `faros_benches::dhcp`.

use std::process::ExitCode;

fn main() -> ExitCode {
    faros_benches::session::main("dhcp", |options, work| {
        let all = faros_benches::dhcp::servers::Contender::all(options);
        let contenders = options.select(all, |contender| contender.kind().name())?;
        Ok(faros_benches::dhcp::run(options, &contenders, work)?)
    })
}
