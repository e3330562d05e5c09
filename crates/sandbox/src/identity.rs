//! The host account of a job, which is never root.
//!
//! An ordinary user's server starts bubblewrap as itself. A root server starts it as root of a user namespace whose ids
//! map to an unused range of the host: a process that escapes from a sandbox is then an account that owns nothing.

use std::fs;
use std::io::{self, Write};
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use rustix::thread::UnshareFlags;

use crate::{SandboxError, Settings};

/// How many ids the namespace has: as many as most systems use, so that files of any account have an owner inside.
pub(crate) const ID_COUNT: u32 = 65_536;

/// Where the search for a free range starts, as in `useradd`.
const FIRST_CANDIDATE: u32 = 100_000;

/// The host account of jobs.
#[derive(Clone, Debug)]
pub(crate) enum Identity {
    /// The account of this process, an ordinary one.
    Own,
    /// The first id of an unused range.
    Subordinate(Subordinate),
}

/// A user namespace over a range of ids.
#[derive(Clone, Debug)]
pub(crate) struct Subordinate {
    /// The host's user and group id of root in the namespace.
    pub(crate) first_id: u32,
    pub(crate) namespace: Arc<OwnedFd>,
}

impl Identity {
    /// Chooses the identity by this process's account and the settings.
    ///
    /// # Errors
    /// When this process is root and can't create such a namespace.
    pub(crate) fn choose(settings: &Settings) -> Result<Self, SandboxError> {
        if !is_root_of_the_host() {
            return Ok(Self::Own);
        }
        let first_id =
            choose_range(settings.host_uid, &Accounts::read()).map_err(|reason| SandboxError::Root { reason })?;
        let namespace = make_namespace(first_id).map_err(|error| SandboxError::Root {
            reason: format!("a user namespace of the ids from {first_id} could not be created: {error}"),
        })?;
        Ok(Self::Subordinate(Subordinate {
            first_id,
            namespace: Arc::new(namespace),
        }))
    }

    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Own => format!("outside it is user {}", rustix::process::geteuid().as_raw()),
            Self::Subordinate(Subordinate { first_id, .. }) => {
                format!("outside it is user {first_id}, who is nobody (this server is root)")
            }
        }
    }
}

/// Whether this process is root on the host, not only in a container. Kernel settings belong to the host's root; in a
/// namespace that does not map it, they appear to belong to `nobody`.
fn is_root_of_the_host() -> bool {
    let owner = fs::metadata("/proc/sys/kernel").map(|metadata| metadata.uid());
    // If that can't be read, assume that root is the host's.
    rustix::process::geteuid().is_root() && owner.unwrap_or(0) == 0
}

/// The first id of the range: the configured one, root's from `/etc/subuid`, or the first free one.
fn choose_range(configured: Option<u32>, accounts: &Accounts) -> Result<u32, String> {
    if let Some(first) = configured {
        let range = range(first);
        if first == 0 || range.end > u64::from(u32::MAX) {
            return Err(format!(
                "`sandbox.host_uid` is {first}; it is the first of {ID_COUNT} ids, so choose one from 1 to {}",
                u32::MAX - ID_COUNT
            ));
        }
        return match accounts.account_in(&range) {
            None => Ok(first),
            Some(account) => Err(format!(
                "`sandbox.host_uid` is {first}, and `{account}` is one of the {ID_COUNT} ids from there; choose a range without accounts"
            )),
        };
    }
    if let Some(first) = accounts.of_root {
        return Ok(first);
    }
    (FIRST_CANDIDATE..u32::MAX - ID_COUNT)
        .step_by(ID_COUNT as usize)
        .find(|first| accounts.is_free(&range(*first)))
        .ok_or_else(|| "/etc/subuid assigns every range of ids; set `sandbox.host_uid`".to_owned())
}

fn range(first: u32) -> Range<u64> {
    u64::from(first)..u64::from(first) + u64::from(ID_COUNT)
}

/// Which ids of the host are in use.
#[derive(Debug, Default)]
struct Accounts {
    /// Users and groups.
    named: Vec<(String, u64)>,
    /// Ranges reserved for accounts.
    subordinate: Vec<Range<u64>>,
    /// The range reserved for root, if it is the same for users and groups.
    of_root: Option<u32>,
}

impl Accounts {
    fn read() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        Self::parse(
            [&read("/etc/passwd"), &read("/etc/group")],
            [&read("/etc/subuid"), &read("/etc/subgid")],
        )
    }

    fn parse(names: [&str; 2], subordinate: [&str; 2]) -> Self {
        let named = names.iter().flat_map(|text| text.lines()).filter_map(|line| {
            let mut fields = line.split(':');
            Some((fields.next()?.to_owned(), fields.nth(1)?.parse().ok()?))
        });
        let [users, groups] = subordinate.map(|text| text.lines().filter_map(subordinate_line).collect::<Vec<_>>());
        let of_root = |ranges: &[(String, Range<u64>)]| -> Vec<u32> {
            ranges
                .iter()
                .filter(|(name, range)| {
                    (name == "root" || name == "0") && range.end - range.start >= u64::from(ID_COUNT)
                })
                .filter_map(|(_, range)| u32::try_from(range.start).ok())
                .filter(|first| *first > 0 && *first < u32::MAX - ID_COUNT)
                .collect()
        };
        let groups_of_root = of_root(&groups);
        Self {
            named: named.collect(),
            of_root: of_root(&users).into_iter().find(|first| groups_of_root.contains(first)),
            subordinate: users.into_iter().chain(groups).map(|(_, range)| range).collect(),
        }
    }

    fn account_in(&self, range: &Range<u64>) -> Option<&str> {
        let named = self.named.iter().find(|(_, id)| range.contains(id));
        named.map(|(name, _)| name.as_str())
    }

    fn is_free(&self, range: &Range<u64>) -> bool {
        let apart = |other: &Range<u64>| other.end <= range.start || range.end <= other.start;
        self.account_in(range).is_none() && self.subordinate.iter().all(apart)
    }
}

/// `name:first:count`
fn subordinate_line(line: &str) -> Option<(String, Range<u64>)> {
    let mut fields = line.split(':');
    let name = fields.next()?.to_owned();
    let first: u64 = fields.next()?.trim().parse().ok()?;
    let count: u64 = fields.next()?.trim().parse().ok()?;
    Some((name, first..first.checked_add(count)?))
}

/// Creates the namespace. It lives while a process is in it or a descriptor refers to it, so a waiting shell keeps it
/// until the descriptor is open.
fn make_namespace(first_id: u32) -> io::Result<OwnedFd> {
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", "read _"])
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    #[expect(unsafe_code, reason = "std has no other way to do something between fork and exec")]
    // SAFETY: one system call, which touches no memory and no lock.
    unsafe {
        command.pre_exec(|| Ok(rustix::thread::unshare_unsafe(UnshareFlags::NEWUSER)?));
    }
    let mut waiting = command.spawn()?;
    let namespace = map_and_hold(&waiting, first_id);
    drop(waiting.stdin.take());
    waiting.wait()?;
    namespace
}

fn map_and_hold(process: &Child, first_id: u32) -> io::Result<OwnedFd> {
    let place = format!("/proc/{}", process.id());
    for map in ["uid_map", "gid_map"] {
        let mut map = fs::OpenOptions::new().write(true).open(format!("{place}/{map}"))?;
        map.write_all(format!("0 {first_id} {ID_COUNT}").as_bytes())?;
    }
    Ok(fs::File::open(format!("{place}/ns/user"))?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\nann:x:1000:1000::/home/ann:/bin/sh\nbroken line\n";

    fn chosen(configured: Option<u32>, passwd: &str, subordinate: [&str; 2]) -> Result<u32, String> {
        choose_range(configured, &Accounts::parse([passwd, "root:x:0:\n"], subordinate))
    }

    #[test]
    fn ranges_of_other_accounts_are_skipped() {
        assert_eq!(chosen(None, PASSWD, ["", ""]), Ok(100_000));
        let of_ann = "ann:100000:65536\n";
        assert_eq!(chosen(None, PASSWD, [of_ann, of_ann]), Ok(165_536));
        assert_eq!(chosen(None, PASSWD, ["", of_ann]), Ok(165_536));
        assert_eq!(chosen(None, "far:x:100001:100001::/:/bin/sh\n", ["", ""]), Ok(165_536));
    }

    #[test]
    fn range_reserved_for_root_is_used() {
        let lines = "ann:100000:65536\nroot:500000:65536\n";
        assert_eq!(chosen(None, PASSWD, [lines, lines]), Ok(500_000));
        // A range that is too short, or only for users, is not used.
        assert_eq!(
            chosen(None, PASSWD, ["root:500000:1000\n", "root:500000:1000\n"]),
            Ok(100_000)
        );
        assert_eq!(chosen(None, PASSWD, [lines, "ann:100000:65536\n"]), Ok(165_536));
    }

    #[test]
    fn configured_range_with_account_is_rejected_by_name() {
        assert_eq!(chosen(Some(200_000), PASSWD, ["", ""]), Ok(200_000));
        assert!(chosen(Some(900), PASSWD, ["", ""]).unwrap_err().contains("`ann`"));
        for first in [0, u32::MAX, u32::MAX - 65_535] {
            assert!(
                chosen(Some(first), PASSWD, ["", ""])
                    .unwrap_err()
                    .contains(&first.to_string())
            );
        }
    }
}
