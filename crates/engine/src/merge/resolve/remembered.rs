//! Hunks that were resolved before: in an earlier round of this merge, or in a merge that landed in this workspace.

use super::{ConflictResolver, OpenFile, OpenText};
use crate::merge::Failure;
use agents::resolver::{PastDecision, fitted};
use domain::merge::{Decision, Layer};
use std::collections::BTreeSet;
use store::{
    remembered::Remembered,
    resolution::{self, EarlierDecision, ResolutionRow},
};

/// Past decisions that a model is shown.
const SHOWN: usize = 3;

/// A hunk whose text is known, with the row about its source.
pub(super) struct Known {
    layer: Layer,
    row: ResolutionRow,
    pub(super) text: String,
    /// The row's id, where it exists already.
    id: Option<i64>,
}

impl ConflictResolver<'_> {
    /// The known text of each hunk.
    pub(super) async fn known(&self, file: &OpenFile, text: &OpenText) -> Result<Vec<Option<Known>>, Failure> {
        let mut known = Vec::new();
        for (index, hunk) in text.hunks.hunks().enumerate() {
            let texts = [hunk.base.clone(), hunk.ours.clone(), hunk.theirs.clone()];
            known.push(match self.decided_in_this_merge(file, &texts) {
                Some(known) => Some(known),
                None => self.landed_before(file, index, texts).await?,
            });
        }
        Ok(known)
    }

    fn decided_in_this_merge(&self, file: &OpenFile, texts: &[String; 3]) -> Option<Known> {
        let same = |earlier: &&EarlierDecision| earlier.row.path == file.path && earlier.row.texts == *texts;
        let EarlierDecision { id, row } = self.earlier.iter().find(same)?;
        let layer = Layer::parse(&row.layer).filter(|layer| self.settings.asks(*layer))?;
        Some(Known {
            layer,
            text: row.text.clone()?,
            row: row.clone(),
            id: Some(*id),
        })
    }

    async fn landed_before(&self, file: &OpenFile, index: usize, texts: [String; 3]) -> Result<Option<Known>, Failure> {
        if !self.settings.asks(Layer::Remembered) {
            return Ok(None);
        }
        let key = resolution::key(&file.path, &texts);
        let store = &self.active.entry.branch.context.store;
        let Some(landed) = store.remembered(self.active.entry.branch.details.id, &key).await? else {
            return Ok(None);
        };
        // It may have landed with other line endings.
        let text = fitted(&landed.text.replace("\r\n", "\n"), [&texts[1], &texts[2]]);
        let row = ResolutionRow {
            path: file.path.clone(),
            hunk: index as u32 + 1,
            texts,
            text: Some(text.clone()),
            reason: provenance(&landed),
            ..ResolutionRow::default()
        };
        Ok(Some(Known {
            layer: Layer::Remembered,
            row,
            text,
            id: None,
        }))
    }

    /// The content, if every hunk is known and the result is acceptable. If it is not, all hunks become unknown.
    pub(super) async fn recalled(
        &self,
        file: &OpenFile,
        text: &OpenText,
        known: &mut [Option<Known>],
    ) -> Result<Option<Vec<u8>>, Failure> {
        let Some(all) = known.iter().map(Option::as_ref).collect::<Option<Vec<&Known>>>() else {
            return Ok(None);
        };
        let replaced: Vec<&str> = all.iter().map(|known| known.text.as_str()).collect();
        match self.whole(file, text, &replaced).await? {
            Ok(content) => {
                for known in all {
                    self.record_use(known).await?;
                }
                Ok(Some(content))
            }
            Err(why) => {
                self.record_file(&file.path, Layer::Remembered, Decision::Failed, why)
                    .await?;
                known.fill_with(|| None);
                Ok(None)
            }
        }
    }

    /// Records the use of a known text. One of an earlier round has its row, event and count already.
    pub(super) async fn record_use(&self, known: &Known) -> Result<(), Failure> {
        match known.id {
            Some(id) => self.active.entry.keep_decision(id).await,
            None => self.record(known.layer, Decision::Resolved, known.row.clone()).await,
        }
    }

    /// Decisions that landed for similar conflicts, the most similar first.
    pub(super) async fn similar(&self, file: &OpenFile, texts: &[String; 3]) -> Result<Vec<PastDecision>, Failure> {
        if !self.settings.asks(Layer::Remembered) {
            return Ok(Vec::new());
        }
        let store = &self.active.entry.branch.context.store;
        let mut past = store
            .remembered_alike(self.active.entry.branch.details.id, &file.path)
            .await?;
        // Stable: of two that are equally similar, the file's own and the later one stays first.
        past.sort_by_key(|landed| std::cmp::Reverse(similarity(&landed.texts, texts)));
        past.truncate(SHOWN);
        Ok(past.into_iter().map(shown).collect())
    }
}

fn provenance(landed: &Remembered) -> String {
    let who = match (&landed.model, landed.layer.as_str()) {
        (Some(model), layer) => format!("the {layer} {model}"),
        (None, layer) => format!("a {layer}"),
    };
    let run = landed
        .run
        .map(|run| format!(" in run {}", run.short()))
        .unwrap_or_default();
    format!(
        "{who} decided the same hunk for task {}{run}, and it landed: {}",
        landed.task, landed.reason
    )
}

fn shown(landed: Remembered) -> PastDecision {
    let [base, ours, theirs] = landed.texts;
    PastDecision {
        file: landed.path,
        base,
        ours,
        theirs,
        text: landed.text,
    }
}

/// The percentage of lines that two conflicts share.
fn similarity(one: &[String; 3], two: &[String; 3]) -> usize {
    let lines = |texts: &'_ [String; 3]| -> BTreeSet<String> {
        let lines = texts
            .iter()
            .flat_map(|text| text.lines())
            .map(|line| line.trim().to_owned());
        lines.filter(|line| !line.is_empty()).collect()
    };
    let (one, two) = (lines(one), lines(two));
    let all = one.union(&two).count();
    (one.intersection(&two).count() * 100).checked_div(all).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::similarity;

    #[test]
    fn similarity_is_the_share_of_common_lines() {
        let texts = |base: &str, ours: &str, theirs: &str| [base.to_owned(), ours.to_owned(), theirs.to_owned()];
        let one = texts("a\n", "a\nb\n", "  a\nc\n");
        assert_eq!(similarity(&one, &one), 100);
        assert_eq!(similarity(&one, &texts("a", "d", "")), 25);
        assert_eq!(similarity(&one, &texts("x", "y", "z")), 0);
        assert_eq!(similarity(&texts("", "", ""), &texts("", "\n", "")), 0);
    }
}
