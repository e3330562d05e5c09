//! What a person decided about a file. It is noted hunk by hunk where what stands in the hunks' places can be told, so
//! that it is known again when the same lines meet; else as a whole.

use super::{Ladder, read::OpenFile};
use crate::{context::blocking, merge::Failure};
use domain::merge::{Decision, Layer};
use store::resolution::ResolutionRow;

impl Ladder<'_> {
    /// Puts an answer in, if the very versions meet that it was given for.
    pub(super) async fn answered(&self, file: &OpenFile) -> Result<Option<git::Resolution>, Failure> {
        let Some((resolution, row)) = self.merger.decided_by_a_person(&file.file).await? else {
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
                let (hub, blob) = (self.merger.entry.branch.hub.clone(), version.blob.clone());
                // A submodule's commit is no content.
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
