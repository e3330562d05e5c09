//! One task in full: what it was asked, and the transcript of its attempts.

use super::{TaskView, Views};
use crate::{Error, storable::recorded, timed::timed};
use domain::{CommitId, NanoDollars, RunId, TaskId, TaskKey, feedback::Feedback, recorded::Recorded, task::AttemptEnd};
use serde_json::Value;
use sqlx::types::Json;
use std::collections::HashMap;
use time::OffsetDateTime;

/// A task in full.
#[derive(Clone, Debug)]
pub struct TaskDetail {
    /// As in the run's table.
    pub task: TaskView,
    /// The task as the plan has it.
    pub spec: Value,
    /// What the next attempt learns about the last one.
    pub feedback: Option<Recorded<Feedback>>,
    /// Its attempts, from the first.
    pub attempts: Vec<AttemptView>,
}

/// One try at a task.
#[derive(Clone, Debug)]
pub struct AttemptView {
    /// From 1.
    pub number: i32,
    /// The integration tip it started from.
    pub base: Option<CommitId>,
    /// The frozen commit it submitted.
    pub commit: Option<CommitId>,
    /// The worker's own report.
    pub finish: Option<Value>,
    /// How it ended.
    pub end: Option<AttemptEnd>,
    /// When it began.
    pub started_at: OffsetDateTime,
    /// When it ended.
    pub ended_at: Option<OffsetDateTime>,
    /// Its turns, from the first.
    pub turns: Vec<TurnView>,
}

/// One answer of the agent, with its calls.
#[derive(Clone, Debug)]
pub struct TurnView {
    /// From 1.
    pub number: i32,
    /// The worker backend.
    pub backend: String,
    /// What the agent said, if anything.
    pub text: Option<String>,
    /// The model that answered.
    pub model: String,
    /// Tokens of the question and of the answer.
    pub tokens: (i64, i64),
    /// What it cost; `None` for an unpriced model.
    pub cost: Option<NanoDollars>,
    /// When it was answered.
    pub answered_at: OffsetDateTime,
    /// When its last tool was done.
    pub ended_at: Option<OffsetDateTime>,
    /// Its tool calls, in their order.
    pub calls: Vec<ToolCallView>,
}

/// One tool call.
#[derive(Clone, Debug)]
pub struct ToolCallView {
    /// The tool.
    pub name: String,
    /// What it was to do, in a few words.
    pub summary: String,
    /// The arguments as the model wrote them, cut to the asked length.
    pub arguments: String,
    /// What it said, cut to the asked length; `None` while it runs, or where its process died.
    pub result: Option<String>,
    /// How many characters the whole result has.
    pub result_length: i32,
    /// Whether it did what was asked.
    pub ok: Option<bool>,
    /// When it was about to run.
    pub intended_at: OffsetDateTime,
    /// When it was done.
    pub ended_at: Option<OffsetDateTime>,
}

impl Views {
    /// A task in full; `None` where there is none. Texts of tools are cut to so many characters.
    ///
    /// # Errors
    /// When the database can't be reached, or a stored value can't be read.
    pub async fn task(&self, run: RunId, key: &TaskKey, text_limit: u32) -> Result<Option<TaskDetail>, Error> {
        let Some(task) = self.task_view(run, key).await? else {
            return Ok(None);
        };
        let query = sqlx::query!("select spec, feedback from task where id = $1", task.id.0);
        let row = timed("select", query.fetch_one(&self.pool)).await?;
        let attempts = self.attempts(task.id, text_limit).await?;
        Ok(Some(TaskDetail {
            task,
            spec: row.spec,
            feedback: row.feedback.map(|feedback| recorded("task.feedback", feedback)),
            attempts,
        }))
    }

    async fn attempts(&self, task: TaskId, text_limit: u32) -> Result<Vec<AttemptView>, Error> {
        let query = sqlx::query!(
            r#"select id, number, base, commit, finish, finish_end as "end: Json<AttemptEnd>", started_at, ended_at
               from attempt where task = $1 order by number"#,
            task.0,
        );
        let rows = timed("select", query.fetch_all(&self.pool)).await?;
        let mut turns = self.turns(task, text_limit).await?;
        let attempt = rows.into_iter().map(|row| AttemptView {
            number: row.number,
            base: row.base.map(CommitId),
            commit: row.commit.map(CommitId),
            finish: row.finish,
            end: row.end.map(|end| end.0),
            started_at: row.started_at,
            ended_at: row.ended_at,
            turns: turns.remove(&row.id).unwrap_or_default(),
        });
        Ok(attempt.collect())
    }

    /// The turns of a task's attempts, by the attempt's row.
    async fn turns(&self, task: TaskId, text_limit: u32) -> Result<HashMap<i64, Vec<TurnView>>, Error> {
        let query = sqlx::query!(
            "select u.attempt, u.number, u.backend, u.text, u.model, u.input_tokens, u.output_tokens, u.cost, u.answered_at,
                 u.ended_at
             from attempt a join turn u on u.attempt = a.id where a.task = $1 order by u.attempt, u.number",
            task.0,
        );
        let rows = timed("select", query.fetch_all(&self.pool)).await?;
        let mut calls = self.tool_calls(task, text_limit).await?;
        let mut turns: HashMap<i64, Vec<TurnView>> = HashMap::new();
        for row in rows {
            turns.entry(row.attempt).or_default().push(TurnView {
                number: row.number,
                backend: row.backend,
                text: row.text,
                model: row.model,
                tokens: (row.input_tokens, row.output_tokens),
                cost: row.cost.map(NanoDollars),
                answered_at: row.answered_at,
                ended_at: row.ended_at,
                calls: calls.remove(&(row.attempt, row.number)).unwrap_or_default(),
            });
        }
        Ok(turns)
    }

    /// The tool calls of a task's attempts, by the attempt's row and the turn.
    async fn tool_calls(&self, task: TaskId, text_limit: u32) -> Result<HashMap<(i64, i32), Vec<ToolCallView>>, Error> {
        let query = sqlx::query!(
            r#"select c.attempt, c.turn, c.name, c.summary, left(c.arguments, $2) as "arguments!",
                   left(c.result, $2) as result, coalesce(length(c.result), 0) as "result_length!", c.ok,
                   c.intended_at, c.ended_at
               from attempt a join tool_call c on c.attempt = a.id
               where a.task = $1 order by c.attempt, c.turn, c.ordinal"#,
            task.0,
            i32::try_from(text_limit).unwrap_or(i32::MAX),
        );
        let rows = timed("select", query.fetch_all(&self.pool)).await?;
        let mut calls: HashMap<(i64, i32), Vec<ToolCallView>> = HashMap::new();
        for row in rows {
            calls.entry((row.attempt, row.turn)).or_default().push(ToolCallView {
                name: row.name,
                summary: row.summary,
                arguments: row.arguments,
                result: row.result,
                result_length: row.result_length,
                ok: row.ok,
                intended_at: row.intended_at,
                ended_at: row.ended_at,
            });
        }
        Ok(calls)
    }
}
