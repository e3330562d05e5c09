//! The address of a remote, and how it knows us.

mod error;
pub(crate) mod transport;

pub use error::PushError;

use serde::{Deserialize, Serialize};
use std::{fmt, path::PathBuf};

/// Where to push.
#[derive(Clone, PartialEq, Eq)]
pub struct Remote {
    pub(crate) address: String,
    pub(crate) access: PushAccess,
}

/// How a remote knows us. Nothing is taken from the user's configuration or environment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushAccess {
    /// A command as in git's `credential.helper`; it is run with our HOME.
    pub credential_helper: Option<String>,
    /// A command as in git's `core.sshCommand`; it is run with our HOME. The default asks nothing.
    pub ssh_command: Option<String>,
}

impl fmt::Debug for Remote {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Remote").field(&self.address).finish()
    }
}

impl Remote {
    /// A remote by its address: `https://`, `http://`, `ssh://`, `file://`, `host:path` or an absolute path. An address
    /// with a password is refused, because other users of the machine could read it in the list of processes.
    pub fn new(address: &str, access: PushAccess) -> Result<Self, PushError> {
        let authority = address.split_once("://").map(|(_, rest)| {
            let end = rest.find('/').unwrap_or(rest.len());
            &rest[..end]
        });
        let user = authority.and_then(|authority| Some(authority.rsplit_once('@')?.0));
        let reason = if user.is_some_and(|user| user.contains(':')) {
            "it holds a password; take it out and configure a credential helper"
        } else if is_web(address) && user.is_some_and(is_token) {
            "the name in it is a token; take it out and configure a credential helper"
        } else if address.starts_with('-') || address.is_empty() {
            "it is no address"
        } else if address.contains("::") && authority.is_none() {
            "it names a program to run; give an https, ssh or file address"
        } else if address.contains(['\n', '\0']) {
            "it holds a line break"
        } else {
            return Ok(Self {
                address: address.to_owned(),
                access,
            });
        };
        let shown = match (user, address.split_once('@')) {
            (Some(_), Some((_, behind))) => format!("…@{behind}"),
            _ => address.to_owned(),
        };
        Err(PushError::BadAddress { address: shown, reason })
    }

    /// Where it is, if that is a path of this machine.
    pub(crate) fn path(&self) -> Option<PathBuf> {
        let path = self.address.strip_prefix("file://").unwrap_or(&self.address);
        path.starts_with('/').then(|| PathBuf::from(path))
    }

    /// The address.
    pub fn address(&self) -> &str {
        &self.address
    }
}

fn is_web(address: &str) -> bool {
    address.starts_with("https://") || address.starts_with("http://")
}

/// Forges take a token in the place of a name, too; no person's name is so long, or begins so.
fn is_token(user: &str) -> bool {
    const PREFIXES: [&str; 6] = ["ghp_", "gho_", "ghs_", "github_pat_", "glpat-", "ATBB"];
    user.len() >= 32 || PREFIXES.iter().any(|prefix| user.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::{PushAccess, Remote};

    #[test]
    fn an_address_that_runs_a_program_or_shows_a_password_is_refused() {
        for address in [
            "ext::sh -c id",
            "--upload-pack=id",
            "",
            "https://user:secret@example.org/x",
            "https://ghp_secret@example.org/x",
            "https://a\nb",
        ] {
            let error = Remote::new(address, PushAccess::default()).unwrap_err();
            assert!(!error.to_string().contains("secret"), "{error}");
        }
        for address in ["https://user@example.org/x", "git@example.org:a/b", "/srv/a.git"] {
            assert!(Remote::new(address, PushAccess::default()).is_ok(), "{address}");
        }
    }
}
