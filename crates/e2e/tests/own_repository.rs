//! The product works on a clone of its own repository. The gate is that repository's tests, which the sandbox builds with
//! the read-only registry and toolchain.

use e2e::{aimock::Aimock, done, git, orchestrator, plan};
use serde_json::{Value, json};
use sim_llm::{Options, Rule, Scenario, Server};
use std::path::{Path, PathBuf};

/// The gate: a cold build of one crate with its dependencies, about 20 seconds on two cores.
const CHECK: &str = "cargo test -p domain --offline";
/// A file of the repository in which one task edits a comment.
const EDITED: &str = "crates/domain/src/ids.rs";
/// A test file that the other one adds.
const ADDED: &str = "crates/domain/tests/short_names.rs";
/// A test file that the task of aimock's script adds.
const ADDED_BY_AIMOCK: &str = "crates/domain/tests/two_names.rs";

#[tokio::test(flavor = "multi_thread")]
async fn run_works_on_a_clone_of_this_repository() {
    let place = Place::new();
    let model = Server::start(scenario(&place.clone), Options::default())
        .await
        .expect("the scripted model starts");

    let report = place.run("Test short names, and say so", &model.base_url());
    assert_eq!(place.changed(&report), [EDITED, ADDED]);
    let [before, with_it] = tests_passed(&report)[..] else {
        panic!("two merges, each gated: {report:#}")
    };
    assert_eq!(with_it, before + 1, "the added test ran in the gate");

    // Again from the delivered branch, with a third-party model server and a warm build.
    let Some(aimock) = Aimock::start(place.directory.path()).await else {
        return;
    };
    let report = place.run("Test that two runs have two names", &aimock.base_url);
    assert_eq!(place.changed(&report), [ADDED_BY_AIMOCK]);
    assert_eq!(tests_passed(&report), [with_it + 1]);
}

/// Two tasks: one edits a comment, the other depends on it and adds a test.
fn scenario(clone: &Path) -> Scenario {
    let text = std::fs::read_to_string(clone.join(EDITED)).expect("the file can be read");
    let first = text.lines().next().expect("the file begins with a comment");
    let edit = json!({"path": EDITED, "old": first, "new": format!("{first} Short ones are tested.")});
    let added = "//! Names that people type.\n\n#[test]\nfn a_short_name_is_the_end_of_the_id() {\n    \
                 let run = domain::RunId::new();\n    \
                 assert!(run.0.simple().to_string().ends_with(&run.short()));\n}\n";
    Scenario::from_rules(vec![
        Rule::director().json(&plan(&[("comment", &[]), ("test", &["comment"])])),
        Rule::worker("comment").turn(1).call("edit_file", edit),
        Rule::worker("test")
            .turn(1)
            .call("write_file", json!({"path": ADDED, "content": added})),
        Rule::worker("*").turn(2).call("finish", done()),
    ])
}

/// The number of passed tests of each merge's gate, in landing order.
fn tests_passed(report: &Value) -> Vec<u64> {
    let merges = report["merge_list"].as_array().expect("the report lists merges");
    let passed = merges.iter().map(|merge| {
        assert_eq!(merge["gate"]["verdict"], "passed", "{merge:#}");
        merge["gate"]["passed"].as_u64().expect("the gate counts tests")
    });
    passed.collect()
}

/// A clone of this repository, and a data directory of its own.
struct Place {
    directory: tempfile::TempDir,
    clone: PathBuf,
}

impl Place {
    fn new() -> Self {
        let directory = e2e::directory();
        let clone = directory.path().join("clone");
        let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        git(&own, &["clone", "--quiet", ".", &clone.display().to_string()]);
        // This checkout may be on a branch or a detached commit.
        git(&clone, &["checkout", "--quiet", "-B", "main"]);
        Self { directory, clone }
    }

    /// `orchestrator run` to the end; its report.
    fn run(&self, objective: &str, model: &str) -> Value {
        let data_dir = self.directory.path().join("data").display().to_string();
        let workspace = self.clone.display().to_string();
        let arguments = ["run", objective, "--workspace", &workspace, "--check", CHECK, "--json"];
        let harness = ["--data-dir", &data_dir];
        let models = [
            "--director-model",
            "openai/scripted",
            "--worker-model",
            "openai/scripted",
        ];
        let arguments = [&arguments[..], &harness, &models].concat();
        let environment = [("OPENAI_BASE_URL", model), ("OPENAI_API_KEY", "sk-0123456789abcdef")];
        let output = tokio::task::block_in_place(|| orchestrator(&arguments, &environment, self.directory.path()));

        let (stdout, stderr) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        assert!(output.status.success(), "{stderr}\n{stdout}");
        let report: Value = serde_json::from_str(&stdout).expect("one JSON document");
        assert_eq!(report["state"], "complete", "{report:#}");
        report
    }

    /// The files that the run changed; also checks that the checkout moved along and that nothing was built in it.
    fn changed(&self, report: &Value) -> Vec<String> {
        let branch = report["branch"].as_str().expect("the report names the branch");
        let base = report["base_commit"].as_str().expect("the report names the base");
        assert_eq!(
            git(&self.clone, &["rev-parse", "main"]),
            git(&self.clone, &["rev-parse", branch])
        );
        assert_eq!(git(&self.clone, &["status", "--porcelain", "--ignored"]), "");
        let changed = git(&self.clone, &["diff", "--name-only", base, branch]);
        changed.lines().map(str::to_owned).collect()
    }
}
