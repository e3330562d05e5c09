//! A worker that tries to leave its worktree gets an error and reaches nothing; its valid work still lands.

use crate::support::{body, get, goes_on, post, says};
use e2e::{Product, done, git, plan};
use serde_json::{Value, json};
use sim_llm::{Rule, Scenario};
use std::path::Path;

/// Calls that must reach nothing, each with a part of the expected error.
fn reaching(secret: &str, outside: &str) -> Vec<(&'static str, Value, &'static str)> {
    let write = |path: &str| json!({"path": path, "content": "owned\n"});
    let read = |path: &str| json!({"path": path});
    vec![
        ("read_file", read(secret), "outside"),
        ("read_file", read("../../../../../../../../etc/passwd"), "outside"),
        ("list_dir", read("/"), "outside"),
        ("list_dir", read("../.."), "outside"),
        ("search", json!({"pattern": "root", "path": "/etc"}), "outside"),
        ("write_file", write(outside), "outside"),
        ("write_file", write("../escaped"), "outside"),
        ("write_file", write(".git/hooks/pre-commit"), ".git"),
        ("write_file", write(""), "is a directory"),
        ("write_file", write("a/b"), "a"),
        ("read_file", read("link/passwd"), "link"),
        ("write_file", write("link/owned"), "link"),
        ("write_file", write("up/owned"), "up"),
        ("read_file", read("file-link"), "link"),
        (
            "edit_file",
            json!({"path": "file-link", "old": "root", "new": "owned"}),
            "link",
        ),
        ("list_dir", read("link"), "link"),
        ("read_file", read("nothing-here"), "nothing-here"),
        ("edit_file", json!({"path": "a", "old": "not in it", "new": "x"}), "a"),
        ("read_file", json!({"file": "a"}), "path"),
        ("read_file", json!({"path": 7}), "path"),
        ("shell", json!({"command": ""}), "command"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_can_not_reach_outside_its_worktree() {
    let place = e2e::directory();
    let secret = place.path().join("secret");
    std::fs::write(&secret, "the words of the secret\n").unwrap();
    let outside = place.path().join("outside");
    let (secret, outside) = (secret.to_str().unwrap(), outside.to_str().unwrap());
    let calls = reaching(secret, outside);

    let links = "ln -s /etc link; ln -s ../../../.. up; ln -s /etc/passwd file-link";
    let shell =
        format!("cat {secret}; echo owned > {outside}; cat /proc/*/environ | tr '\\0' '\\n' | grep sk-test; true");
    let mut rules = vec![
        Rule::director().json(&plan(&[("reach", &[])])),
        Rule::worker("reach").turn(1).call("shell", json!({"command": links})),
    ];
    // One call per turn, because an answer with many calls ends at the first one over a limit.
    for (turn, (tool, arguments, _)) in (2..).zip(&calls) {
        rules.push(Rule::worker("reach").turn(turn).call(tool, arguments.clone()));
    }
    let after = u32::try_from(calls.len()).unwrap() + 2;
    rules.push(
        Rule::worker("reach")
            .turn(after)
            .call("shell", json!({"command": shell})),
    );
    rules.push(
        Rule::worker("reach")
            .turn(after + 1)
            .call("shell", json!({"command": "rm link up file-link"}))
            .call("write_file", json!({"path": "b", "content": "2\n"}))
            .call("finish", done()),
    );
    let product = Product::start(Scenario::from_rules(rules)).await;
    let workspace = product.repository("repository", &[("a", "1\n")]);
    let run = post(&product, &body(&workspace, "scripted")).await.json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let ended = product.end(run.parse().unwrap()).await;
    let task = get(&product, &format!("/runs/{run}/tasks/reach")).await.json();
    assert_eq!(ended["state"], "complete", "{ended:#}\n{task:#}");

    let turns = task["attempts"][0]["turns"]
        .as_array()
        .unwrap_or_else(|| panic!("{task:#}"));
    for ((tool, arguments, said), turn) in calls.iter().zip(&turns[1..]) {
        let call = &turn["tool_calls"][0];
        assert_eq!(
            (call["name"].as_str(), call["ok"].as_bool()),
            (Some(*tool), Some(false)),
            "{arguments}: {call:#}"
        );
        says(call["result"].as_str().unwrap(), &[said]);
    }
    assert!(!task.to_string().contains("words of the secret"), "{task:#}");
    assert!(
        !task.to_string().contains("sk-test-"),
        "the key is in reach of commands: {task:#}"
    );
    assert!(!Path::new(outside).exists());
    assert!(!Path::new("/etc/owned").exists());
    let branch = ended["branch"].as_str().unwrap();
    assert_eq!(git(&workspace, &["diff", "--name-only", "HEAD~1", branch]), "b");
    assert!(!workspace.join(".git/hooks/pre-commit").exists());
    goes_on(&product).await;
}

/// For git, a link out of the tree is a file: it lands as a link, and nothing follows it.
#[tokio::test(flavor = "multi_thread")]
async fn link_out_of_the_tree_is_never_followed() {
    let place = e2e::directory();
    let target = place.path().join("target");
    std::fs::write(&target, "the words of the target\n").unwrap();
    let link = format!(
        "ln -s {} out; ln -s ../../../../../.. up; ln -s out chain",
        target.display()
    );
    let scenario = Scenario::from_rules(vec![
        Rule::director().json(&plan(&[("link", &[]), ("after", &["link"])])),
        Rule::worker("link")
            .call("shell", json!({"command": link}))
            .call("finish", done()),
        Rule::worker("after")
            .turn(1)
            .call("write_file", json!({"path": "out", "content": "owned\n"})),
        Rule::worker("after")
            .turn(2)
            .call("read_file", json!({"path": "chain"})),
        Rule::worker("after")
            .turn(3)
            .call("write_file", json!({"path": "b", "content": "2\n"}))
            .call("finish", done()),
    ]);
    let product = Product::start(scenario).await;
    let workspace = product.repository("repository", &[("a", "1\n")]);
    let run = post(&product, &body(&workspace, "scripted")).await.json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let ended = product.end(run.parse().unwrap()).await;
    let tasks = get(&product, &format!("/runs/{run}/tasks/after")).await.text;
    assert!(!tasks.contains("words of the target"), "{tasks}");
    assert_eq!(std::fs::read_to_string(&target).unwrap(), "the words of the target\n");
    assert_eq!(ended["state"], "complete", "{ended:#}\n{tasks}");
    let listed = git(&workspace, &["ls-tree", "-r", ended["branch"].as_str().unwrap()]);
    assert_eq!(listed.matches("120000 blob").count(), 3, "{listed}");
    goes_on(&product).await;
}
