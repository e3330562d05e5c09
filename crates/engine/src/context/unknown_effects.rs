//! Effects of kinds that this version does not know. A newer version wrote them and performs them; an older one leaves
//! them alone and says so.

use domain::effect::Effect;
use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

/// So many kinds are named; a database holds few.
const NAMED: usize = 20;

/// The kinds that were found when the open effects were last counted.
#[derive(Debug, Default)]
pub(crate) struct UnknownEffects {
    kinds: Mutex<BTreeSet<String>>,
}

impl UnknownEffects {
    /// Takes what is open, by kind. A kind is logged when it appears.
    pub(crate) fn look(&self, open: &[(String, i64)]) {
        let strange = open.iter().filter(|(kind, _)| !is_known(kind)).take(NAMED);
        let found: BTreeSet<String> = strange.map(|(kind, _)| kind.clone()).collect();
        let before = std::mem::replace(&mut *self.lock(), found.clone());
        for kind in found.difference(&before) {
            tracing::warn!(
                kind,
                "effects of this kind wait, and this version does not know it; they are left to a newer one"
            );
        }
    }

    /// Those kinds.
    pub(crate) fn kinds(&self) -> Vec<String> {
        self.lock().iter().cloned().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_known(kind: &str) -> bool {
    Effect::AT_THE_SERVER.contains(&kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_that_are_known_or_done_are_not_named() {
        let unknown = UnknownEffects::default();
        unknown.look(&[("plan".into(), 2), ("review".into(), 1)]);
        assert_eq!(unknown.kinds(), ["review"]);
        unknown.look(&[("plan".into(), 2)]);
        assert_eq!(unknown.kinds(), Vec::<String>::new());
    }
}
