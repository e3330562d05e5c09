//! Decisions that have landed, kept for each workspace so that the same hunk need not be decided twice.

use crate::{Error, Store, Tx, timed::timed};
use domain::{
    MergeId, RunId,
    merge::{Decision, Layer},
};

/// Decisions kept for one workspace; those unused for longest go first.
const KEPT: i64 = 10_000;
/// Rows that are looked at for those most alike.
const CANDIDATES: i64 = 64;

/// A decision that has landed.
#[derive(Clone, Debug)]
pub struct Remembered {
    /// The path.
    pub path: String,
    /// The hunk's three texts: base, ours, theirs.
    pub texts: [String; 3],
    /// What was put in its place.
    pub text: String,
    /// The reason given then.
    pub reason: String,
    /// Which layer decided.
    pub layer: String,
    /// The model that answered.
    pub model: Option<String>,
    /// The run it landed in, if that is still known.
    pub run: Option<RunId>,
    /// The task it landed with.
    pub task: String,
    /// Merges that have landed with it since.
    pub uses: i64,
}

struct Row {
    path: String,
    base_text: String,
    ours_text: String,
    theirs_text: String,
    text: String,
    reason: String,
    layer: String,
    model: Option<String>,
    run: Option<uuid::Uuid>,
    task: String,
    uses: i64,
}

impl From<Row> for Remembered {
    fn from(row: Row) -> Self {
        Self {
            path: row.path,
            texts: [row.base_text, row.ours_text, row.theirs_text],
            text: row.text,
            reason: row.reason,
            layer: row.layer,
            model: row.model,
            run: row.run.map(RunId),
            task: row.task,
            uses: row.uses,
        }
    }
}

/// What stands behind the last dot of a path's name; empty where there is none.
fn extension(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.rsplit_once('.').map_or("", |(_, extension)| extension)
}

impl Tx {
    /// Learns from a merge that lands in this transaction: what a model or a person decided is kept, and what was
    /// remembered is counted as used.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn learn_resolutions(&mut self, merge: MergeId) -> Result<(), Error> {
        let query = sqlx::query!(
            "insert into remembered_resolution (workspace, key, path, extension, base_text, ours_text, theirs_text, text, reason,
                 layer, model, run, merge, task)
             select distinct on (r.key) run.workspace, r.key, r.path,
                 coalesce(substring(r.path from '[.]([^./]*)$'), ''), r.base_text, r.ours_text, r.theirs_text, r.text,
                 r.reason, r.layer, r.model, m.run, m.id, t.key
             from resolution r join merge m on m.id = r.merge join task t on t.id = m.task join run on run.id = m.run
             where m.id = $1 and r.round = m.round and r.result = $2 and r.layer = any ($3)
                 and r.key is not null and r.text is not null
             order by r.key, r.id desc
             on conflict (workspace, key) do update set text = excluded.text, reason = excluded.reason,
                 layer = excluded.layer, model = excluded.model, run = excluded.run, merge = excluded.merge,
                 task = excluded.task, uses = 0, learned_at = now(), used_at = null",
            merge.0,
            Decision::Resolved.as_str(),
            &Layer::names(Layer::is_learned),
        );
        timed("insert", query.execute(&mut *self.inner)).await?;
        let query = sqlx::query!(
            "update remembered_resolution k set uses = k.uses + 1, used_at = now()
             from merge m join run on run.id = m.run
             where m.id = $1 and k.workspace = run.workspace and k.key in (select r.key from resolution r
                 where r.merge = $1 and r.round = m.round and r.layer = $2 and r.result = $3)",
            merge.0,
            Layer::Remembered.as_str(),
            Decision::Resolved.as_str(),
        );
        timed("update", query.execute(&mut *self.inner)).await?;
        let query = sqlx::query!(
            "delete from remembered_resolution k using (
                 select o.workspace, o.key from remembered_resolution o
                     join run on run.workspace = o.workspace join merge m on m.run = run.id
                 where m.id = $1 order by coalesce(o.used_at, o.learned_at) desc offset $2) old
             where k.workspace = old.workspace and k.key = old.key",
            merge.0,
            KEPT,
        );
        timed("delete", query.execute(&mut *self.inner)).await?;
        Ok(())
    }
}

impl Store {
    /// The decision that landed for this very hunk in the run's workspace, by [`crate::resolution::key`]. One that was
    /// taken up in this run before, and did not pass the gate there, is not offered again.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn remembered(&self, run: RunId, key: &str) -> Result<Option<Remembered>, Error> {
        let query = sqlx::query_as!(
            Row,
            "select k.path, k.base_text, k.ours_text, k.theirs_text, k.text, k.reason, k.layer, k.model, k.run, k.task,
                 k.uses
             from remembered_resolution k join run r on r.workspace = k.workspace where r.id = $1 and k.key = $2
                 and not exists (select 1 from merge m join resolution d on d.merge = m.id
                     where m.run = $1 and d.refused and d.layer = $3 and d.key = k.key)",
            run.0,
            key,
            Layer::Remembered.as_str(),
        );
        let row = timed("select", query.fetch_optional(&self.pool)).await?;
        Ok(row.map(Remembered::from))
    }

    /// Decisions that landed in the run's workspace in the same file or in files of its kind: those of the file first,
    /// then the latest.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn remembered_alike(&self, run: RunId, path: &str) -> Result<Vec<Remembered>, Error> {
        let query = sqlx::query_as!(
            Row,
            "select k.path, k.base_text, k.ours_text, k.theirs_text, k.text, k.reason, k.layer, k.model, k.run, k.task,
                 k.uses
             from remembered_resolution k join run r on r.workspace = k.workspace where r.id = $1 and k.extension = $2
             order by (k.path = $3) desc, k.learned_at desc limit $4",
            run.0,
            extension(path),
            path,
            CANDIDATES,
        );
        let rows = timed("select", query.fetch_all(&self.pool)).await?;
        Ok(rows.into_iter().map(Remembered::from).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::extension;

    #[test]
    fn an_extension_is_the_files_own() {
        let of = ["src/a.rs", "src.d/a", ".gitignore", "a.tar.gz", "a."].map(extension);
        assert_eq!(of, ["rs", "", "gitignore", "gz", ""]);
    }
}
