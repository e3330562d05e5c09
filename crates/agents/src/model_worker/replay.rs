//! Resuming an interrupted attempt from its journal.

use super::{Attempt, Break, conduct::Permission, failed};
use crate::{
    conversation::say,
    port::CallResult,
    tools::{Finish, Tool},
    worker::{JournaledCall, JournaledTurn},
};
use domain::run::ReasonCode;
use llm::{Message, ToolCall};

/// Answers a call that was started and has no result. Providers refuse calls without an answer. A result is journaled
/// together with the tree as the call left it, so this is true of the tree in which the attempt continues.
pub(super) const INTERRUPTED: &str = "interrupted: the process died while this ran; the worktree is as it was before \
     this call, whatever it had done by then";
/// Answers a call that was never started.
pub(super) const NOT_STARTED: &str =
    "not run: the process died before this call began; call again if it is still needed";

impl Attempt<'_> {
    /// Rebuilds the history from the journal. Returns the report if the attempt had finished before it was interrupted.
    pub(super) async fn replay(&mut self) -> Result<Option<Finish>, Break> {
        let order = self.order;
        let turns = &order.resume;
        for (index, turn) in turns.iter().enumerate() {
            self.turn = turn.number;
            let notes = std::mem::take(&mut self.notes);
            notes.iter().for_each(|note| say(&mut self.messages, note));
            let message = message_of(turn)?;
            self.messages.push(message.clone());
            let Message::Assistant { tool_calls, .. } = &message else {
                continue;
            };
            if index + 1 == turns.len()
                && let Some(finish) = self.finished(turn, tool_calls).await
            {
                return Ok(Some(finish));
            }
            for call in tool_calls {
                self.replay_call(turn, call).await?;
            }
            let ended = self.conduct.turn_ended(tool_calls, false);
            self.notes.extend(ended.map_err(Break::Failed)?);
        }
        Ok(None)
    }

    /// The report of a `finish` that was started. It changes nothing, so calling it again is safe, and what it reports is
    /// in the tree: the results before it are journaled with theirs.
    async fn finished(&self, turn: &JournaledTurn, calls: &[ToolCall]) -> Option<Finish> {
        let mut finishing = calls.iter().filter(|call| call.name == Tool::Finish.name());
        let call = finishing.find(|call| journaled(turn, call).is_some())?;
        let session = &self.session;
        let result = session
            .toolbox
            .call(&call.name, &call.arguments, session.cancel, session.trace)
            .await;
        result.finish
    }

    async fn replay_call(&mut self, turn: &JournaledTurn, call: &ToolCall) -> Result<(), Break> {
        let CallResult { content, ok } = match journaled(turn, call) {
            Some(JournaledCall {
                result: Some(result), ..
            }) => result,
            Some(_) => return self.answer(call, INTERRUPTED, false).await,
            None => return self.answer(call, NOT_STARTED, false).await,
        };
        self.messages.push(Message::tool(&call.id, content.clone()));
        // A call that a crash cut short says nothing about the worker: making it again is not going round in circles.
        let was_cut_short = content == INTERRUPTED || content == NOT_STARTED;
        if !was_cut_short && self.conduct.before(call) == Permission::Granted {
            let note = self.conduct.after(call, content, *ok);
            self.notes.extend(note.map_err(Break::Failed)?);
        }
        Ok(())
    }
}

/// The assistant's message that was journaled as the payload of a turn.
fn message_of(turn: &JournaledTurn) -> Result<Message, Break> {
    serde_json::from_value(turn.payload.clone()).map_err(|error| {
        let number = turn.number;
        failed(
            ReasonCode::Internal,
            format!("turn {number} of the journal can't be read, so the attempt can't be resumed: {error}"),
        )
    })
}

fn journaled<'a>(turn: &'a JournaledTurn, call: &ToolCall) -> Option<&'a JournaledCall> {
    turn.calls.iter().find(|journaled| journaled.id == call.id)
}
