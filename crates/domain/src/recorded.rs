//! Documents that are read back from where they are stored.

use serde::{Deserialize, Serialize};

/// A stored document: as it was written, or the reason it can't be read.
///
/// Rows outlive versions. A document that another version wrote, or that is damaged, is shown as such instead of
/// failing everything around it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(untagged)]
pub enum Recorded<T> {
    /// The document.
    Read(T),
    /// It can't be read.
    Unreadable {
        /// Why not, for people.
        unreadable: String,
    },
}

impl<T> Recorded<T> {
    /// The document, where it can be read.
    pub const fn read(&self) -> Option<&T> {
        match self {
            Self::Read(document) => Some(document),
            Self::Unreadable { .. } => None,
        }
    }

    /// The document, where it can be read.
    pub fn into_read(self) -> Option<T> {
        match self {
            Self::Read(document) => Some(document),
            Self::Unreadable { .. } => None,
        }
    }
}
