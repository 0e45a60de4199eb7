//! Boot scripts, Ignition and files over HTTP.

fn main() -> std::process::ExitCode {
    faros_common::daemon::main::<faros_ignition_http::IgnitionHttp>()
}
