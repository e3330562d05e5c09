//! Common answers of scripted models: a plan, and `finish`.

use serde_json::{Value, json};

/// A director's plan of coder tasks, each with the keys of its dependencies.
pub fn plan(tasks: &[(&str, &[&str])]) -> Value {
    let tasks: Vec<Value> = tasks
        .iter()
        .map(|(key, parents)| {
            let depends_on: Vec<Value> = parents
                .iter()
                .map(|parent| json!({"key": parent, "why": "code"}))
                .collect();
            json!({
                "key": key, "title": format!("Do {key}"), "profile": "coder", "covers": ["r1"],
                "instructions": format!("Do what {key} stands for."),
                "acceptance": [{"id": "a1", "text": "it is done", "check": "judged"}], "check": null,
                "depends_on": depends_on, "paths": {"owns": [], "shared": [], "creates": []},
                "provides": [], "needs": [], "size": "S", "risk": "low", "unknowns": [],
            })
        })
        .collect();
    json!({
        "mode": "parallel", "reason": "as the test needs it", "requirements": [{"id": "r1", "text": "all of it"}],
        "non_goals": [], "assumptions": [], "interfaces": [], "shared_paths": [], "tasks": tasks,
    })
}

/// The arguments of a `finish` with outcome `done`.
pub fn done() -> Value {
    json!({"outcome": "done", "summary": "as asked"})
}
