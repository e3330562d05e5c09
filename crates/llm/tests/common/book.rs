//! A ledger in memory.

use domain::NanoDollars;
use llm::{CallId, CallOutcome, CallStatus, Ledger, PlannedCall, Refusal};
use std::sync::Mutex;

/// Reservations and their outcomes.
#[derive(Default)]
pub(crate) struct Book {
    pub(crate) cap: Option<NanoDollars>,
    entries: Mutex<Vec<(PlannedCall, Option<CallOutcome>)>>,
}

impl Book {
    pub(crate) fn with_cap(cap: NanoDollars) -> Self {
        Self {
            cap: Some(cap),
            ..Self::default()
        }
    }

    pub(crate) fn entries(&self) -> Vec<(PlannedCall, Option<CallOutcome>)> {
        self.entries.lock().unwrap().clone()
    }

    /// The outcome of the only call.
    #[track_caller]
    pub(crate) fn outcome(&self) -> CallOutcome {
        let entries = self.entries();
        assert_eq!(entries.len(), 1, "one call");
        entries[0].1.clone().expect("it is settled")
    }
}

#[async_trait::async_trait]
impl Ledger for Book {
    async fn reserve(&self, call: &PlannedCall) -> Result<CallId, Refusal> {
        let mut entries = self.entries.lock().unwrap();
        if let Some(limit) = self.cap {
            let asked = call.upper_bound.ok_or(Refusal::Unpriced {
                model: call.model.clone(),
            })?;
            let spent = entries.iter().filter_map(|(_, outcome)| outcome.as_ref()?.cost).sum();
            let stands = |outcome: &Option<CallOutcome>| {
                outcome
                    .as_ref()
                    .is_none_or(|outcome| outcome.status == CallStatus::Lost)
            };
            let reserved = entries
                .iter()
                .filter(|(_, outcome)| stands(outcome))
                .filter_map(|(call, _)| call.upper_bound)
                .sum();
            if spent + reserved + asked > limit {
                return Err(Refusal::Budget {
                    limit,
                    spent,
                    reserved,
                    asked,
                });
            }
        }
        entries.push((call.clone(), None));
        Ok(CallId(entries.len() as i64 - 1))
    }

    async fn settle(&self, call: CallId, outcome: &CallOutcome) -> Result<(), String> {
        let mut entries = self.entries.lock().unwrap();
        let entry = entries.get_mut(call.0 as usize).ok_or("no such call")?;
        if entry.1.is_some() {
            return Err("settled twice".into());
        }
        entry.1 = Some(outcome.clone());
        Ok(())
    }
}
