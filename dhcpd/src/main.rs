//! Hands over to [`faros_common::daemon`].

fn main() -> std::process::ExitCode {
    faros_common::daemon::main::<faros_dhcpd::Dhcpd>()
}
