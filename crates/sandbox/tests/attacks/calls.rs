//! The system calls that a hostile command tries.

use std::fs;
use std::io;

use libc::{c_long, c_ulong};

/// System calls with their arguments, by what they would do.
pub(crate) fn calls() -> Vec<(&'static str, c_long, [c_ulong; 5])> {
    let (path, empty) = (c"made".as_ptr() as c_ulong, c"".as_ptr() as c_ulong);
    let set_user = 0o104_755;
    let here = libc::AT_FDCWD as c_ulong;
    let buffer = Box::leak(Box::new([0_u64; 64])).as_mut_ptr() as c_ulong;
    let process = u64::from(std::process::id());
    let new_user = libc::CLONE_NEWUSER as c_ulong;
    let creating = (libc::O_CREAT | libc::O_WRONLY) as c_ulong;
    let unnamed = (libc::O_TMPFILE | libc::O_WRONLY) as c_ulong;
    vec![
        ("io_uring_setup", libc::SYS_io_uring_setup, [1, buffer, 0, 0, 0]),
        ("userfaultfd", libc::SYS_userfaultfd, [1, 0, 0, 0, 0]),
        ("keyctl", libc::SYS_keyctl, [0, -3_i64 as c_ulong, 1, 0, 0]),
        (
            "add_key",
            libc::SYS_add_key,
            [c"user".as_ptr() as c_ulong, path, path, 4, -2_i64 as c_ulong],
        ),
        (
            "request_key",
            libc::SYS_request_key,
            [c"user".as_ptr() as c_ulong, path, 0, 0, 0],
        ),
        ("bpf", libc::SYS_bpf, [0, buffer, 72, 0, 0]),
        (
            "perf_event_open",
            libc::SYS_perf_event_open,
            [buffer, 0, -1_i64 as c_ulong, -1_i64 as c_ulong, 0],
        ),
        (
            "process_vm_readv",
            libc::SYS_process_vm_readv,
            [process, buffer, 0, buffer, 0],
        ),
        (
            "process_vm_writev",
            libc::SYS_process_vm_writev,
            [process, buffer, 0, buffer, 0],
        ),
        ("kcmp", libc::SYS_kcmp, [process, process, 0, 1, 2]),
        ("pidfd_getfd", libc::SYS_pidfd_getfd, [0, 0, 0, 0, 0]),
        ("ptrace attach", libc::SYS_ptrace, [16, 1, 0, 0, 0]),
        ("ptrace seize", libc::SYS_ptrace, [0x4206, 1, 0, 0, 0]),
        (
            "mount",
            libc::SYS_mount,
            [path, c"/tmp".as_ptr() as c_ulong, c"tmpfs".as_ptr() as c_ulong, 0, 0],
        ),
        ("umount", libc::SYS_umount2, [c"/proc".as_ptr() as c_ulong, 2, 0, 0, 0]),
        ("pivot_root", libc::SYS_pivot_root, [path, path, 0, 0, 0]),
        ("chroot", libc::SYS_chroot, [path, 0, 0, 0, 0]),
        (
            "open_tree",
            libc::SYS_open_tree,
            [here, c"/".as_ptr() as c_ulong, 0, 0, 0],
        ),
        ("open_tree_attr", 467, [here, c"/".as_ptr() as c_ulong, 0, 0, 0]),
        ("move_mount", libc::SYS_move_mount, [here, path, here, path, 0]),
        ("fsopen", libc::SYS_fsopen, [c"tmpfs".as_ptr() as c_ulong, 0, 0, 0, 0]),
        ("fspick", libc::SYS_fspick, [here, c"/".as_ptr() as c_ulong, 0, 0, 0]),
        ("fsconfig", libc::SYS_fsconfig, [0, 0, 0, 0, 0]),
        ("fsmount", libc::SYS_fsmount, [0, 0, 0, 0, 0]),
        ("mount_setattr", libc::SYS_mount_setattr, [here, empty, 0, buffer, 32]),
        ("setns", libc::SYS_setns, [0, 0, 0, 0, 0]),
        ("unshare user", libc::SYS_unshare, [new_user, 0, 0, 0, 0]),
        ("unshare mounts and files", libc::SYS_unshare, [0x0002_0400, 0, 0, 0, 0]),
        ("unshare time", libc::SYS_unshare, [0x80, 0, 0, 0, 0]),
        (
            "clone user",
            libc::SYS_clone,
            [new_user | libc::SIGCHLD as c_ulong, 0, 0, 0, 0],
        ),
        ("clone network", libc::SYS_clone, [0x4000_0011, 0, 0, 0, 0]),
        ("clone3", libc::SYS_clone3, [buffer, 64, 0, 0, 0]),
        ("openat2", libc::SYS_openat2, [here, path, buffer, 24, 0]),
        (
            "name_to_handle_at",
            libc::SYS_name_to_handle_at,
            [here, path, buffer, buffer, 0],
        ),
        (
            "open_by_handle_at",
            libc::SYS_open_by_handle_at,
            [here, buffer, 0, 0, 0],
        ),
        ("kexec_load", libc::SYS_kexec_load, [0, 0, 0, 0, 0]),
        ("init_module", libc::SYS_init_module, [0, 0, empty, 0, 0]),
        ("finit_module", libc::SYS_finit_module, [0, empty, 0, 0, 0]),
        ("delete_module", libc::SYS_delete_module, [path, 0, 0, 0, 0]),
        ("reboot", libc::SYS_reboot, [0, 0, 0, 0, 0]),
        ("swapon", libc::SYS_swapon, [path, 0, 0, 0, 0]),
        ("syslog", libc::SYS_syslog, [10, 0, 0, 0, 0]),
        ("adjtimex", libc::SYS_adjtimex, [buffer, 0, 0, 0, 0]),
        ("personality", libc::SYS_personality, [0x0040_0000, 0, 0, 0, 0]),
        ("socket to the machine's host", libc::SYS_socket, [40, 1, 0, 0, 0]),
        ("socket to the kernel's ciphers", libc::SYS_socket, [38, 5, 0, 0, 0]),
        ("type into a terminal", libc::SYS_ioctl, [0, 0x5412, buffer, 0, 0]),
        (
            "type into a terminal, long",
            libc::SYS_ioctl,
            [0, 0x1_0000_5412, buffer, 0, 0],
        ),
        ("fchmodat set-uid", libc::SYS_fchmodat, [here, path, 0o4755, 0, 0]),
        ("fchmodat2 set-uid", libc::SYS_fchmodat2, [here, path, 0o4755, 0, 0]),
        ("fchmodat set-gid", libc::SYS_fchmodat, [here, path, 0o2755, 0, 0]),
        ("fchmod set-uid", libc::SYS_fchmod, [0, 0o4755, 0, 0, 0]),
        (
            "openat set-uid",
            libc::SYS_openat,
            [here, c"s1".as_ptr() as c_ulong, creating, 0o4755, 0],
        ),
        (
            "openat unnamed set-gid",
            libc::SYS_openat,
            [here, c".".as_ptr() as c_ulong, unnamed, 0o2755, 0],
        ),
        (
            "mknodat set-uid",
            libc::SYS_mknodat,
            [here, c"s2".as_ptr() as c_ulong, set_user, 0, 0],
        ),
        #[cfg(target_arch = "x86_64")]
        ("chmod set-uid", libc::SYS_chmod, [path, 0o4755, 0, 0, 0]),
        #[cfg(target_arch = "x86_64")]
        (
            "open set-uid",
            libc::SYS_open,
            [c"s3".as_ptr() as c_ulong, creating, 0o4755, 0, 0],
        ),
        #[cfg(target_arch = "x86_64")]
        (
            "creat set-uid",
            libc::SYS_creat,
            [c"s4".as_ptr() as c_ulong, 0o6755, 0, 0, 0],
        ),
        #[cfg(target_arch = "x86_64")]
        (
            "mknod set-gid",
            libc::SYS_mknod,
            [c"s5".as_ptr() as c_ulong, 0o102_755, 0, 0, 0],
        ),
        #[cfg(target_arch = "x86_64")]
        (
            "keyctl by its second number",
            0x4000_0000 | libc::SYS_keyctl,
            [0, -3_i64 as c_ulong, 1, 0, 0],
        ),
        #[cfg(target_arch = "x86_64")]
        (
            "getpid by its second number",
            0x4000_0000 | libc::SYS_getpid,
            [0, 0, 0, 0, 0],
        ),
    ]
}

#[test]
#[ignore = "run in a sandbox by the tests below"]
fn make_calls() {
    fs::write("made", "").unwrap();
    for (name, number, [a, b, c, d, e]) in calls() {
        #[expect(unsafe_code, reason = "these calls have no safe wrapper")]
        // SAFETY: the pointers refer to memory that is never freed; every call should fail.
        let answer = unsafe { libc::syscall(number, a, b, c, d, e) };
        let error = io::Error::last_os_error().raw_os_error().unwrap_or(0);
        if answer == 0 && name.starts_with("clone") {
            // The child in a namespace that should have been refused.
            std::process::exit(0);
        }
        println!("> {name}={}", if answer < 0 { error } else { 0 });
    }
    println!("> a call by the numbers of 32 bits={}", old_call_survives());
}

/// Whether a process survives a system call of another architecture.
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "there is no other way to make such a call")]
fn old_call_survives() -> i32 {
    // SAFETY: the child makes one call without arguments and ends.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            let _pid: u32;
            std::arch::asm!("int 0x80", inlateout("eax") 20 => _pid, options(nostack));
            libc::_exit(0);
        }
        let mut status = 0;
        libc::waitpid(child, &raw mut status, 0);
        i32::from(!libc::WIFSIGNALED(status))
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn old_call_survives() -> i32 {
    0
}
