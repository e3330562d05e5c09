//! Integrity flags of merges, and the consent to move the user's checkout in spite of them.

use crate::{Error, Store, merge::Hold, storable::text, timed::timed, tx::Tx};
use domain::{
    RunId,
    integrity::{IntegrityFlag, IntegrityFlagKind},
    merge::MergeState,
};

/// What the delivery asks before it moves the user's checkout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Integrity {
    /// Whether the checkout may be moved in spite of flags.
    pub allowed: bool,
    /// The flags of what landed.
    pub flags: Vec<IntegrityFlag>,
}

impl Tx {
    /// Records what was found about a merge, in place of what was found when it was judged before, and returns what
    /// had not been recorded yet. The caller has shown that the merge is its own.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn save_integrity_flags(
        &mut self,
        hold: Hold<'_>,
        flags: &[IntegrityFlag],
    ) -> Result<Vec<IntegrityFlag>, Error> {
        let kinds: Vec<String> = flags.iter().map(|flag| flag.kind.as_str().to_owned()).collect();
        let paths: Vec<String> = flags.iter().map(stored_path).collect();
        let details: Vec<String> = flags.iter().map(|flag| text(&flag.detail).into_owned()).collect();
        let query = sqlx::query!(
            "delete from integrity_flag where merge = $1
                 and (kind, path) not in (select * from unnest($2::text[], $3::text[]))",
            hold.merge.0,
            &kinds,
            &paths,
        );
        timed("delete", query.execute(&mut *self.inner)).await?;
        let query = sqlx::query!(
            "insert into integrity_flag (run, task, merge, kind, path, detail)
             select m.run, m.task, m.id, f.kind, f.path, f.detail
             from merge m, unnest($2::text[], $3::text[], $4::text[]) as f (kind, path, detail) where m.id = $1
             on conflict (merge, kind, path) do nothing returning kind, path",
            hold.merge.0,
            &kinds,
            &paths,
            &details,
        );
        let new = timed("insert", query.fetch_all(&mut *self.inner)).await?;
        let is_new = |flag: &&IntegrityFlag| {
            let path = stored_path(flag);
            new.iter().any(|row| row.kind == flag.kind.as_str() && row.path == path)
        };
        Ok(flags.iter().filter(is_new).cloned().collect())
    }

    /// Lets the user's checkout be moved in spite of flags.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn allow_integrity_flags(&mut self, run: RunId) -> Result<(), Error> {
        let query = sqlx::query!("update run set allow_integrity_flags = true where id = $1", run.0);
        timed("update", query.execute(&mut *self.inner)).await?;
        Ok(())
    }
}

impl Store {
    /// The flags of what landed in a run, and whether its checkout may be moved in spite of them.
    ///
    /// # Errors
    /// When the database can't be reached, or a stored value can't be read.
    pub async fn integrity(&self, run: RunId) -> Result<Integrity, Error> {
        let query = sqlx::query_scalar!("select allow_integrity_flags from run where id = $1", run.0);
        let allowed = timed("select", query.fetch_one(&self.pool)).await?;
        let query = sqlx::query!(
            "select f.kind, f.path, f.detail from integrity_flag f join merge m on m.id = f.merge
             where f.run = $1 and m.state = $2 order by f.id",
            run.0,
            MergeState::Landed.as_str(),
        );
        let rows = timed("select", query.fetch_all(&self.pool)).await?;
        let flags = rows
            .into_iter()
            .map(|row| flag(&row.kind, row.path, row.detail))
            .collect::<Result<_, _>>()?;
        Ok(Integrity { allowed, flags })
    }
}

/// A flag as it is stored.
pub(crate) fn flag(kind: &str, path: String, detail: String) -> Result<IntegrityFlag, Error> {
    Ok(IntegrityFlag {
        kind: IntegrityFlagKind::parse(kind).ok_or_else(|| Error::corrupt("integrity_flag.kind", kind))?,
        path: (!path.is_empty()).then_some(path),
        detail,
    })
}

fn stored_path(flag: &IntegrityFlag) -> String {
    text(flag.path.as_deref().unwrap_or_default()).into_owned()
}
