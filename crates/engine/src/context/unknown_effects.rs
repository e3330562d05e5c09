//! Effects that this version can't read. A newer version wrote them and performs them; this one leaves them alone and
//! reports them.

use domain::effect::UnknownEffect;
use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

/// Most names that are reported; a database holds few.
const NAMED: usize = 20;

/// The unknown effects that were open when they were last counted, by name.
#[derive(Debug, Default)]
pub(crate) struct UnknownEffects {
    names: Mutex<BTreeSet<String>>,
}

impl UnknownEffects {
    /// Takes the unknown ones among the open effects, and logs each name when it appears.
    pub(crate) fn update<'a>(&self, unknown: impl Iterator<Item = &'a UnknownEffect>) {
        let found: BTreeSet<String> = unknown.map(name).take(NAMED).collect();
        let before = std::mem::replace(&mut *self.lock(), found.clone());
        for effect in found.difference(&before) {
            tracing::warn!(
                effect,
                "open effects are unknown to this version; they are left to a newer one"
            );
        }
    }

    /// Their names.
    pub(crate) fn names(&self) -> Vec<String> {
        self.lock().iter().cloned().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn name(unknown: &UnknownEffect) -> String {
    match unknown {
        UnknownEffect::Kind(kind) => kind.clone(),
        UnknownEffect::Payload { kind, .. } => format!("{kind} with an unknown payload"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::effect::Effect;

    #[test]
    fn unknown_kinds_and_payloads_are_named_while_they_are_open() {
        let unknown = UnknownEffects::default();
        let kind = Effect::decode("review", None).unwrap_err();
        let payload = Effect::decode("plan", Some(true.into())).unwrap_err();
        unknown.update([&kind, &payload].into_iter());
        assert_eq!(unknown.names(), ["plan with an unknown payload", "review"]);
        unknown.update([].into_iter());
        assert_eq!(unknown.names(), Vec::<String>::new());
    }
}
