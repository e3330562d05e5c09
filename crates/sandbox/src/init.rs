//! The first process of a sandbox, with which all others of it end.
//!
//! Bubblewrap itself returns as soon as the command does, while the kernel still ends what the command left running:
//! that may write to the worktree a moment longer. So the end of the first process is waited for, which comes last.

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

/// Much more than bubblewrap says.
const MOST_BYTES: usize = 4096;

const NAME: &str = "\"child-pid\":";

/// The process, once bubblewrap has named it.
pub(crate) struct Init {
    /// What bubblewrap says of it. Not a pipe: it would die of one that nobody reads, and leave the process behind.
    said: File,
    process: Option<OwnedFd>,
}

impl Init {
    /// A file in memory in which bubblewrap names the process: a descriptor for it, and the process.
    pub(crate) fn announced() -> io::Result<(OwnedFd, Self)> {
        let said = File::from(rustix::fs::memfd_create("init", MemfdFlags::CLOEXEC)?);
        let for_bubblewrap = said.try_clone()?.into();
        Ok((for_bubblewrap, Self { said, process: None }))
    }

    /// Holds the process while it runs for sure, before its number can go to another.
    pub(crate) fn hold(&mut self) {
        let mut said = [0; MOST_BYTES];
        let length = self.said.read_at(&mut said, 0).unwrap_or(0);
        let process = number(&String::from_utf8_lossy(&said[..length])).and_then(Pid::from_raw);
        self.process = process.and_then(|process| pidfd_open(process, PidfdFlags::empty()).ok());
    }

    /// Returns when no process of the sandbox is left, or the time is over.
    pub(crate) async fn gone(mut self, limit: Duration) {
        if self.process.is_none() {
            self.hold();
        }
        // Without it, it was never made or is gone already.
        let Some(Ok(process)) = self.process.map(readable_at_its_end) else {
            return;
        };
        // What the kernel can't end in that time (it may hang in a file system) is killed all the same.
        drop(timeout(limit, process.readable()).await);
    }
}

fn readable_at_its_end(process: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    #[expect(
        unsafe_code,
        reason = "tokio has no safe way to wait on a descriptor that is not of its own kinds"
    )]
    // SAFETY: the descriptor is owned and stays open and the same for as long as it is waited on.
    let registered = unsafe { AsyncFd::register_with_interest(process, Interest::READABLE) };
    Ok(registered?)
}

/// The number in `{ "child-pid": 123, …`, once it is whole.
fn number(said: &str) -> Option<i32> {
    let rest = said.split_once(NAME)?.1.trim_start();
    let end = rest.find(|character: char| !character.is_ascii_digit())?;
    rest[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_taken_when_it_is_whole() {
        assert_eq!(number("{\n    \"child-pid\": 12"), None);
        assert_eq!(number("{\n    \"child-pid\": 123\n}\n"), Some(123));
        assert_eq!(number("{\n    \"child-pid\": 123,\n \"net\": 5"), Some(123));
        assert_eq!(number("{}"), None);
    }
}
