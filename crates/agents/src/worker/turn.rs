//! One turn: the model's answer, and the calls it asks for, one after the other.

use super::{Attempt, Break, compact, conduct::Permission, failed};
use crate::{
    conversation::say,
    failure::Failure,
    tools::{Finish, Tool, ToolResult},
};
use domain::{plan::first_line, run::ReasonCode};
use llm::{CostRole, Message, Reply, Request, StopReason, ToolCall, ToolChoice};
use serde_json::Value;
use telemetry::{
    TraceContext,
    span::{self, SpanKind},
};

/// Said before the last turn.
const LAST_TURN: &str = "This is your last turn. Call `finish` now: `done` if the task is done, else `partial` with \
                         what is missing, `blocked` or `impossible`.";
/// Answers a call that comes too late to be run.
const NO_TURNS_LEFT: &str = "Not run: there are no turns left; only `finish` could be called.";
/// Answers a call that stands behind `finish`.
const AFTER_FINISH: &str = "Not run: `finish` ended the attempt.";
/// Stands for an answer without any text, which some servers refuse in a history.
const SAID_NOTHING: &str = "(no answer)";

impl Attempt<'_> {
    /// Asks the model once and does what it asks for; the report, if it has finished.
    pub(super) async fn next_turn(&mut self, limit: u32) -> Result<Option<Finish>, Break> {
        self.may_go_on()?;
        self.turn += 1;
        let is_last = self.turn == limit;
        for note in self.notes.drain(..) {
            say(&mut self.messages, &note);
        }
        if is_last {
            say(&mut self.messages, LAST_TURN);
        }
        let number = self.turn;
        let mut span = self
            .means
            .trace
            .map(|trace| span::child(trace, SpanKind::Turn { number }));
        let context = span.as_ref().map(span::SpanGuard::context);
        let result = self.asked_and_done(is_last, context.as_ref()).await;
        if let (Some(span), Err(Break::Failed(reason) | Break::GaveUp(reason))) = (&mut span, &result) {
            span.fail(reason.code.as_str());
        }
        result
    }

    async fn asked_and_done(&mut self, is_last: bool, trace: Option<&TraceContext>) -> Result<Option<Finish>, Break> {
        let reply = self.ask(is_last, trace).await?;
        let assistant = recorded(&reply);
        let journal = self.means.journal;
        let verdict = journal.turn_answered(self.turn, &reply, &assistant).await;
        self.messages.push(assistant);
        self.heed(verdict)?;

        let finish = self.call_all(&reply, is_last, trace).await?;
        let verdict = journal.turn_ended(self.turn).await;
        self.heed(verdict)?;
        if finish.is_none() {
            let was_cut = reply.stop == StopReason::Length;
            let heard = self.conduct.turn_ended(&reply.tool_calls, was_cut);
            self.notes.extend(heard.map_err(Break::Failed)?);
        }
        Ok(finish)
    }

    async fn ask(&mut self, is_last: bool, trace: Option<&TraceContext>) -> Result<Reply, Break> {
        let window = self.means.models.window(&self.order.model);
        let room = compact::Room::of(window);
        compact::fit(&mut self.messages, &self.tools, room);
        loop {
            // Tools stay as they are on the last turn, too: the history calls them, and the prefix stays cached.
            let choice = match is_last {
                true => ToolChoice::Named(Tool::Finish.name().to_owned()),
                false => ToolChoice::Auto,
            };
            let request = Request {
                tools: self.tools.clone(),
                tool_choice: choice,
                max_output_tokens: self.order.limits.output_tokens,
                deadline: Some(self.order.deadline),
                ..Request::new(self.order.model.clone(), CostRole::Worker, self.messages.clone())
            };
            let means = &self.means;
            let answer = tokio::select! {
                biased;
                () = means.cancel.cancelled() => return Err(Break::Stopped),
                answer = means.models.complete(&request, means.ledger, trace) => answer,
            };
            let failure = match answer {
                Ok(reply) => return Ok(reply),
                Err(error) => Failure::of(&error),
            };
            match failure {
                Failure::Stopped => return Err(Break::Stopped),
                Failure::Final(reason) => return Err(Break::GaveUp(reason)),
                Failure::Transient(reason) => return Err(Break::Failed(reason)),
                Failure::Unusable(text) => return Err(failed(ReasonCode::Model, text)),
                Failure::TooLong(text) => {
                    // The estimate was too low: make do with half, as long as that leaves something out.
                    let room = compact::Room::half_of(&self.messages, &self.tools);
                    if !compact::fit(&mut self.messages, &self.tools, room) {
                        return Err(failed(ReasonCode::Model, text));
                    }
                }
            }
        }
    }

    /// Every call of an answer, in order, up to one that finishes the attempt; each is answered.
    async fn call_all(
        &mut self,
        reply: &Reply,
        is_last: bool,
        trace: Option<&TraceContext>,
    ) -> Result<Option<Finish>, Break> {
        let mut finish = None;
        for call in &reply.tool_calls {
            if finish.is_some() {
                self.answer(call, AFTER_FINISH, false).await?;
                continue;
            }
            self.may_go_on()?;
            let journal = self.means.journal;
            let verdict = journal.tool_intent(self.turn, call, &summary(call)).await;
            self.heed(verdict)?;
            match self.conduct.before(call) {
                Permission::Refused(text) => self.answer(call, &text, false).await?,
                Permission::GiveUp(reason) => {
                    self.answer(call, &reason.message, false).await?;
                    return Err(Break::Failed(reason));
                }
                Permission::Granted if is_last && call.name != Tool::Finish.name() => {
                    self.answer(call, NO_TURNS_LEFT, false).await?;
                }
                Permission::Granted => {
                    let result = self.call(call, trace).await?;
                    self.answer(call, &result.content, result.ok).await?;
                    let heard = self.conduct.after(call, &result.content, result.ok);
                    self.notes.extend(heard.map_err(Break::Failed)?);
                    finish = result.finish;
                }
            }
        }
        Ok(finish)
    }

    /// Runs a call, not beyond the attempt's time. A call that was cut short by a stop has no result: its effects
    /// are unknown.
    async fn call(&self, call: &ToolCall, trace: Option<&TraceContext>) -> Result<ToolResult, Break> {
        let cancel = self.means.cancel.child_token();
        let running = self.means.toolbox.call(&call.name, &call.arguments, &cancel, trace);
        tokio::pin!(running);
        let result = tokio::select! {
            result = &mut running => result,
            () = tokio::time::sleep_until(self.order.deadline.into()) => {
                cancel.cancel();
                running.await
            }
        };
        if self.means.cancel.is_cancelled() {
            return Err(Break::Stopped);
        }
        Ok(result)
    }

    /// Journals the answer to a call and puts it into the history.
    pub(super) async fn answer(&mut self, call: &ToolCall, content: &str, ok: bool) -> Result<(), Break> {
        let journal = self.means.journal;
        let verdict = journal.tool_result(self.turn, &call.id, content, ok).await;
        self.messages.push(Message::tool(&call.id, content));
        self.heed(verdict)
    }
}

/// The message that goes into history and journal for an answer.
fn recorded(reply: &Reply) -> Message {
    let content = reply.content.clone().filter(|text| !text.is_empty());
    Message::Assistant {
        content: match reply.tool_calls.is_empty() {
            true => content.or_else(|| Some(SAID_NOTHING.to_owned())),
            false => content,
        },
        tool_calls: reply.tool_calls.clone(),
    }
}

/// What a call is to do, in a few words.
pub(super) fn summary(call: &ToolCall) -> String {
    const LENGTH: usize = 80;
    let Ok(arguments) = serde_json::from_str::<Value>(&call.arguments) else {
        return "unreadable arguments".to_owned();
    };
    ["command", "pattern", "path", "outcome"]
        .into_iter()
        .find_map(|field| arguments[field].as_str())
        .map(|text| first_line(text, LENGTH))
        .unwrap_or_default()
}
