//! Names of git things at the boundary of this crate.

use crate::error::{GitError, GitResult};
use domain::CommitId;
use git2::{Oid, Signature, Time};
use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! object_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(formatter)
            }
        }

        impl From<Oid> for $name {
            fn from(oid: Oid) -> Self {
                Self(oid.to_string())
            }
        }

        impl $name {
            pub(crate) fn oid(&self) -> GitResult<Oid> {
                parse_oid(&self.0)
            }
        }
    };
}

object_id! {
    /// A tree object of the hub, in hexadecimal.
    TreeId
}
object_id! {
    /// A blob object of the hub, in hexadecimal.
    BlobId
}

/// A path inside a repository: bytes with `/` between the parts, as git stores it.
///
/// It is usually text and serialises as text; where it is not UTF-8, it serialises as a list of bytes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RepoPath(Vec<u8>);

impl RepoPath {
    /// The path as git stores it.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// The bytes of the path.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The path as text, if it is UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }
}

impl From<&str> for RepoPath {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl fmt::Display for RepoPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        String::from_utf8_lossy(&self.0).fmt(formatter)
    }
}

impl fmt::Debug for RepoPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}", String::from_utf8_lossy(&self.0))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum WirePath {
    Text(String),
    Bytes(Vec<u8>),
}

impl Serialize for RepoPath {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.as_str() {
            Some(text) => WirePath::Text(text.to_owned()),
            None => WirePath::Bytes(self.0.clone()),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for RepoPath {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match WirePath::deserialize(deserializer)? {
            WirePath::Text(text) => Self(text.into_bytes()),
            WirePath::Bytes(bytes) => Self(bytes),
        })
    }
}

/// Who signs a commit: as author and as committer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The name, not empty.
    pub name: String,
    /// The address, not empty.
    pub email: String,
}

/// The message and signature of a commit. The same stamp on the same tree and parents is the same commit, so an
/// effect that is repeated after a crash must repeat its stamp.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The whole message.
    pub message: String,
    /// Author and committer.
    pub identity: Identity,
    /// Seconds since 1970, in UTC.
    pub at_unix_s: i64,
}

impl Stamp {
    pub(crate) fn signature(&self) -> GitResult<Signature<'static>> {
        Signature::new(&self.identity.name, &self.identity.email, &Time::new(self.at_unix_s, 0)).map_err(|source| {
            GitError::git(
                format!(
                    "can't sign a commit as '{} <{}>': give a name and an address without line breaks or angle brackets",
                    self.identity.name, self.identity.email
                ),
                source,
            )
        })
    }
}

pub(crate) fn parse_oid(hex: &str) -> GitResult<Oid> {
    match hex.len() {
        40 => Oid::from_str(hex).map_err(|_| GitError::NotAnObjectId { text: hex.to_owned() }),
        _ => Err(GitError::NotAnObjectId { text: hex.to_owned() }),
    }
}

pub(crate) fn commit_oid(commit: &CommitId) -> GitResult<Oid> {
    parse_oid(&commit.0)
}

pub(crate) fn commit_id(oid: Oid) -> CommitId {
    CommitId(oid.to_string())
}
