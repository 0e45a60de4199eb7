//! System calls, filtered by seccomp.
//!
//! A call that is not on the list fails with `EPERM`, so that it shows as an error where it was made and
//! not as a process that vanished.

use std::collections::BTreeMap;
use std::io;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

/// What a service on tokio with files and sockets uses, beside `clone` and `socket` (see [`restrict`]).
const ALWAYS: &[i64] = &[
    // Memory and threads.
    libc::SYS_brk,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_futex,
    libc::SYS_futex_waitv,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_membarrier,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_tgkill,
    libc::SYS_prctl,
    libc::SYS_getrandom,
    libc::SYS_uname,
    libc::SYS_sysinfo,
    libc::SYS_getrusage,
    libc::SYS_prlimit64,
    libc::SYS_restart_syscall,
    // Signals and time.
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_settime,
    // Waiting.
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_ppoll,
    libc::SYS_eventfd2,
    libc::SYS_pipe2,
    // Files.
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_close,
    libc::SYS_close_range,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_pread64,
    libc::SYS_preadv,
    libc::SYS_preadv2,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_pwrite64,
    libc::SYS_pwritev,
    libc::SYS_lseek,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_fstatfs,
    libc::SYS_statfs,
    libc::SYS_getdents64,
    libc::SYS_getcwd,
    libc::SYS_readlinkat,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_fcntl,
    libc::SYS_ioctl,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_flock,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_ftruncate,
    libc::SYS_fallocate,
    libc::SYS_fadvise64,
    libc::SYS_sendfile,
    libc::SYS_splice,
    libc::SYS_mkdirat,
    libc::SYS_unlinkat,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_linkat,
    libc::SYS_fchmod,
    libc::SYS_fchown,
    libc::SYS_fchmodat,
    libc::SYS_umask,
    // Sockets.
    libc::SYS_socketpair,
    libc::SYS_bind,
    libc::SYS_connect,
    libc::SYS_listen,
    libc::SYS_accept4,
    libc::SYS_shutdown,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_sendmmsg,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_recvmmsg,
];

/// The calls of older ABIs that only x86-64 still has.
#[cfg(target_arch = "x86_64")]
const OF_ARCHITECTURE: &[i64] = &[
    libc::SYS_poll,
    libc::SYS_epoll_wait,
    libc::SYS_open,
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_access,
    libc::SYS_readlink,
    libc::SYS_rename,
    libc::SYS_unlink,
    libc::SYS_mkdir,
    libc::SYS_rmdir,
    libc::SYS_chmod,
    libc::SYS_dup2,
    libc::SYS_pipe,
    libc::SYS_time,
    libc::SYS_arch_prctl,
];
#[cfg(not(target_arch = "x86_64"))]
const OF_ARCHITECTURE: &[i64] = &[];

/// Namespaces that a daemon could make, which would give it capabilities over things of its own making
/// (`CLONE_NEW…`, clone(2)).
const NAMESPACES: [libc::c_int; 8] = [
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWNS,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWUTS,
    CLONE_NEWTIME,
];

/// Not in the libc crate for every C library.
const CLONE_NEWTIME: libc::c_int = 0x80;

/// The kinds of socket that services have use for; kernel interfaces such as `AF_ALG` or `AF_VSOCK` are none.
const SOCKET_FAMILIES: [libc::c_int; 5] =
    [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK, libc::AF_PACKET];

/// Filters all later system calls of this thread and of those it starts.
pub(super) fn restrict(further: &[i64]) -> io::Result<()> {
    let mut allowed: BTreeMap<i64, Vec<_>> =
        ALWAYS.iter().chain(OF_ARCHITECTURE).chain(further).map(|&number| (number, Vec::new())).collect();
    if !further.contains(&libc::SYS_clone) {
        allowed.insert(libc::SYS_clone, vec![threads_only()?]);
    }
    if !further.contains(&libc::SYS_socket) {
        allowed
            .insert(libc::SYS_socket, SOCKET_FAMILIES.map(of_family).into_iter().collect::<io::Result<_>>()?);
    }
    // The arguments of clone3 lie in memory, where no filter sees them. The C library falls back to clone when it is
    // told that there is no such call.
    if !further.contains(&libc::SYS_clone3) {
        allowed.insert(libc::SYS_clone3, Vec::new());
        apply(
            [(libc::SYS_clone3, Vec::new())].into(),
            SeccompAction::Allow,
            SeccompAction::Errno(libc::ENOSYS as u32),
        )?;
    }
    apply(allowed, SeccompAction::Errno(libc::EPERM as u32), SeccompAction::Allow)
}

fn threads_only() -> io::Result<SeccompRule> {
    let mask = NAMESPACES.iter().fold(0, |mask, &namespace| mask | u64::from(namespace.cast_unsigned()));
    rule(SeccompCondition::new(0, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(mask), 0))
}

fn of_family(family: libc::c_int) -> io::Result<SeccompRule> {
    let family = u64::from(family.cast_unsigned());
    rule(SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, family))
}

fn rule(condition: Result<SeccompCondition, seccompiler::BackendError>) -> io::Result<SeccompRule> {
    condition.and_then(|condition| SeccompRule::new(vec![condition])).map_err(io::Error::other)
}

fn apply(
    rules: BTreeMap<i64, Vec<SeccompRule>>,
    otherwise: SeccompAction,
    matched: SeccompAction,
) -> io::Result<()> {
    let architecture = std::env::consts::ARCH.try_into().map_err(io::Error::other)?;
    let filter = SeccompFilter::new(rules, otherwise, matched, architecture).map_err(io::Error::other)?;
    let program: BpfProgram = filter.try_into().map_err(io::Error::other)?;
    seccompiler::apply_filter(&program).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use socket2::{Socket, Type};

    use super::*;
    use crate::tasks;

    #[test]
    fn what_serves_an_intruder_is_not_on_the_list() {
        let tools = [
            libc::SYS_execve,
            libc::SYS_execveat,
            libc::SYS_ptrace,
            libc::SYS_process_vm_readv,
            libc::SYS_mount,
            libc::SYS_unshare,
            libc::SYS_setns,
            libc::SYS_chroot,
            libc::SYS_bpf,
            libc::SYS_io_uring_setup,
            libc::SYS_perf_event_open,
            libc::SYS_userfaultfd,
            libc::SYS_keyctl,
            libc::SYS_init_module,
            libc::SYS_setresuid,
            libc::SYS_memfd_create,
            libc::SYS_kill,
        ];
        for tool in tools {
            assert!(!ALWAYS.contains(&tool) && !OF_ARCHITECTURE.contains(&tool), "system call {tool}");
        }
    }

    #[test]
    fn a_thread_loses_what_is_not_allowed_and_keeps_the_rest() {
        let confined = tasks::spawn_thread("confined", || {
            restrict(&[]).unwrap();
            let socket = |family: libc::c_int| Socket::new(family.into(), Type::DGRAM, None).map(|_| ());
            socket(libc::AF_INET).unwrap();
            socket(libc::AF_NETLINK).unwrap();
            // Another thread, by way of clone.
            tasks::spawn_thread("another", || ()).unwrap().join().unwrap();
            let program = std::process::Command::new("/bin/true").status().map(|_| ());
            let handle =
                rustix::process::pidfd_open(rustix::process::getpid(), rustix::process::PidfdFlags::empty());
            [socket(libc::AF_VSOCK), socket(libc::AF_ALG), program, handle.map(|_| ()).map_err(Into::into)]
        });
        for result in confined.unwrap().join().unwrap().unwrap() {
            assert_eq!(result.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        }
    }
}
