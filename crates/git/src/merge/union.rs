//! Joining both sides of an append-only file, as git's union driver does.

use crate::{
    error::GitResult,
    hub::Hub,
    merge::{conflict::ConflictFile, content, xdiff},
};

impl Hub {
    /// The file with the lines of both sides, the branch's first, wherever both changed the same lines. `None` where
    /// that means nothing: a side does not have the file, or a version is no text or too large for a merge by lines.
    ///
    /// # Errors
    /// When a version can't be read.
    pub fn union(&self, file: &ConflictFile) -> GitResult<Option<Vec<u8>>> {
        let (Some(ours), Some(theirs)) = (&file.ours, &file.theirs) else {
            return Ok(None);
        };
        if [Some(ours), Some(theirs), file.base.as_ref()]
            .into_iter()
            .flatten()
            .any(|version| !version.is_file())
        {
            return Ok(None);
        }
        let base = match &file.base {
            Some(base) => self.read_blob(&base.blob)?,
            None => Vec::new(),
        };
        let (ours, theirs) = (self.read_blob(&ours.blob)?, self.read_blob(&theirs.blob)?);
        if ![&base, &ours, &theirs].into_iter().all(|text| content::is_text(text)) {
            return Ok(None);
        }
        Ok(xdiff::union(&base, &ours, &theirs))
    }
}
