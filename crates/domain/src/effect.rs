//! Effects: work outside the database that a decision starts.
//!
//! An effect is stored in the transaction that decides it, claimed by a process under a lease, and performed at least
//! once. To add one, add a variant here and a file in `engine::effects`: the compiler names every other place.

use crate::{ids::RunId, names::named, run::ReasonCode};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;

/// Work outside the database. Claiming a ready task needs no effect: the task row is the work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, strum::EnumDiscriminants)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[strum_discriminants(
    name(EffectKind),
    doc = "The kinds of effects; the names are the queue's `task_name` in the metrics.",
    derive(
        Hash,
        PartialOrd,
        Ord,
        strum::Display,
        strum::EnumCount,
        strum::EnumString,
        strum::VariantArray,
        strum::VariantNames
    ),
    strum(serialize_all = "snake_case")
)]
pub enum Effect {
    /// Make or refresh the hub and pin the base. Repeated: the hub is found and the base is already pinned.
    Prepare,
    /// Ask the director for a plan. Repeated: the first plan was not saved, so the second takes its place; the cost of
    /// the first call stays in the ledger.
    Plan,
    /// Deliver the branch. Repeated: the branch already points there.
    Deliver {
        /// Whether the run was complete before: its end stays, whether or not this delivery succeeds.
        again: bool,
    },
}

named!(EffectKind);

impl EffectKind {
    /// The process that can perform effects of this kind.
    pub const fn location(self) -> Location {
        match self {
            Self::Prepare | Self::Plan | Self::Deliver => Location::Server,
        }
    }
}

/// Where an effect can be performed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Location {
    /// On the machine that accepted the run: it has the workspace.
    Server,
    /// On any machine that reaches the hub.
    Anywhere,
}

/// When and how a failed effect is retried, and what its last failure means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailurePolicy {
    /// Tries while the failure is transient.
    pub tries: u32,
    /// Claims in all, those that ended in a crash included.
    pub claims: u32,
    /// Wait before the second try; it doubles with each try.
    pub first_wait: Duration,
    /// Longest wait between two tries.
    pub longest_wait: Duration,
    /// Wait while the database, the shared hub or disk space is missing. Such a try is not counted.
    pub outage_wait: Duration,
    /// Meaning of the last failure.
    pub final_failure: FinalFailure,
}

/// Meaning of an effect's last failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinalFailure {
    /// The run fails.
    FailsRun {
        /// Code of the run's reason; `None` keeps the code of the failure.
        code: Option<ReasonCode>,
    },
    /// The failure is recorded, and the run stays as it is.
    Recorded,
}

impl FailurePolicy {
    const DEFAULT: Self = Self {
        tries: 5,
        claims: 20,
        first_wait: Duration::from_millis(500),
        longest_wait: Duration::from_secs(32),
        outage_wait: Duration::from_secs(5),
        final_failure: FinalFailure::FailsRun { code: None },
    };

    /// Wait after the nth try, counted from 1.
    pub fn wait_after(&self, tries: u32) -> Duration {
        let doubled = 2u32.saturating_pow(tries.saturating_sub(1));
        self.first_wait.saturating_mul(doubled).min(self.longest_wait)
    }
}

impl Effect {
    /// The kind of this effect.
    pub fn kind(&self) -> EffectKind {
        self.into()
    }

    /// Idempotency key: of the effects with one key, at most one is open.
    pub fn key(&self, run: RunId) -> String {
        match self {
            Self::Prepare | Self::Plan | Self::Deliver { again: _ } => format!("{}:{run}", self.kind()),
        }
    }

    /// How failures of this effect are handled.
    pub fn policy(&self) -> FailurePolicy {
        match self {
            Self::Prepare | Self::Plan => FailurePolicy::DEFAULT,
            // A remote may be away for a while: with these waits a delivery is retried for about two minutes.
            Self::Deliver { again } => FailurePolicy {
                tries: 9,
                final_failure: match again {
                    false => FinalFailure::FailsRun {
                        code: Some(ReasonCode::Delivery),
                    },
                    true => FinalFailure::Recorded,
                },
                ..FailurePolicy::DEFAULT
            },
        }
    }

    /// The data of this effect, as it is stored beside its kind; `None` where there is none.
    ///
    /// # Errors
    /// When the data can't be written as JSON.
    pub fn payload(&self) -> Result<Option<Value>, serde_json::Error> {
        Ok(match serde_json::to_value(self)? {
            Value::Object(variant) => variant.into_iter().next().map(|(_, payload)| payload),
            _ => None,
        })
    }

    /// The effect that is stored as this kind and payload.
    ///
    /// # Errors
    /// When this version does not know the kind, or not this payload of it: a newer version wrote it.
    pub fn decode(kind: &str, payload: Option<Value>) -> Result<Self, UnknownEffect> {
        let known = EffectKind::parse(kind).ok_or_else(|| UnknownEffect::Kind(kind.to_owned()))?;
        let payload = payload.unwrap_or(Value::Null);
        let variant = serde_json::Map::from_iter([(known.to_string(), payload)]);
        serde_json::from_value(Value::Object(variant)).map_err(|source| UnknownEffect::Payload { kind: known, source })
    }
}

/// A stored effect that this version can't read. It is left to a newer one.
#[derive(Debug, thiserror::Error)]
pub enum UnknownEffect {
    /// No effect of this version has that kind.
    #[error("{0:?}, an unknown kind of effect")]
    Kind(String),
    /// The kind is known, its payload is not.
    #[error("{kind} with an unknown payload ({source})")]
    Payload {
        /// The kind.
        kind: EffectKind,
        /// What is wrong with the payload.
        source: serde_json::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn effects() -> impl Strategy<Value = Effect> {
        prop_oneof![
            Just(Effect::Prepare),
            Just(Effect::Plan),
            any::<bool>().prop_map(|again| Effect::Deliver { again }),
        ]
    }

    proptest! {
        #[test]
        fn stored_effect_is_read_back(effect in effects()) {
            let payload = effect.payload().unwrap();
            prop_assert_eq!(Effect::decode(effect.kind().as_str(), payload).unwrap(), effect);
        }

        #[test]
        fn other_payloads_of_known_kinds_are_refused(effect in effects(), added in "[a-z]{1,8}") {
            prop_assume!(added != "again");
            let mut payload = effect.payload().unwrap().unwrap_or_else(|| json!({}));
            payload[added] = json!(1);
            let refused = matches!(
                Effect::decode(effect.kind().as_str(), Some(payload)),
                Err(UnknownEffect::Payload { kind, .. }) if kind == effect.kind()
            );
            prop_assert!(refused);
        }

        #[test]
        fn waits_grow_up_to_a_limit(effect in effects(), tries in 1u32..100) {
            let policy = effect.policy();
            prop_assert!(policy.wait_after(tries) <= policy.wait_after(tries + 1));
            prop_assert!(policy.wait_after(tries) <= policy.longest_wait);
            prop_assert!(policy.tries <= policy.claims);
        }
    }

    #[test]
    fn unknown_kinds_are_refused() {
        for kind in ["review", "PLAN", "", "deliver "] {
            assert!(matches!(Effect::decode(kind, None), Err(UnknownEffect::Kind(unknown)) if unknown == kind));
        }
    }

    #[test]
    fn missing_payload_is_refused() {
        assert!(matches!(
            Effect::decode("deliver", None),
            Err(UnknownEffect::Payload { .. })
        ));
        assert!(matches!(
            Effect::decode("deliver", Some(json!({}))),
            Err(UnknownEffect::Payload { .. })
        ));
    }

    #[test]
    fn keys_of_different_kinds_and_runs_differ() {
        let runs = [1, 2].map(|id| RunId(uuid::Uuid::from_u128(id)));
        let effects = [Effect::Prepare, Effect::Plan, Effect::Deliver { again: false }];
        let keys: std::collections::BTreeSet<_> = runs
            .iter()
            .flat_map(|run| effects.iter().map(|effect| effect.key(*run)))
            .collect();
        assert_eq!(keys.len(), 6);
        let again = Effect::Deliver { again: true };
        assert!(keys.contains(&again.key(runs[0])), "one delivery of a run at a time");
    }
}
