//! From what a person types to a run.

use super::Views;
use crate::{Error, timed::timed};
use domain::RunId;
use std::str::FromStr;

/// How many digits of the end of a run's id name it.
const SHORT_DIGITS: std::ops::RangeInclusive<usize> = 4..=32;

/// Why a text names no run.
#[derive(Debug, thiserror::Error)]
pub enum FindRunError {
    /// It can't be the name of a run.
    #[error("{0:?} is not the id of a run: that is a UUID, or the last eight digits of one")]
    Malformed(String),
    /// There is no such run.
    #[error("there is no run {0}")]
    NotFound(String),
    /// There are several.
    #[error("{text} may be any of {}; give more digits", list(candidates))]
    Ambiguous {
        /// What was asked for.
        text: String,
        /// Some of the runs it may be.
        candidates: Vec<RunId>,
    },
    /// The database could not be asked.
    #[error(transparent)]
    Database(#[from] Error),
}

fn list(candidates: &[RunId]) -> String {
    let names: Vec<String> = candidates.iter().map(RunId::to_string).collect();
    names.join(", ")
}

impl Views {
    /// The run of a full id, or of the last digits of one.
    ///
    /// # Errors
    /// When there is none, or more than one, or the database can't be reached.
    pub async fn find_run(&self, text: &str) -> Result<RunId, FindRunError> {
        let digits = text.replace('-', "").to_ascii_lowercase();
        let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_hex || !SHORT_DIGITS.contains(&digits.len()) {
            return Err(FindRunError::Malformed(text.chars().take(80).collect()));
        }
        let mut candidates = match RunId::from_str(text) {
            Ok(id) => self.run_with_id(id).await?,
            Err(_) => self.runs_ending_in(&digits).await?,
        };
        match (candidates.pop(), candidates.is_empty()) {
            (None, _) => Err(FindRunError::NotFound(text.to_owned())),
            (Some(run), true) => Ok(run),
            (Some(run), false) => {
                candidates.push(run);
                Err(FindRunError::Ambiguous {
                    text: text.to_owned(),
                    candidates,
                })
            }
        }
    }

    async fn run_with_id(&self, id: RunId) -> Result<Vec<RunId>, Error> {
        let query = sqlx::query_scalar!("select id from run where id = $1", id.0);
        let found = timed("select", query.fetch_all(&self.pool)).await?;
        Ok(found.into_iter().map(RunId).collect())
    }

    async fn runs_ending_in(&self, digits: &str) -> Result<Vec<RunId>, Error> {
        let query = sqlx::query_scalar!(
            "select id from run where replace(id::text, '-', '') like '%' || $1::text
             order by created_at desc limit 5",
            digits,
        );
        let found = timed("select", query.fetch_all(&self.pool)).await?;
        Ok(found.into_iter().map(RunId).collect())
    }
}
