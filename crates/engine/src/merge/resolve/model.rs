//! A model for each hunk, and a stronger one where the first declines.

use super::{ConflictResolver, FileState, OpenFile, OpenText, remembered::Known};
use crate::{context::Account, merge::Failure};
use agents::resolver::{self, ConflictOrder};
use async_trait::async_trait;
use domain::{
    NanoDollars,
    merge::{Decision, Layer},
    run::ReasonCode,
};
use llm::{CallId, CallOutcome, Ledger, ModelRef, PlannedCall, Refusal};
use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};
use store::resolution::ResolutionRow;

/// Decided lines around a hunk that the model is shown.
const SURROUNDING_LINES: usize = 20;
/// How long one decision may take.
const DECISION_LIMIT: Duration = Duration::from_secs(600);
/// Hunks of one file that models are asked about. With more conflicts, the file was rewritten rather than changed.
const MOST_HUNKS: usize = 60;

impl ConflictResolver<'_> {
    /// Asks about every hunk that is not known. The first open hunk leaves the file open.
    pub(super) async fn by_model<'a>(
        &self,
        file: &OpenFile,
        text: &OpenText,
        known: Vec<Option<Known>>,
    ) -> Result<FileState<'a>, Failure> {
        if !self.settings.asks(Layer::Model) {
            return Ok(FileState::Open(
                "both sides changed the same lines, and no layer that is on resolved them".into(),
            ));
        }
        let asked = known.iter().filter(|known| known.is_none()).count();
        if asked > MOST_HUNKS {
            return Ok(FileState::Open(format!(
                "both sides changed the same lines in {asked} places, more than models are asked about ({MOST_HUNKS})"
            )));
        }
        let mut replaced = Vec::with_capacity(known.len());
        for known in known {
            if let Some(known) = &known {
                self.record_use(known).await?;
            }
            replaced.push(known.map(|known| known.text));
        }
        for index in 0..replaced.len() {
            if replaced[index].is_none() {
                match self.decide_hunk(file, text, index, &replaced).await? {
                    Ok(decided) => replaced[index] = Some(decided),
                    Err(why) => return Ok(FileState::Open(format!("the conflict stands: {why}"))),
                }
            }
        }
        let replaced: Vec<&str> = replaced.iter().flatten().map(String::as_str).collect();
        match self.whole(file, text, &replaced).await? {
            Ok(content) => Ok(FileState::Decided(git::Resolution::Content(content))),
            Err(why) => {
                self.record_file(&file.path, Layer::Model, Decision::Failed, &why)
                    .await?;
                Ok(FileState::Open(why))
            }
        }
    }

    /// Asks the first model, then the second opinion, which is shown the first answer. The error says why neither decided.
    async fn decide_hunk(
        &self,
        file: &OpenFile,
        text: &OpenText,
        index: usize,
        replaced: &[Option<String>],
    ) -> Result<Result<String, String>, Failure> {
        let details = &self.active.entry.branch.details;
        let first = ModelRef::new(details.worker.0.clone(), details.worker.1.clone());
        let second = self.settings.second_opinion.clone().filter(|second| *second != first);
        let mut order = self.order(file, text, index, first).await?;
        let mut why = match self.ask(&order, text, replaced).await? {
            Answer::Text(text) => return Ok(Ok(text)),
            Answer::Open(why) => why,
            // The second opinion can't be paid either.
            Answer::NoBudget(why) => return Ok(Err(why)),
        };
        if let Some(second) = second {
            order.model = second;
            order.deadline = Some(Instant::now() + DECISION_LIMIT);
            order.earlier = Some(why.clone());
            match self.ask(&order, text, replaced).await? {
                Answer::Text(text) => return Ok(Ok(text)),
                Answer::Open(again) | Answer::NoBudget(again) => why = format!("{why}; the second opinion: {again}"),
            }
        }
        Ok(Err(why))
    }

    /// Asks one question and records its row.
    async fn ask(
        &self,
        order: &ConflictOrder,
        text: &OpenText,
        replaced: &[Option<String>],
    ) -> Result<Answer, Failure> {
        let context = &self.active.entry.branch.context;
        let bill = Bill::to(Account {
            context: self.active.entry.branch.context.clone(),
            run: self.active.entry.branch.details.id,
            task: Some(self.active.entry.merge.task),
            attempt: None,
            provider_wait: None,
        });
        let hunk = order.hunk as usize - 1;
        let acceptable = |answer: &str| parses_with(text, replaced, hunk, answer);
        let asked = resolver::resolve(order, &acceptable, &context.models, &bill, Some(self.trace));
        let Some(answered) = self.over.run_until_cancelled(asked).await else {
            if let Some(call) = bill.paid().open {
                let dropped = context
                    .store
                    .lose_call(call.0, "the call was dropped before its answer", 1, 0);
                dropped.await?;
            }
            return Err(self.interrupted());
        };
        let (decision, answer) = match answered {
            Ok(resolver::Resolution::Replace { text, reason, .. }) => {
                (Decision::Resolved, (Answer::Text(text), reason))
            }
            Ok(resolver::Resolution::Decline { reason }) => {
                (Decision::Declined, (Answer::Open(reason.clone()), reason))
            }
            Err(reason) if reason.code == ReasonCode::Requested => return Err(Failure::NotOurs),
            Err(reason) => {
                let message = telemetry::secrets::redact(&reason.message);
                let answer = match reason.code {
                    ReasonCode::Budget => Answer::NoBudget(message.clone()),
                    _ => Answer::Open(message.clone()),
                };
                (Decision::Failed, (answer, message))
            }
        };
        let (answer, reason) = answer;
        let paid = bill.paid();
        let row = ResolutionRow {
            path: order.file.clone(),
            hunk: order.hunk,
            texts: [order.base.clone(), order.ours.clone(), order.theirs.clone()],
            text: match &answer {
                Answer::Text(text) => Some(text.clone()),
                Answer::Open(_) | Answer::NoBudget(_) => None,
            },
            reason,
            model: Some(paid.model.unwrap_or_else(|| order.model.model.clone())),
            cost: paid.cost.map(|cost| cost.0),
            ..ResolutionRow::default()
        };
        self.record(Layer::Model, decision, row).await?;
        Ok(answer)
    }

    async fn order(
        &self,
        file: &OpenFile,
        text: &OpenText,
        index: usize,
        model: ModelRef,
    ) -> Result<ConflictOrder, Failure> {
        let hunk = text.hunks.hunks().nth(index).cloned();
        let hunk = hunk.ok_or_else(|| Failure::transient(format!("hunk {index} of {} is gone", file.path)))?;
        let (before, after) = text.hunks.surroundings(index, SURROUNDING_LINES);
        let [ours_diff, theirs_diff] = text.diffs.clone();
        let task = &self.task;
        let texts = [hunk.base, hunk.ours, hunk.theirs];
        let past = self.similar(file, &texts).await?;
        let [base, ours, theirs] = texts;
        Ok(ConflictOrder {
            task: self.active.entry.merge.key.clone(),
            language: file.path.rsplit_once('.').map(|(_, ending)| ending.to_owned()),
            file: file.path.clone(),
            hunk: index as u32 + 1,
            hunks: text.hunks.hunks().count() as u32,
            base,
            ours,
            theirs,
            before,
            after,
            ours_intent: file.ours_intent.clone(),
            theirs_intent: format!("{} ({}): {}", task.key, task.title, task.spec.instructions),
            ours_diff,
            theirs_diff,
            earlier: None,
            past,
            model,
            deadline: Some(Instant::now() + DECISION_LIMIT),
        })
    }
}

/// A model's answer for a hunk.
enum Answer {
    Text(String),
    Open(String),
    NoBudget(String),
}

/// Whether the file parses with this answer, if it is the last one missing.
fn parses_with(text: &OpenText, replaced: &[Option<String>], hunk: usize, answer: &str) -> Result<(), String> {
    let filled = replaced.iter().enumerate().map(|(index, known)| match known {
        _ if index == hunk => Some(answer),
        known => known.as_deref(),
    });
    match filled.collect::<Option<Vec<&str>>>() {
        Some(all) => text.parses(&text.hunks.resolve(&all).map_err(|error| error.to_string())?),
        None => Ok(()),
    }
}

/// The cost of one question, in one call or several.
#[derive(Clone, Debug, Default)]
struct Paid {
    cost: Option<NanoDollars>,
    model: Option<String>,
    /// The unanswered call.
    open: Option<CallId>,
}

/// An account that sums up its calls.
struct Bill {
    account: Account,
    paid: Mutex<Paid>,
}

impl Bill {
    fn to(account: Account) -> Self {
        Self {
            account,
            paid: Mutex::default(),
        }
    }

    fn paid(&self) -> Paid {
        self.paid.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl Ledger for Bill {
    async fn reserve(&self, call: &PlannedCall) -> Result<CallId, Refusal> {
        let reserved = self.account.reserve(call).await;
        let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
        paid.open = reserved.as_ref().ok().copied();
        drop(paid);
        reserved
    }

    async fn settle(&self, call: CallId, outcome: &CallOutcome) -> Result<(), String> {
        {
            let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
            paid.model = Some(outcome.model.clone());
            if let Some(cost) = outcome.cost {
                paid.cost = Some(NanoDollars(paid.cost.unwrap_or_default().0.saturating_add(cost.0)));
            }
        }
        let settled = self.account.settle(call, outcome).await;
        self.paid.lock().unwrap_or_else(PoisonError::into_inner).open = None;
        settled
    }

    fn retrying(&self, call: CallId, why: &'static str, wait: Duration) {
        self.account.retrying(call, why, wait);
    }
}
