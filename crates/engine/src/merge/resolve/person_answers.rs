//! A person's answer about a file. It is recorded hunk by hunk where the hunks' replacements can be found in it, so that it
//! is remembered for the same lines; else as a whole.

use super::{ConflictResolver, files::OpenFile};
use crate::{context::blocking, merge::Failure};
use domain::merge::{Decision, Layer};
use store::resolution::ResolutionRow;

impl ConflictResolver<'_> {
    /// Applies an answer, if it was given for the versions that conflict now.
    pub(super) async fn answered(&self, file: &OpenFile) -> Result<Option<git::Resolution>, Failure> {
        let Some((resolution, row)) = self.active.decided_by_a_person(&file.file).await? else {
            return Ok(None);
        };
        for row in self.hunk_by_hunk(file, &resolution, row).await? {
            self.record(Layer::Person, Decision::Resolved, row).await?;
        }
        Ok(Some(resolution))
    }

    async fn hunk_by_hunk(
        &self,
        file: &OpenFile,
        resolution: &git::Resolution,
        row: ResolutionRow,
    ) -> Result<Vec<ResolutionRow>, Failure> {
        let content = match resolution {
            git::Resolution::Content(content) => Ok(content.clone()),
            git::Resolution::Version(version) => {
                let (hub, blob) = (self.active.entry.branch.hub.clone(), version.blob.clone());
                // Fails for a submodule's commit.
                blocking(move || hub.read_blob(&blob)).await
            }
            git::Resolution::Delete => return Ok(vec![row]),
        };
        let (Ok(content), Ok(text)) = (content, &file.text) else {
            return Ok(vec![row]);
        };
        let replaced = std::str::from_utf8(&content)
            .ok()
            .and_then(|content| text.hunks.replaced(content));
        let Some(replaced) = replaced else {
            return Ok(vec![row]);
        };
        let hunks = (1..).zip(text.hunks.hunks()).zip(replaced);
        let rows = hunks.map(|((number, hunk), replaced)| ResolutionRow {
            hunk: number,
            texts: [hunk.base.clone(), hunk.ours.clone(), hunk.theirs.clone()],
            text: Some(replaced),
            path: row.path.clone(),
            reason: row.reason.clone(),
            ..ResolutionRow::default()
        });
        Ok(rows.collect())
    }
}
