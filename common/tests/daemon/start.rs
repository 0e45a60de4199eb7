//! Starts that cannot succeed say why and what to do, each with its exit code; odd surroundings do no harm.

use std::fs;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};

use crate::{Echo, SITE, arguments, eventually, executable, ground, is_root, port};

/// Starts it for a start that fails; the exit code and what it said.
fn fails(command: &mut Command) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = command.output().unwrap();
    (status.code(), String::from_utf8_lossy(&stderr).into_owned())
}

#[test]
fn whatever_stands_in_the_place_of_the_site_file_is_refused_at_once() {
    let directory = ground();
    let site = directory.path().join("site.toml");
    let check = || fails(Command::new(executable()).args(arguments(directory.path())).arg("--check"));
    for (content, words) in [
        (b"".to_vec(), "needs the key `version`"),
        (vec![b'#'; 10 << 20], "larger than"),
        (b"version = 1\n# \xff\n".to_vec(), "not UTF-8"),
        (b"version = 1\n\0\n".to_vec(), "site.toml:2:"),
    ] {
        fs::write(&site, content).unwrap();
        let (code, said) = check();
        assert!(code == Some(78) && said.contains(words), "{code:?} {said}");
    }
    for content in [format!("\u{feff}{SITE}"), SITE.replace('\n', "\r\n")] {
        fs::write(&site, content).unwrap();
        assert_eq!(check().0, Some(0));
    }
    fs::remove_file(&site).unwrap();
    assert!(matches!(check(), (Some(78), said) if said.contains("--site")));
    fs::create_dir(&site).unwrap();
    assert!(matches!(check(), (Some(78), said) if said.contains("directory")));
    fs::remove_dir(&site).unwrap();
    assert!(Command::new("mkfifo").arg(&site).status().unwrap().success());
    assert!(matches!(check(), (Some(78), said) if said.contains("pipe")));
}

#[test]
fn without_privilege_it_says_which_it_lacks() {
    assert!(is_root(), "this test tries other users, which takes root");
    let _port = port();
    let directory = ground();
    let start = |further: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=64321", "--regid=64321", "--clear-groups"]);
        // The test's own place may be closed to others.
        let program = directory.path().join("echo");
        if !program.exists() {
            // By another process: a descriptor of ours, inherited by a child of another test, would keep it busy.
            assert!(Command::new("cp").arg(executable()).arg(&program).status().unwrap().success());
        }
        fails(command.arg(program).args(arguments(directory.path())).args(further))
    };
    let (code, said) = start(&[]);
    assert!(code == Some(77) && said.contains("--run-dir"), "{code:?} {said}");
    // Directories that exist and are not its own.
    for name in ["run", "state"] {
        fs::create_dir(directory.path().join(name)).unwrap();
    }
    let (code, said) = start(&[]);
    assert!(code == Some(77) && said.contains("--run-dir") && said.contains("echo.sock"), "{code:?} {said}");
    fs::set_permissions(directory.path().join("site.toml"), fs::Permissions::from_mode(0o600)).unwrap();
    let (code, said) = start(&["--check"]);
    assert!(code == Some(78) && said.contains("readable"), "{code:?} {said}");
}

#[test]
fn something_else_in_the_place_of_the_socket_is_left_alone() {
    let _port = port();
    let directory = ground();
    fs::create_dir(directory.path().join("run")).unwrap();
    let file = directory.path().join("run/echo.sock");
    fs::write(&file, "precious").unwrap();
    let (code, said) = fails(Command::new(executable()).args(arguments(directory.path())));
    assert!(code == Some(71) && said.contains("remove it"), "{code:?} {said}");
    assert_eq!(fs::read_to_string(file).unwrap(), "precious");
}

#[test]
fn a_killed_daemon_leaves_nothing_that_keeps_the_next_from_starting() {
    let mut echo = Echo::start(|_| ());
    echo.signal("KILL");
    echo.child.wait().unwrap();
    assert!(echo.socket().exists());
    echo.child = Command::new(executable())
        .args(arguments(echo.directory.path()))
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    eventually("it answers again", || std::os::unix::net::UnixStream::connect(echo.socket()).is_ok());
    assert_eq!(echo.echo(b"again"), Some(b"again".to_vec()));
}

#[test]
fn few_descriptors_are_an_error_that_says_so() {
    let _port = port();
    let directory = ground();
    let mut command = Command::new("sh");
    command
        .args(["-c", "ulimit -n 5; exec \"$0\" \"$@\""])
        .arg(executable())
        .args(arguments(directory.path()));
    let (code, said) = fails(&mut command);
    assert!(code == Some(71) && said.contains("Too many open files"), "{code:?} {said}");
}

#[test]
fn home_time_zone_and_locale_do_not_matter() {
    let echo = Echo::start(|command| {
        command.env_clear().env("TZ", "Nowhere/Land").env("LC_ALL", "xx_XX").current_dir("/");
    });
    assert_eq!(echo.echo(b"here"), Some(b"here".to_vec()));
    assert!(echo.status()["started"].as_str().unwrap().ends_with('Z'));
}

#[test]
fn sockets_that_fit_nothing_are_no_obstacle() {
    let port = port();
    let wrong = UdpSocket::bind("127.0.77.1:0").unwrap();
    let right = UdpSocket::bind("127.0.77.1:7007").unwrap();
    for socket in [&wrong, &right] {
        let flags = rustix::io::fcntl_getfd(socket).unwrap();
        rustix::io::fcntl_setfd(socket, flags - rustix::io::FdFlags::CLOEXEC).unwrap();
    }
    let script = format!(
        "exec 13<&{} 14<&{} 3</dev/null 4<&13 5<&14 13<&- 14<&-; export LISTEN_PID=$$ LISTEN_FDS=3; exec \"$0\" \"$@\"",
        wrong.as_raw_fd(),
        right.as_raw_fd()
    );
    let echo = Echo::start_with(port, |command| {
        let mut shell = Command::new("bash");
        shell
            .args(["-c", &script])
            .arg(command.get_program())
            .args(command.get_args())
            .stderr(Stdio::piped());
        *command = shell;
    });
    // The port is free when the test ends.
    drop((wrong, right));
    assert_eq!(echo.echo(b"the third"), Some(b"the third".to_vec()));
}
