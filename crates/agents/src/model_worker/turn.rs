//! One turn: the model's answer and the calls it requests, one after the other.

use super::{Attempt, Break, compact, conduct::Permission, failed};
use crate::{
    conversation::say,
    failure::Failure,
    port::{Call, CallResult, Turn},
    tools::{Finish, Tool, ToolResult},
};
use domain::{plan::first_line, run::ReasonCode};
use llm::{CostRole, Message, Reply, Request, StopReason, ToolCall, ToolChoice};
use serde_json::Value;
use telemetry::{
    TraceContext,
    span::{self, SpanKind},
};

/// Added before the last turn.
const LAST_TURN: &str = "This is your last turn. Call `finish` now: `done` if the task is done, else `partial` with \
                         what is missing, `blocked` or `impossible`.";
/// Answers a call other than `finish` in the last turn.
const NO_TURNS_LEFT: &str = "Not run: there are no turns left; only `finish` could be called.";
/// Answers a call that follows `finish`.
const AFTER_FINISH: &str = "Not run: `finish` ended the attempt.";
/// Replaces an empty answer, which some servers refuse in a history.
const SAID_NOTHING: &str = "(no answer)";

impl Attempt<'_> {
    /// Asks the model once and runs the calls of its answer. Returns the report if it has finished.
    pub(super) async fn next_turn(&mut self, limit: u32) -> Result<Option<Finish>, Break> {
        self.check_may_continue()?;
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
            .session
            .trace
            .map(|trace| span::child(trace, SpanKind::Turn { number }));
        let context = span.as_ref().map(span::SpanGuard::context);
        let result = self.ask_and_run(is_last, context.as_ref()).await;
        if let (Some(span), Err(Break::Failed(reason) | Break::GaveUp(reason))) = (&mut span, &result) {
            span.fail(reason.code.as_str());
        }
        result
    }

    async fn ask_and_run(&mut self, is_last: bool, trace: Option<&TraceContext>) -> Result<Option<Finish>, Break> {
        let reply = self.ask(is_last, trace).await?;
        let assistant = history_message(&reply);
        let verdict = match journal_turn(self.turn, &reply, &assistant) {
            Ok(turn) => self.session.journal.turn_answered(&turn).await,
            Err(error) => Err(error.to_string()),
        };
        self.messages.push(assistant);
        self.apply(verdict)?;

        let finish = self.call_all(&reply, is_last, trace).await?;
        let verdict = self.session.journal.turn_ended(self.turn).await;
        self.apply(verdict)?;
        if finish.is_none() {
            let was_cut = reply.stop == StopReason::Length;
            let note = self.conduct.turn_ended(&reply.tool_calls, was_cut);
            self.notes.extend(note.map_err(Break::Failed)?);
        }
        Ok(finish)
    }

    async fn ask(&mut self, is_last: bool, trace: Option<&TraceContext>) -> Result<Reply, Break> {
        let window = self.models.window(&self.order.model);
        let budget = compact::Budget::of(window);
        compact::fit(&mut self.messages, &self.tools, budget);
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
            let session = &self.session;
            let answer = tokio::select! {
                biased;
                () = session.cancel.cancelled() => return Err(Break::Stopped),
                answer = self.models.complete(&request, session.ledger, trace) => answer,
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
                    // The estimate was too low: shorten the history to half, as long as there is something to leave out.
                    let budget = compact::Budget::half_of(&self.messages, &self.tools);
                    if !compact::fit(&mut self.messages, &self.tools, budget) {
                        return Err(failed(ReasonCode::Model, text));
                    }
                }
            }
        }
    }

    /// Answers every call in order. Those that follow a `finish` are not run.
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
            self.check_may_continue()?;
            let verdict = self.session.journal.call_started(self.turn, &journal_call(call)).await;
            self.apply(verdict)?;
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
                    let note = self.conduct.after(call, &result.content, result.ok);
                    self.notes.extend(note.map_err(Break::Failed)?);
                    finish = result.finish;
                }
            }
        }
        Ok(finish)
    }

    /// Runs a call until the attempt's deadline at most. A call that was cut short by a stop has no result: its effects
    /// are unknown.
    async fn call(&self, call: &ToolCall, trace: Option<&TraceContext>) -> Result<ToolResult, Break> {
        let cancel = self.session.cancel.child_token();
        let running = self.session.toolbox.call(&call.name, &call.arguments, &cancel, trace);
        tokio::pin!(running);
        let result = tokio::select! {
            result = &mut running => result,
            () = tokio::time::sleep_until(self.order.deadline.into()) => {
                cancel.cancel();
                running.await
            }
        };
        if self.session.cancel.is_cancelled() {
            return Err(Break::Stopped);
        }
        Ok(result)
    }

    /// Journals the result of a call and adds it to the history.
    pub(super) async fn answer(&mut self, call: &ToolCall, content: &str, ok: bool) -> Result<(), Break> {
        let result = CallResult {
            content: content.to_owned(),
            ok,
        };
        let verdict = self.session.journal.call_ended(self.turn, &call.id, &result).await;
        self.messages.push(Message::tool(&call.id, result.content));
        self.apply(verdict)
    }
}

/// The turn as it is journaled. Its payload is the message, as the history keeps it.
fn journal_turn(number: u32, reply: &Reply, assistant: &Message) -> Result<Turn, serde_json::Error> {
    Ok(Turn {
        number,
        model: reply.model.clone(),
        text: reply.content.clone().filter(|text| !text.is_empty()),
        tools: reply.tool_calls.iter().map(|call| call.name.clone()).collect(),
        usage: reply.usage,
        cost: reply.cost,
        payload: serde_json::to_value(assistant)?,
    })
}

fn journal_call(call: &ToolCall) -> Call {
    Call {
        id: call.id.clone(),
        tool: call.name.clone(),
        arguments: call.arguments.clone(),
        summary: summary(call),
        may_change_tree: Tool::named(&call.name).is_some_and(Tool::changes),
    }
}

/// The message that the history keeps for an answer.
fn history_message(reply: &Reply) -> Message {
    let content = reply.content.clone().filter(|text| !text.is_empty());
    Message::Assistant {
        content: match reply.tool_calls.is_empty() {
            true => content.or_else(|| Some(SAID_NOTHING.to_owned())),
            false => content,
        },
        tool_calls: reply.tool_calls.clone(),
    }
}

/// What a call does, in a few words.
fn summary(call: &ToolCall) -> String {
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
