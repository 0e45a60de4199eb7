//! Network namespaces for tests.

use std::process::Command;

/// A network namespace of one thread.
pub(crate) struct Namespace;

impl Namespace {
    /// Runs `body` in a thread in a new network namespace with its loopback up; the namespace goes with the thread.
    pub(crate) fn enter<T: Send>(body: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                super::platform::leave_network()
                    .expect("tests of netlink run as root: they make network namespaces");
                run("ip link set lo up");
                body()
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

/// Runs a command, whose arguments have no blanks, in the namespace of this thread; returns what it printed.
pub(crate) fn run(line: &str) -> String {
    let mut words = line.split(' ');
    let program = words.next().expect("a line has a program");
    let output = Command::new(program).args(words).output().unwrap_or_else(|error| panic!("{line}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{line}: {}", text(&output.stderr));
    text(&output.stdout)
}
