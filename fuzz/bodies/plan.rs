//! A director's document: parsed, checked, repaired. What was accepted is accepted again, as it is.

use domain::{limits::RunLimits, plan::PlanDocument, plan_check};

pub fn run(data: &[u8]) {
    let Ok(plan) = serde_json::from_slice::<PlanDocument>(data) else {
        return;
    };
    let profiles = ["coder", "tester", "docs"].map(str::to_owned);
    let limits = RunLimits::default();
    let exists = |path: &str| path.len().is_multiple_of(2);
    let context = plan_check::Context {
        profiles: &profiles,
        limits: &limits,
        file_exists: &exists,
    };
    match plan_check::check(plan, &context) {
        Ok(checked) => {
            let again = plan_check::check(checked.plan.clone(), &context);
            assert_eq!(again.map(|again| again.plan), Ok(checked.plan));
        }
        Err(problems) => assert!(!problems.is_empty() && problems.iter().all(|problem| !problem.message.is_empty())),
    }
}
