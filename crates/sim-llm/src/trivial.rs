//! Minimal scenarios for benchmarks.

use serde_json::{Value, json};

use crate::rule::Rule;
use crate::scenario::Scenario;

impl Scenario {
    /// A plan of `tasks` tasks in `width` columns: each depends on the one above it, so at most `width` are ready at once.
    /// Each task writes its own file and finishes in one answer, without latency.
    pub fn trivial(tasks: usize, width: usize) -> Self {
        let keys: Vec<String> = (1..=tasks).map(trivial_key).collect();
        let width = width.max(1);
        let planned = |at: usize| {
            let parent = at.checked_sub(width).map(|parent| keys[parent].as_str());
            planned_task(&keys[at], parent)
        };
        let plan = plan((0..tasks).map(planned).collect());
        let director = Rule::director().named("plan").json(&plan);
        let workers = keys.iter().map(|key| trivial_worker(key));
        Self::from_rules(std::iter::once(director).chain(workers).collect())
    }
}

fn trivial_key(number: usize) -> String {
    format!("task-{number}")
}

fn trivial_worker(key: &str) -> Rule {
    Rule::worker(key)
        .named(key)
        .call(
            "write_file",
            json!({"path": format!("trivial/{key}.txt"), "content": format!("{key}\n")}),
        )
        .call(
            "finish",
            json!({"outcome": "done", "summary": format!("wrote trivial/{key}.txt")}),
        )
}

fn plan(tasks: Vec<Value>) -> Value {
    json!({
        "mode": "parallel",
        "reason": "the tasks share nothing",
        "requirements": [{"id": "r1", "text": "each task leaves its file"}],
        "non_goals": [],
        "assumptions": [],
        "interfaces": [],
        "shared_paths": [],
        "tasks": tasks,
    })
}

fn planned_task(key: &str, parent: Option<&str>) -> Value {
    let path = format!("trivial/{key}.txt");
    let depends_on: Vec<Value> = parent
        .into_iter()
        .map(|parent| json!({"key": parent, "why": "code"}))
        .collect();
    json!({
        "key": key,
        "title": format!("Write {path}"),
        "profile": "coder",
        "covers": ["r1"],
        "instructions": format!("Write the file {path}; its only line is the key of this task."),
        "acceptance": [{"id": "a1", "text": format!("{path} exists"), "check": "judged"}],
        "check": null,
        "depends_on": depends_on,
        "paths": {"owns": [], "shared": [], "creates": [path]},
        "provides": [],
        "needs": [],
        "size": "S",
        "risk": "low",
        "unknowns": [],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trivial_plan_has_columns_of_dependent_tasks() {
        let scenario = Scenario::trivial(5, 2);
        assert_eq!(scenario.len(), 6);
        assert_eq!(planned_task("task-3", Some("task-1"))["depends_on"][0]["key"], "task-1");
    }
}
