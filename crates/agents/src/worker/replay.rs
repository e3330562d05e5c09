//! Going on with an attempt that was interrupted.

use super::{Attempt, Break, JournaledTurn, conduct::Permission};
use crate::{
    conversation::say,
    tools::{Finish, Tool},
};
use llm::{Message, ToolCall};

/// Answers a call that was begun and has no result. Providers refuse calls without an answer. A result is journaled
/// with the tree as the call left it, so this is true of the tree that the attempt goes on with.
pub(super) const INTERRUPTED: &str = "interrupted: the process died while this ran; the worktree is as it was before \
     this call, whatever it had done by then";
/// Answers a call that was never begun.
pub(super) const NOT_BEGUN: &str = "not run: the process died before this call began; call again if it is still needed";

impl Attempt<'_> {
    /// Rebuilds the history from the journal; the report, if the attempt had finished before it was interrupted.
    pub(super) async fn replay(&mut self) -> Result<Option<Finish>, Break> {
        let order = self.order;
        let turns = &order.resume;
        for (index, turn) in turns.iter().enumerate() {
            self.turn = turn.turn;
            let notes = std::mem::take(&mut self.notes);
            notes.iter().for_each(|note| say(&mut self.messages, note));
            self.messages.push(turn.assistant.clone());
            let Message::Assistant { tool_calls, .. } = &turn.assistant else {
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

    /// The report of a `finish` that had begun. It touches nothing, so calling it again is safe, and what it reports is
    /// in the tree: the results before it are journaled with theirs.
    async fn finished(&self, turn: &JournaledTurn, calls: &[ToolCall]) -> Option<Finish> {
        let mut finishing = calls.iter().filter(|call| call.name == Tool::Finish.name());
        let call = finishing.find(|call| begun(turn, call))?;
        let means = &self.means;
        let result = means
            .toolbox
            .call(&call.name, &call.arguments, means.cancel, means.trace)
            .await;
        result.finish
    }

    async fn replay_call(&mut self, turn: &JournaledTurn, call: &ToolCall) -> Result<(), Break> {
        let journaled = turn.results.iter().find(|(id, _)| *id == call.id);
        let content = match journaled {
            Some((_, Some(content))) => content,
            Some((_, None)) => return self.answer(call, INTERRUPTED, false).await,
            None => return self.answer(call, NOT_BEGUN, false).await,
        };
        self.messages.push(Message::tool(&call.id, content.clone()));
        // A call that a death cut short says nothing of the worker: who makes it again does not go round in circles.
        let was_cut_short = content == INTERRUPTED || content == NOT_BEGUN;
        if !was_cut_short && self.conduct.before(call) == Permission::Granted {
            // Whether it went well is not journaled with the text; taking it for a success only makes the rule
            // on repeated errors the more patient one.
            let heard = self.conduct.after(call, content, true);
            self.notes.extend(heard.map_err(Break::Failed)?);
        }
        Ok(())
    }
}

fn begun(turn: &JournaledTurn, call: &ToolCall) -> bool {
    turn.results.iter().any(|(id, _)| *id == call.id)
}
