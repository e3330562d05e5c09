//! The init process of a sandbox, with which all its other processes end.
//!
//! Bubblewrap returns as soon as the command does, while the kernel still kills the processes that the command left:
//! these may write to the worktree a moment longer. The init process ends last, so the sandbox waits for it.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use rustix::fs::MemfdFlags;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::timeout;

/// Much more than bubblewrap writes.
const MAX_BYTES: usize = 4096;

const NAME: &str = "\"child-pid\":";

/// The init process, once bubblewrap has named it.
pub(crate) struct Init {
    /// Where bubblewrap writes its number. Not a pipe: writing to a closed one would kill bubblewrap and leave the
    /// process behind.
    said: File,
    process: Option<OwnedFd>,
}

impl Init {
    /// Creates the memory file in which bubblewrap names the process; returns the descriptor for bubblewrap too.
    pub(crate) fn announced() -> io::Result<(OwnedFd, Self)> {
        let said = File::from(rustix::fs::memfd_create("init", MemfdFlags::CLOEXEC)?);
        let for_bubblewrap = said.try_clone()?.into();
        Ok((for_bubblewrap, Self { said, process: None }))
    }

    /// Opens the process while it certainly runs, before its number can be reused.
    pub(crate) fn hold(&mut self) {
        let mut said = [0; MAX_BYTES];
        let length = self.said.read_at(&mut said, 0).unwrap_or(0);
        let process = number(&String::from_utf8_lossy(&said[..length])).and_then(Pid::from_raw);
        self.process = process.and_then(|process| pidfd_open(process, PidfdFlags::empty()).ok());
    }

    /// Waits until all processes of the sandbox have ended, at most for this long.
    pub(crate) async fn gone(mut self, limit: Duration) {
        if self.process.is_none() {
            self.hold();
        }
        // Without a process, it never started or has ended already.
        let Some(Ok(process)) = self.process.map(readable_when_ended) else {
            return;
        };
        // A process that takes longer to exit (it may hang in a file system) is killed already.
        drop(timeout(limit, process.readable()).await);
    }
}

fn readable_when_ended(process: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    #[expect(
        unsafe_code,
        reason = "tokio has no safe way to wait on a descriptor that is not of its own kinds"
    )]
    // SAFETY: the descriptor is owned and stays open and the same for as long as it is waited on.
    let registered = unsafe { AsyncFd::register_with_interest(process, Interest::READABLE) };
    Ok(registered?)
}

/// The number in `{ "child-pid": 123, …`, once it is complete.
fn number(said: &str) -> Option<i32> {
    let rest = said.split_once(NAME)?.1.trim_start();
    let end = rest.find(|character: char| !character.is_ascii_digit())?;
    rest[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_is_read_once_complete() {
        assert_eq!(number("{\n    \"child-pid\": 12"), None);
        assert_eq!(number("{\n    \"child-pid\": 123\n}\n"), Some(123));
        assert_eq!(number("{\n    \"child-pid\": 123,\n \"net\": 5"), Some(123));
        assert_eq!(number("{}"), None);
    }
}
