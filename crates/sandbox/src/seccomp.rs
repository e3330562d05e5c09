//! System call filters: which calls a job is refused.
//!
//! It is a list of refused calls, because compilers, runtimes and test suites use nearly all others. It contains calls
//! that reach beyond the sandbox's own processes and files, or that expose large parts of the kernel which building and
//! testing code does not need.

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, sock_filter,
};
use std::collections::BTreeMap;

/// A call number that all architectures share and `libc` does not name yet.
const OPEN_TREE_ATTR: c_long = 467;

/// Refused whatever the arguments.
const REFUSED: &[c_long] = &[
    // Its operations bypass system call filters.
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    // It can pause the kernel in the middle of a copy, which many exploits use.
    libc::SYS_userfaultfd,
    // Keys belong to the account, not to the sandbox.
    libc::SYS_add_key,
    libc::SYS_keyctl,
    libc::SYS_request_key,
    // Memory and descriptors of other processes.
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    // Programs and counters in the kernel.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    // Mounts and namespaces.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_setns,
    libc::SYS_open_tree,
    OPEN_TREE_ATTR,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    // Files without their paths, and watching whole file systems.
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    libc::SYS_fanotify_init,
    libc::SYS_fanotify_mark,
    // The machine itself.
    libc::SYS_kexec_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_syslog,
    libc::SYS_vhangup,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_nfsservctl,
    libc::SYS_lookup_dcookie,
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    libc::SYS_kexec_file_load,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_uselib,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ustat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_sysfs,
];

/// Calls with arguments in memory, which a filter can't read. They answer as on an older kernel, so callers fall back.
const UNKNOWN: &[c_long] = &[libc::SYS_clone3, libc::SYS_openat2];

/// The flags with which `clone` and `unshare` create namespaces.
const NAMESPACES: [i32; 7] = [
    libc::CLONE_NEWNS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
];

/// For `unshare` alone: in `clone` the bit is part of a signal's number.
const NEW_TIME_NAMESPACE: i32 = 0x80;

/// Set-id bits: such a file would run with the rights of its owner, which is the server.
const SET_IDS: [u32; 2] = [libc::S_ISUID, libc::S_ISGID];

/// The allowed socket families. Others leave the network namespace (`AF_VSOCK` reaches the machine's host) or expose parts
/// of the kernel that jobs don't need.
const SOCKETS: [i32; 4] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];

/// The allowed personalities: Linux, without address randomisation (debuggers, sanitisers), 32-bit `uname`, and the query.
const PERSONALITIES: [u64; 6] = [0, 0x0008, 0x0004_0000, 0x0002_0000, 0x0002_0008, 0xffff_ffff];

const PTRACE_SEIZE: u32 = 0x4206;

/// The compiled filters in the form that bubblewrap reads.
#[derive(Clone, Debug)]
pub(crate) struct Filters {
    /// One program per filter; the strictest answer applies.
    pub(crate) programs: Vec<Vec<u8>>,
}

impl Filters {
    /// Compiles two programs, or a single one that answers `ENOSYS` if bubblewrap takes only one.
    pub(crate) fn compile(many: bool) -> Result<Self, String> {
        let (refused, unknown) = (refused().map_err(|error| error.to_string())?, unknown());
        let programs = if many {
            vec![program(refused, libc::EPERM)?, program(unknown, libc::ENOSYS)?]
        } else {
            vec![program(refused.into_iter().chain(unknown).collect(), libc::ENOSYS)?]
        };
        Ok(Self {
            programs: programs.iter().map(|program| bytes(program)).collect(),
        })
    }
}

type Rules = BTreeMap<c_long, Vec<SeccompRule>>;

fn unknown() -> Rules {
    UNKNOWN.iter().map(|call| (*call, Vec::new())).collect()
}

fn refused() -> Result<Rules, seccompiler::BackendError> {
    let mut rules: Rules = REFUSED.iter().map(|call| (*call, Vec::new())).collect();
    let namespaces = NAMESPACES.map(|flag| flag as u32);
    rules.insert(libc::SYS_clone, any_bit(0, &namespaces)?);
    rules.insert(
        libc::SYS_unshare,
        any_bit(0, &[namespaces.as_slice(), &[NEW_TIME_NAMESPACE as u32]].concat())?,
    );
    rules.insert(libc::SYS_ptrace, any_value(0, &[libc::PTRACE_ATTACH, PTRACE_SEIZE])?);
    // Injecting input into a terminal.
    rules.insert(
        libc::SYS_ioctl,
        any_value(1, &[libc::TIOCSTI as u32, libc::TIOCLINUX as u32])?,
    );
    rules.insert(libc::SYS_personality, vec![none_of(0, &PERSONALITIES)?]);
    rules.insert(
        libc::SYS_socket,
        vec![none_of(0, &SOCKETS.map(|family| family as u64))?],
    );
    for (call, mode) in [
        (libc::SYS_fchmod, 1),
        (libc::SYS_fchmodat, 2),
        (libc::SYS_fchmodat2, 2),
        (libc::SYS_mknodat, 2),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_chmod, 1),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_creat, 1),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_mknod, 1),
    ] {
        rules.insert(call, any_bit(mode, &SET_IDS)?);
    }
    rules.insert(libc::SYS_openat, creates_with_set_id(2)?);
    #[cfg(target_arch = "x86_64")]
    rules.insert(libc::SYS_open, creates_with_set_id(1)?);
    Ok(rules)
}

/// Checks the mode only where a file is created; otherwise the argument is undefined.
fn creates_with_set_id(flags: u8) -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    let creating = [libc::O_CREAT, libc::O_TMPFILE & !libc::O_DIRECTORY].map(|flag| flag as u32);
    let mut rules = Vec::new();
    for creates in creating {
        for set_id in SET_IDS {
            rules.push(SeccompRule::new(vec![bit(flags, creates)?, bit(flags + 1, set_id)?])?);
        }
    }
    Ok(rules)
}

fn any_bit(argument: u8, bits: &[u32]) -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    bits.iter()
        .map(|flag| SeccompRule::new(vec![bit(argument, *flag)?]))
        .collect()
}

fn any_value(argument: u8, values: &[u32]) -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    let one = |value: &u32| SeccompRule::new(vec![condition(argument, SeccompCmpOp::Eq, u64::from(*value))?]);
    values.iter().map(one).collect()
}

fn none_of(argument: u8, values: &[u64]) -> Result<SeccompRule, seccompiler::BackendError> {
    let differs = |value: &u64| condition(argument, SeccompCmpOp::Ne, *value);
    SeccompRule::new(values.iter().map(differs).collect::<Result<_, _>>()?)
}

fn bit(argument: u8, bit: u32) -> Result<SeccompCondition, seccompiler::BackendError> {
    let bit = u64::from(bit);
    condition(argument, SeccompCmpOp::MaskedEq(bit), bit)
}

/// Compares the lower half of the argument, as the kernel does for all these calls.
fn condition(argument: u8, operator: SeccompCmpOp, value: u64) -> Result<SeccompCondition, seccompiler::BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)
}

/// Calls with numbers of another architecture kill the process, because no rule would match them.
fn program(rules: Rules, errno: i32) -> Result<BpfProgram, String> {
    let architecture = TargetArch::try_from(std::env::consts::ARCH).map_err(|error| error.to_string())?;
    let refuse = SeccompAction::Errno(errno as u32);
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, architecture);
    let program: BpfProgram = filter.and_then(TryFrom::try_from).map_err(|error| error.to_string())?;
    Ok(no_second_numbers().into_iter().chain(program).collect())
}

/// Refuses the x32 call numbers of x86-64, which start at 0x40000000 and would bypass the rules.
fn no_second_numbers() -> Vec<sock_filter> {
    const LOAD_NUMBER: u16 = 0x20;
    const JUMP_IF_AT_LEAST: u16 = 0x35;
    const ANSWER: u16 = 0x06;
    if !cfg!(target_arch = "x86_64") {
        return Vec::new();
    }
    let step = |code, jf, k| sock_filter { code, jt: 0, jf, k };
    vec![
        step(LOAD_NUMBER, 0, 0),
        step(JUMP_IF_AT_LEAST, 1, 0x4000_0000),
        step(ANSWER, 0, libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32),
    ]
}

/// `struct sock_filter`, as it lies in memory.
fn bytes(program: &[sock_filter]) -> Vec<u8> {
    let instruction = |step: &sock_filter| {
        let mut bytes = step.code.to_ne_bytes().to_vec();
        bytes.extend([step.jt, step.jf]);
        bytes.extend(step.k.to_ne_bytes());
        bytes
    };
    program.iter().flat_map(instruction).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_whole_instructions_and_fit_the_kernel() {
        for (many, count) in [(true, 2), (false, 1)] {
            let filters = Filters::compile(many).unwrap();
            assert_eq!(filters.programs.len(), count);
            for program in filters.programs {
                assert!(program.len() % 8 == 0 && program.len() / 8 < 4096, "{}", program.len());
            }
        }
    }
}
