//! Handing a run's work over: to real remotes with real hooks, and by a forge command with a memory of its own.
#![expect(clippy::unwrap_used, reason = "a helper of a test may fail it")]

#[allow(unused_imports, reason = "other tests use more of the harness")]
mod harness;

use domain::{
    RunId,
    delivery::{DeliveryResult, DeliveryStep, DeliveryStepEnd},
    run::{ReasonCode, RunState},
};
use engine::{DeliverySettings, ForgeCommand, ForgeWords, PushAccess, PushTo, WorkspaceSettings};
use harness::{Harness, git};
use sim_llm::Scenario;
use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

const CHECK: &str = "sh test.sh";

/// A harness whose repository is pushed to a bare one beside it.
struct Delivering {
    harness: Harness,
    repository: PathBuf,
    remote: PathBuf,
}

impl Delivering {
    async fn open() -> Self {
        let harness = Harness::open(Scenario::trivial(1, 1)).await;
        let repository = harness.repository(&[("test.sh", "echo 1..1; echo ok 1\n"), ("README.md", "read me\n")]);
        let remote = harness.directory.path().join("remote.git");
        git(
            harness.directory.path(),
            &["init", "-q", "--bare", remote.to_str().unwrap()],
        );
        Self {
            harness,
            repository,
            remote,
        }
    }

    async fn configure(&mut self, forge: Option<ForgeCommand>) {
        let push = PushTo::new(
            self.remote.to_str().unwrap(),
            Some("agents/{run}".into()),
            PushAccess::default(),
        );
        let delivery = DeliverySettings {
            push: Some(push.unwrap()),
            pull_request: forge,
        };
        let settings = WorkspaceSettings {
            delivery,
            ..WorkspaceSettings::default()
        };
        let workspace = self.repository.canonicalize().unwrap();
        self.harness.changed = Box::new(move |all| drop(all.workspaces.insert(workspace.clone(), settings.clone())));
        self.harness.reopen().await;
    }

    async fn run(&self) -> (RunId, RunState, String) {
        let run = self.harness.submit(&self.repository, Some(CHECK)).await.id;
        let (state, reason) = self.harness.end(run).await;
        (run, state, reason)
    }

    /// Asks for the delivery, and waits until it is over.
    async fn deliver(&self, run: RunId) {
        self.harness.engine.deliver(run, false).await.unwrap();
        let over = async {
            while self
                .harness
                .engine
                .views()
                .run(run)
                .await
                .unwrap()
                .unwrap()
                .delivering
                .is_some()
            {
                self.harness.engine.changed(run, i64::MAX).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(120), over).await.unwrap();
    }

    async fn steps(&self, run: RunId) -> Vec<DeliveryStepEnd> {
        self.harness
            .engine
            .views()
            .run(run)
            .await
            .unwrap()
            .unwrap()
            .delivery
            .steps
    }

    async fn results(&self, run: RunId) -> Vec<(DeliveryStep, DeliveryResult)> {
        self.steps(run)
            .await
            .into_iter()
            .map(|end| (end.step, end.result))
            .collect()
    }

    fn pushed(&self, run: RunId) -> String {
        git(
            &self.remote,
            &["rev-parse", &format!("refs/heads/agents/{}", run.short())],
        )
    }

    fn delivered(&self, run: RunId) -> String {
        git(
            &self.repository,
            &["rev-parse", &format!("orchestrator/{}", run.short())],
        )
    }

    fn hook(&self, script: &str) {
        executable(&self.remote.join("hooks/pre-receive"), script);
    }

    /// A forge that remembers its pull requests in a file, and what it was called with.
    fn forge(&self, script: &str) -> ForgeCommand {
        let program = self.harness.directory.path().join("forge");
        executable(&program, script);
        let words = |verb: &str| {
            [
                program.to_str().unwrap(),
                verb,
                "{branch}",
                "{base}",
                "{title}",
                "{body_file}",
                "{commit}",
            ]
            .map(str::to_owned)
            .to_vec()
        };
        let words = ForgeWords {
            create: words("create"),
            find: words("find"),
            base: None,
            limit: Duration::from_secs(60),
            output_bytes: 10_000,
        };
        let state = self.harness.directory.path().join("forge.state").display().to_string();
        ForgeCommand::new(words, vec![("STATE".into(), Some(state))], true).unwrap()
    }

    fn forge_calls(&self, verb: &str) -> usize {
        let log = std::fs::read_to_string(self.harness.directory.path().join("forge.state.log")).unwrap_or_default();
        log.lines().filter(|line| line.starts_with(verb)).count()
    }
}

const FORGE: &str = r#"#!/bin/sh
echo "$1 $2 $3 $4" >> "$STATE.log"
test -z "$(ls)" || exit 9
made="$STATE.$(echo "$2" | tr / _)"
if [ "$1" = create ]; then
    grep -q "Do what the plan says" "$5" || exit 8
    echo "https://forge.example/pull/7" > "$made"
    echo "Created:"; fi
if [ -e "$made" ]; then cat "$made"; fi
"#;

fn executable(path: &Path, script: &str) {
    std::fs::write(path, script).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn repeated_delivery_pushes_once_and_makes_one_pull_request() {
    let mut delivering = Delivering::open().await;
    let forge = delivering.forge(FORGE);
    delivering.configure(Some(forge)).await;
    let (run, state, reason) = delivering.run().await;
    assert_eq!((state, reason.as_str()), (RunState::Complete, ""));
    assert_eq!(delivering.pushed(run), delivering.delivered(run));
    assert_eq!(
        delivering.results(run).await,
        [
            (DeliveryStep::Branch, DeliveryResult::Created),
            (DeliveryStep::Checkout, DeliveryResult::Updated),
            (DeliveryStep::Push, DeliveryResult::Created),
            (DeliveryStep::PullRequest, DeliveryResult::Created),
        ]
    );
    let url = delivering.steps(run).await[3].url.clone();
    assert_eq!(url.as_deref(), Some("https://forge.example/pull/7"));
    // A complete run stays one, and says that everything is there.
    delivering.deliver(run).await;
    let detail = delivering.harness.engine.views().run(run).await.unwrap().unwrap();
    assert_eq!(detail.summary.state, RunState::Complete);
    assert_eq!(detail.checkout.as_deref(), Some("fast-forwarded"));
    let results = delivering.results(run).await;
    for step in [DeliveryStep::Branch, DeliveryStep::Push, DeliveryStep::PullRequest] {
        assert!(results.contains(&(step, DeliveryResult::Already)), "{results:?}");
    }
    assert_eq!(
        (delivering.forge_calls("create"), delivering.forge_calls("find")),
        (1, 2)
    );
    delivering.harness.assert_rows_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_push_fails_the_run_until_a_later_delivery() {
    let mut delivering = Delivering::open().await;
    let forge = delivering.forge(FORGE);
    delivering.configure(Some(forge)).await;
    delivering.hook("#!/bin/sh\necho 'the tree is frozen' >&2\nexit 1\n");
    let (run, state, reason) = delivering.run().await;
    assert_eq!(state, RunState::Failed);
    assert!(
        reason.contains("the tree is frozen") && reason.contains("orchestrator deliver"),
        "{reason}"
    );
    // What came before stays, and what needs the push is not tried.
    assert_eq!(
        delivering.delivered(run),
        git(&delivering.repository, &["rev-parse", "main"])
    );
    assert_eq!(
        delivering.results(run).await[2..],
        [
            (DeliveryStep::Push, DeliveryResult::Refused),
            (DeliveryStep::PullRequest, DeliveryResult::Skipped),
        ]
    );
    let detail = delivering.harness.engine.views().run(run).await.unwrap().unwrap();
    assert_eq!(detail.summary.reason.unwrap().code, ReasonCode::Delivery);
    assert_eq!(detail.delivered.unwrap().0, delivering.delivered(run));
    assert_eq!(delivering.forge_calls(""), 0);

    std::fs::remove_file(delivering.remote.join("hooks/pre-receive")).unwrap();
    delivering.deliver(run).await;
    assert_eq!(delivering.harness.end(run).await, (RunState::Complete, String::new()));
    assert_eq!(delivering.pushed(run), delivering.delivered(run));
    assert_eq!(
        delivering.results(run).await[2..],
        [
            (DeliveryStep::Push, DeliveryResult::Created),
            (DeliveryStep::PullRequest, DeliveryResult::Created),
        ]
    );
    delivering.harness.assert_rows_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_pushed_by_others_are_kept_and_named() {
    let mut delivering = Delivering::open().await;
    let (run, state, _) = delivering.run().await;
    assert_eq!(state, RunState::Complete);
    // The remote is configured later, and holds another's work under the run's name.
    let theirs = git(
        &delivering.repository,
        &[
            "-c",
            "user.name=T",
            "-c",
            "user.email=t@localhost",
            "commit-tree",
            "-m",
            "theirs",
            "main^{tree}",
        ],
    );
    let branch = format!("refs/heads/agents/{}", run.short());
    let address = delivering.remote.to_str().unwrap().to_owned();
    git(
        &delivering.repository,
        &["push", "-q", &address, &format!("{theirs}:{branch}")],
    );
    delivering.configure(None).await;
    delivering.deliver(run).await;
    let steps = delivering.steps(run).await;
    assert_eq!(steps[2].result, DeliveryResult::Refused);
    assert!(
        steps[2].said.contains(&theirs[..7]) && steps[2].said.contains("someone else pushed there"),
        "{}",
        steps[2].said
    );
    assert_eq!(delivering.pushed(run), theirs);
    let detail = delivering.harness.engine.views().run(run).await.unwrap().unwrap();
    assert_eq!(detail.summary.state, RunState::Complete);
}

#[tokio::test(flavor = "multi_thread")]
async fn unavailable_remote_is_retried_and_the_run_shows_delivery() {
    let mut delivering = Delivering::open().await;
    delivering.configure(None).await;
    let away = delivering.remote.with_extension("away");
    std::fs::rename(&delivering.remote, &away).unwrap();
    let run = delivering.harness.submit(&delivering.repository, Some(CHECK)).await.id;
    let waiting = async {
        loop {
            let detail = delivering.harness.engine.views().run(run).await.unwrap().unwrap();
            if detail.delivery.step(DeliveryStep::Push).is_some() {
                return detail;
            }
            delivering.harness.engine.changed(run, detail.last_event).await;
        }
    };
    let detail = tokio::time::timeout(Duration::from_secs(120), waiting).await.unwrap();
    assert_eq!(detail.summary.state, RunState::Delivering);
    assert!(detail.delivering.is_some());
    let push = detail.delivery.step(DeliveryStep::Push).unwrap();
    assert_eq!(push.result, DeliveryResult::Failed);
    assert!(push.said.contains("retrying"), "{}", push.said);
    std::fs::rename(&away, &delivering.remote).unwrap();
    assert_eq!(delivering.harness.end(run).await, (RunState::Complete, String::new()));
    assert_eq!(delivering.pushed(run), delivering.delivered(run));
    // The branch was put there once, not once a try.
    let shown = delivering.harness.log(run).await;
    assert_eq!(shown.matches("\"step\":\"branch\"").count(), 1, "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pull_request_is_found_after_a_crash_of_the_forge_command() {
    let mut delivering = Delivering::open().await;
    let forge = delivering.forge(&FORGE.replace(
        "echo \"Created:\"; fi",
        "if [ ! -e \"$STATE.died\" ]; then touch \"$STATE.died\"; kill -9 $$; fi; fi",
    ));
    delivering.configure(Some(forge)).await;
    let (run, state, reason) = delivering.run().await;
    assert_eq!((state, reason.as_str()), (RunState::Complete, ""));
    assert_eq!(
        delivering.results(run).await[3],
        (DeliveryStep::PullRequest, DeliveryResult::Already)
    );
    assert_eq!(delivering.forge_calls("create"), 1);
}
