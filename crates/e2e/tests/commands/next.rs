//! Every command that is printed as the next one works as it is printed, through a shell.

use crate::said;
use e2e::{Product, binary, done, git, plan};
use serde_json::json;
use sim_llm::{Rule, Scenario};
use std::{
    path::Path,
    process::{Command, Output},
};

/// The binary by a path with a quote and a space, with flags for a configuration and a data directory: all of that
/// has to be in what is printed.
struct Caller {
    product: Product,
    program: std::path::PathBuf,
    configuration: std::path::PathBuf,
}

impl Caller {
    async fn new() -> Self {
        let product = Product::start(Scenario::from_rules(vec![
            Rule::director().json(&plan(&[("only", &[])])),
            Rule::worker("only")
                .call("write_file", json!({"path": "made", "content": "1\n"}))
                .call("finish", done()),
        ]))
        .await;
        let directory = product.directory.path().join("it's here");
        std::fs::create_dir(&directory).unwrap();
        let program = directory.join("orchestrator");
        std::os::unix::fs::symlink(binary(), &program).unwrap();
        let configuration = directory.join("own.toml");
        std::fs::write(&configuration, "[engine]\nworkers = 2\n").unwrap();
        Self {
            product,
            program,
            configuration,
        }
    }

    fn call(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .arg("--data-dir")
            .arg(self.product.data_dir())
            .arg("--config")
            .arg(&self.configuration);
        self.plain(command)
    }

    fn plain(&self, mut command: Command) -> Output {
        command
            .current_dir("/")
            .env_remove("DATABASE_URL")
            .env("OPENAI_API_KEY", "sk-test-0123456789abcdef")
            .env("OPENAI_BASE_URL", self.product.model.base_url())
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap()
    }

    /// The commands below `Next`, each run by a shell; what they printed.
    fn follow_up(&self, printed: &Output) -> Vec<(String, String)> {
        let text = said(printed);
        assert!(printed.status.success(), "{text}");
        let next = text.split("\nNext\n").nth(1).expect("next commands");
        let commands: Vec<&str> = next.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        assert!(!commands.is_empty(), "{text}");
        let run = |command: &&str| {
            let mut shell = Command::new("sh");
            shell.args(["-c", command]);
            let output = self.plain(shell);
            assert!(output.status.success(), "{command}: {}", said(&output));
            let printed = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(!printed.trim().is_empty(), "{command} printed nothing");
            ((*command).to_owned(), printed)
        };
        commands.iter().map(run).collect()
    }
}

/// A commit on what is checked out.
fn commit(repository: &Path, file: &str) {
    std::fs::write(repository.join(file), "2\n").unwrap();
    git(repository, &["add", file]);
    let identity = ["-c", "user.name=U", "-c", "user.email=u@localhost"];
    git(repository, &[&identity[..], &["commit", "-qm", "another"]].concat());
}

fn holds<'a>(commands: &'a [(String, String)], words: &str) -> Option<&'a str> {
    let found = commands.iter().find(|(command, _)| command.contains(words));
    found.map(|(_, printed)| printed.as_str())
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_fast_forward_the_change_is_shown_and_no_merge_offered() {
    let mut caller = Caller::new().await;
    let repository = caller.product.repository("a repository", &[("a", "1\n")]);
    let run = caller.product.submit(&repository, None).await;
    assert_eq!(caller.product.end(run).await["state"], "complete");
    let commands = caller.follow_up(&caller.call(&["show", &run.to_string()]));
    assert!(holds(&commands, " diff ").unwrap().contains("+++ b/made"));
    assert!(
        !holds(&commands, " log ").unwrap().contains("first"),
        "the whole history"
    );
    assert_eq!(holds(&commands, " merge "), None);

    // Without a server, too.
    assert_eq!(caller.product.stop().await, Some(0));
    let commands = caller.follow_up(&caller.call(&["show", &run.to_string()]));
    assert!(holds(&commands, " diff ").unwrap().contains("+++ b/made"));
    caller.product.start_again().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_that_is_not_merged_is_merged_by_the_command_and_then_no_more() {
    let mut caller = Caller::new().await;
    let repository = caller.product.repository("repository", &[("a", "1\n")]);
    git(&repository, &["config", "user.name", "U"]);
    git(&repository, &["config", "user.email", "u@localhost"]);
    git(&repository, &["switch", "-q", "-c", "other"]);
    commit(&repository, "b");
    git(&repository, &["switch", "-q", "main"]);
    // Uncommitted work keeps the checkout from being moved.
    std::fs::write(repository.join("a"), "changed\n").unwrap();
    let run = caller.product.submit(&repository, None).await;
    assert_eq!(caller.product.end(run).await["state"], "complete");
    git(&repository, &["checkout", "-q", "a"]);
    git(&repository, &["switch", "-q", "other"]);
    let commands = caller.follow_up(&caller.call(&["show", &run.to_string()]));
    assert!(holds(&commands, " merge ").is_some(), "{commands:?}");
    assert!(repository.join("made").is_file());

    let commands = caller.follow_up(&caller.call(&["show", &run.to_string()]));
    assert_eq!(holds(&commands, " merge "), None);
    // The branch may go once it is merged.
    git(&repository, &["branch", "-D", &format!("orchestrator/{}", run.short())]);
    caller.follow_up(&caller.call(&["show", &run.to_string()]));
    assert_eq!(caller.product.stop().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_ended_without_a_branch_points_at_what_is_there() {
    let caller = Caller::new().await;
    let repository = caller.product.repository("repository", &[("a", "1\n")]);
    let run = caller.product.submit(&repository, Some("false")).await;
    caller.product.client.cancel(&run.to_string()).await.unwrap();
    let state = caller.product.end(run).await["state"].clone();
    assert_eq!(state, "cancelled");
    caller.follow_up(&caller.call(&["show", &run.to_string()]));
}
