//! What a run cost: every figure is computed from the ledger.

use super::Views;
use crate::{Error, timed::timed};
use domain::{NanoDollars, RunId, money::CallState};

/// Tokens as the providers report them. Cached ones are part of the input, reasoning is part of the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Of the questions.
    pub input: i64,
    /// Of the answers.
    pub output: i64,
    /// Of the questions, read from a cache.
    pub cached: i64,
    /// Of the answers, spent on reasoning.
    pub reasoning: i64,
}

/// The cost of one part of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CostLine {
    /// A role or a model.
    pub name: String,
    /// Calls made.
    pub calls: i64,
    /// Answered calls whose model has no price: their cost is not known and not counted.
    pub unpriced_calls: i64,
    /// Settled cost.
    pub spent: NanoDollars,
    /// Tokens used.
    pub tokens: Tokens,
}

/// What a run cost so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Settled cost of answered calls.
    pub spent: NanoDollars,
    /// Upper bounds of calls under way.
    pub reserved: NanoDollars,
    /// Upper bounds of calls whose answer was lost with their process; held against the cap for good.
    pub lost: NanoDollars,
    /// What the run may cost; `None` for no cap.
    pub cap: Option<NanoDollars>,
    /// Calls made.
    pub calls: i64,
    /// Answered calls whose model has no price.
    pub unpriced_calls: i64,
    /// Tokens used.
    pub tokens: Tokens,
    /// By role: director, worker, resolver.
    pub by_role: Vec<CostLine>,
    /// By the model that answered.
    pub by_model: Vec<CostLine>,
}

impl Views {
    /// What a run cost so far.
    ///
    /// # Errors
    /// When the database can't be reached.
    pub async fn cost(&self, run: RunId) -> Result<Cost, Error> {
        let query = sqlx::query!(
            r#"select b.spent, b.reserved, b.cap, coalesce(
                   (select sum(m.reserved) from model_call m where m.run = $1 and m.state = $2), 0)::bigint as "lost!"
               from budget b where b.run = $1"#,
            run.0,
            CallState::Lost.as_str(),
        );
        let Some(budget) = timed("select", query.fetch_optional(&self.pool)).await? else {
            return Ok(Cost::default());
        };
        let by_role = self.cost_lines(run, "role").await?;
        let by_model = self.cost_lines(run, "model").await?;
        let mut tokens = Tokens::default();
        for line in &by_role {
            tokens.input += line.tokens.input;
            tokens.output += line.tokens.output;
            tokens.cached += line.tokens.cached;
            tokens.reasoning += line.tokens.reasoning;
        }
        Ok(Cost {
            spent: NanoDollars(budget.spent),
            reserved: NanoDollars(budget.reserved - budget.lost),
            lost: NanoDollars(budget.lost),
            cap: budget.cap.map(NanoDollars),
            calls: by_role.iter().map(|line| line.calls).sum(),
            unpriced_calls: by_role.iter().map(|line| line.unpriced_calls).sum(),
            tokens,
            by_role,
            by_model,
        })
    }

    async fn cost_lines(&self, run: RunId, by: &str) -> Result<Vec<CostLine>, Error> {
        let query = sqlx::query!(
            r#"select case $2::text when 'role' then role else coalesce(model, model_requested) end as "name!",
                   count(*) as "calls!",
                   count(*) filter (where cost is null and output_tokens is not null) as "unpriced!",
                   coalesce(sum(cost), 0)::bigint as "spent!",
                   coalesce(sum(input_tokens), 0)::bigint as "input!",
                   coalesce(sum(output_tokens), 0)::bigint as "output!",
                   coalesce(sum(cached_tokens), 0)::bigint as "cached!",
                   coalesce(sum(reasoning_tokens), 0)::bigint as "reasoning!"
               from model_call where run = $1 group by 1 order by 4 desc, 1"#,
            run.0,
            by,
        );
        let rows = timed("select", query.fetch_all(&self.pool)).await?;
        let line = rows.into_iter().map(|row| CostLine {
            name: row.name,
            calls: row.calls,
            unpriced_calls: row.unpriced,
            spent: NanoDollars(row.spent),
            tokens: Tokens {
                input: row.input,
                output: row.output,
                cached: row.cached,
                reasoning: row.reasoning,
            },
        });
        Ok(line.collect())
    }
}
