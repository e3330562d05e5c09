//! How conflicts were decided: one row for each hunk and layer that had a say.

use crate::{Error, Store, Tx, merge::Hold, storable::text, timed::timed};
use domain::{
    TaskId,
    merge::{Decision, Layer},
};
use sha2::{Digest, Sha256};
use std::borrow::Cow;

/// A conflict or hunk that was decided.
#[derive(Clone, Debug, Default)]
pub struct ResolutionRow {
    /// The path.
    pub path: String,
    /// 1 for the first hunk of the file, 0 for the whole file.
    pub hunk: u32,
    /// Which layer decided.
    pub layer: String,
    /// `resolved`, `declined` or `failed`.
    pub result: String,
    /// The hunk's three texts: base, ours, theirs.
    pub texts: [String; 3],
    /// What was put in its place.
    pub text: Option<String>,
    /// The reason given.
    pub reason: String,
    /// The model that answered.
    pub model: Option<String>,
    /// What asking cost, in nano-dollars.
    pub cost: Option<i64>,
}

/// What was decided about a hunk of a task's last merge.
#[derive(Clone, Debug)]
pub struct DecidedHunk {
    /// The path.
    pub path: String,
    /// The hunk's three texts: base, ours, theirs.
    pub texts: [String; 3],
    /// What was put in its place.
    pub text: String,
}

/// A decision of an earlier round of the same merge.
#[derive(Clone, Debug)]
pub struct EarlierDecision {
    /// Its row.
    pub id: i64,
    /// What was decided.
    pub row: ResolutionRow,
}

/// What a hunk of a file is known by: a digest of the path and its three texts, without blanks at the ends of lines.
/// Which side is whose does not matter: a decision favours neither.
pub fn key(path: &str, [base, ours, theirs]: &[String; 3]) -> String {
    let lines = |text: &String| text.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>();
    let mut sides = [ours, theirs];
    sides.sort_by_key(|side| lines(side));
    let mut digest = Sha256::new();
    for part in [path, base].into_iter().chain(sides.map(String::as_str)) {
        for line in part.lines() {
            digest.update(line.trim_end());
            digest.update(b"\n");
        }
        digest.update(b"\0");
    }
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

impl ResolutionRow {
    /// What the hunk is known by again. Nothing is learned from a whole file, nor where a text can't be stored as it
    /// is: what would come back is not what landed.
    fn key(&self) -> Option<String> {
        let texts = self.texts.iter().chain(&self.text);
        let kept_as_is = texts
            .map(String::as_str)
            .all(|own| matches!(text(own), Cow::Borrowed(_)));
        (self.hunk > 0 && kept_as_is).then(|| key(&self.path, &self.texts))
    }
}

impl Tx {
    /// Notes how one conflict was decided, in the round that its merge is at. `false` when the lease is lost, or the
    /// merge has ended or is to land as it is.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn save_resolution(&mut self, hold: Hold<'_>, row: &ResolutionRow) -> Result<bool, Error> {
        let [base, ours, theirs] = &row.texts;
        let saved = timed(
            "insert",
            sqlx::query!(
                "insert into resolution (merge, round, path, hunk, layer, result, base_text, ours_text, theirs_text,
                     text, reason, key, model, cost)
                 select m.id, m.round, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13 from merge m
                 where m.id = $1 and m.ended_at is null and m.intended_at is null
                   and exists (select 1 from lease l where l.name = $14 and l.fence = $15)",
                hold.merge.0,
                &*text(&row.path),
                row.hunk as i32,
                row.layer,
                row.result,
                &*text(base),
                &*text(ours),
                &*text(theirs),
                row.text.as_deref().map(|own| text(own).into_owned()),
                &*text(&row.reason),
                row.key(),
                row.model,
                row.cost,
                hold.lease.name(),
                hold.lease.fence().0,
            )
            .execute(&mut *self.inner),
        )
        .await?;
        Ok(saved.rows_affected() == 1)
    }

    /// Takes a decision of an earlier round up into the present one: it was paid for once, and is noted once. `false`
    /// when the lease is lost, or the merge has ended or is to land as it is.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn keep_resolution(&mut self, hold: Hold<'_>, id: i64) -> Result<bool, Error> {
        let kept = timed(
            "update",
            sqlx::query!(
                "update resolution r set round = m.round from merge m
                 where r.id = $2 and r.merge = m.id and m.id = $1 and m.ended_at is null and m.intended_at is null
                   and exists (select 1 from lease l where l.name = $3 and l.fence = $4)",
                hold.merge.0,
                id,
                hold.lease.name(),
                hold.lease.fence().0,
            )
            .execute(&mut *self.inner),
        )
        .await?;
        Ok(kept.rows_affected() == 1)
    }

    /// Notes that what was decided in the present round did not pass the gate: it is not put in again by itself.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn refuse_resolutions(&mut self, hold: Hold<'_>) -> Result<(), Error> {
        timed(
            "update",
            sqlx::query!(
                "update resolution r set refused = true from merge m
                 where r.merge = m.id and r.round = m.round and m.id = $1 and m.ended_at is null
                   and exists (select 1 from lease l where l.name = $2 and l.fence = $3)",
                hold.merge.0,
                hold.lease.name(),
                hold.lease.fence().0,
            )
            .execute(&mut *self.inner),
        )
        .await?;
        Ok(())
    }
}

impl Store {
    /// The hunks that were decided in the last merge of a task, the latest decision first. What did not pass the gate is
    /// not among them.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn decided_hunks(&self, task: TaskId) -> Result<Vec<DecidedHunk>, Error> {
        let query = sqlx::query!(
            r#"select path, coalesce(base_text, '') as "base!", coalesce(ours_text, '') as "ours!",
                   coalesce(theirs_text, '') as "theirs!", text as "text!"
               from resolution
               where merge = (select max(id) from merge where task = $1)
                 and result = $2 and key is not null and text is not null and not refused
               order by id desc"#,
            task.0,
            Decision::Resolved.as_str(),
        );
        let rows = timed("select", query.fetch_all(&self.pool)).await?;
        let hunks = rows.into_iter().map(|row| DecidedHunk {
            path: row.path,
            texts: [row.base, row.ours, row.theirs],
            text: row.text,
        });
        Ok(hunks.collect())
    }

    /// Begins to resolve a merge's conflict, once more where that was begun before, and returns the hunks that a model
    /// has decided in it, the latest decision first, which need not be asked again. What did not pass the gate is not
    /// among them. `None` when the lease is lost, or the merge has ended or is to land as it is.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn begin_round(&self, hold: Hold<'_>) -> Result<Option<Vec<EarlierDecision>>, Error> {
        let query = sqlx::query!(
            "update merge set round = round + 1 where id = $1 and ended_at is null and intended_at is null
               and exists (select 1 from lease l where l.name = $2 and l.fence = $3)",
            hold.merge.0,
            hold.lease.name(),
            hold.lease.fence().0,
        );
        if timed("update", query.execute(&self.pool)).await?.rows_affected() == 0 {
            return Ok(None);
        }
        let query = sqlx::query!(
            r#"select id, path, hunk, layer, result, coalesce(base_text, '') as "base!",
                   coalesce(ours_text, '') as "ours!", coalesce(theirs_text, '') as "theirs!", text, reason, model, cost
               from resolution
               where merge = $1 and layer = $2 and result = $3 and key is not null and not refused
               order by id desc"#,
            hold.merge.0,
            Layer::Model.as_str(),
            Decision::Resolved.as_str(),
        );
        let rows = timed("select", query.fetch_all(&self.pool)).await?;
        let decisions = rows.into_iter().map(|row| EarlierDecision {
            id: row.id,
            row: ResolutionRow {
                path: row.path,
                hunk: row.hunk as u32,
                layer: row.layer,
                result: row.result,
                texts: [row.base, row.ours, row.theirs],
                text: row.text,
                reason: row.reason,
                model: row.model,
                cost: row.cost,
            },
        });
        Ok(Some(decisions.collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(text: &str) -> ResolutionRow {
        ResolutionRow {
            path: "a.rs".into(),
            hunk: 1,
            texts: ["one\n".into(), "two  \r\n".into(), "three".into()],
            text: Some(text.into()),
            ..ResolutionRow::default()
        }
    }

    #[test]
    fn a_hunk_is_known_again_with_other_line_ends_and_nowhere_else() {
        let known = row("x").key().unwrap();
        let unix = ["one\n".to_owned(), "two\n".to_owned(), "three\n".to_owned()];
        assert_eq!(key("a.rs", &unix), known);
        assert_ne!(key("b.rs", &unix), known);
        let [base, ours, theirs] = unix.clone();
        assert_eq!(key("a.rs", &[base, theirs, ours]), known);
        let shifted = ["one\ntwo\n".to_owned(), String::new(), "three\n".to_owned()];
        assert_ne!(key("a.rs", &shifted), known);
    }

    #[test]
    fn what_is_not_stored_as_it_is_is_not_learned() {
        telemetry::secrets::register_secret("a-secret-in-a-hunk".into());
        assert_eq!(row("let key = \"a-secret-in-a-hunk\";").key(), None);
        let whole_file = ResolutionRow { hunk: 0, ..row("x") };
        assert_eq!(whole_file.key(), None);
    }
}
