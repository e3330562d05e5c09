//! Why a remote could not be asked.

use crate::error::GitError;

/// Why the result of a push is unknown, or why it was not tried. Repeating it is fine.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The address can't be used.
    #[error("'{address}' can't be pushed to: {reason}")]
    BadAddress {
        /// The address, without a password.
        address: String,
        /// Why.
        reason: &'static str,
    },
    /// The branch name is none.
    #[error("'{branch}' is no branch name: letters, digits, - and / are fine")]
    BadBranch {
        /// The name.
        branch: String,
    },
    /// The remote did not answer as a repository.
    #[error(
        "{address} can't be reached: {said}. Check the address, and that a credential helper or an ssh command is \
         configured if it needs one"
    )]
    Unreachable {
        /// The address.
        address: String,
        /// What git said.
        said: String,
    },
    /// Anything else.
    #[error(transparent)]
    Git(#[from] GitError),
}

impl From<PushError> for GitError {
    fn from(error: PushError) -> Self {
        match error {
            PushError::Unreachable { address, said } => Self::Upstream { address, said },
            PushError::Git(error) => error,
            PushError::BadAddress { address, .. } | PushError::BadBranch { branch: address } => Self::Upstream {
                said: "it can't be used as an address or a name".into(),
                address,
            },
        }
    }
}
