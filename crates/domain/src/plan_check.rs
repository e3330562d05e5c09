//! Checks of a plan that need no judgement.
