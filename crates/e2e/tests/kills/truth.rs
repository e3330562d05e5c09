//! Invariants after a run, however often its server was killed: each guarantee of merging is checked separately.

use crate::story::Stage;
use domain::RunId;
use e2e::git;
use sqlx::FromRow;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// The final files of the branch: nothing of either side is lost, and nothing removed is back.
const FILES: [(&str, &str); 6] = [
    ("README.md", "read me"),
    ("shared", "one\ntwo left\ntwo right\nthree"),
    ("work/last", "last"),
    ("old", ""),
    ("log.jsonl", "begun\nleft\nright"),
    ("lines", "3"),
];
/// Lock files for `flock`, which remain.
const STANDING_LOCKS: [&str; 4] = [
    "orchestrator-refresh.lock",
    "orchestrator-references.lock",
    "orchestrator-use.lock",
    ".making.lock",
];
/// Model calls of the run without kills: a plan, three tasks, a hunk.
const CALLS: usize = 5;

#[derive(FromRow)]
struct Landed {
    key: String,
    commit: String,
    tip: String,
    merged: String,
    tree: String,
}

/// All violations after this many kills.
pub(crate) async fn violations(stage: &Stage, run: RunId, deaths: usize) -> Vec<String> {
    let pool = stage.database.pool();
    let mut found = e2e::truth::contradictions(pool).await;
    let (state, base, reason): (String, Option<String>, Option<String>) =
        sqlx::query_as("select state, base, reason::text from run where id = $1")
            .bind(run.0)
            .fetch_one(pool)
            .await
            .unwrap();
    if state != "complete" {
        found.push(format!("the run is {state}: {}", reason.unwrap_or_default()));
        return found;
    }
    let landed: Vec<Landed> = sqlx::query_as(
        "select t.key, m.commit, m.tip, m.merged, m.tree from merge m join task t on t.id = m.task
         where m.run = $1 and m.state = 'landed'",
    )
    .bind(run.0)
    .fetch_all(pool)
    .await
    .unwrap();
    let hub = stage.hub();
    history(&mut found, &hub, run, base.unwrap_or_default(), &landed);
    repository(&mut found, &stage.repository, &hub, run);
    pushed(&mut found, stage, &hub, run);
    disk(&mut found, stage);
    calls(&mut found, stage, run, deaths).await;
    found
}

/// Checks that the branch consists of the landed merges in order, each once, with the validated trees.
fn history(found: &mut Vec<String>, hub: &Path, run: RunId, base: String, landed: &[Landed]) {
    let branch = format!("refs/heads/orchestrator/{}", run.short());
    let tip = git(hub, &["rev-parse", &branch]);
    let mut by_tip: BTreeMap<&str, &Landed> = landed.iter().map(|landed| (landed.tip.as_str(), landed)).collect();
    if by_tip.len() != landed.len() || landed.len() != 3 {
        found.push(format!("{} merges landed, on {} tips", landed.len(), by_tip.len()));
    }
    let mut at = base.as_str();
    let mut chain = Vec::new();
    while let Some(next) = by_tip.remove(at) {
        chain.push(format!("{} {} {}", next.merged, next.tip, next.commit));
        let tree = git(hub, &["rev-parse", &format!("{}^{{tree}}", next.merged)]);
        if tree != next.tree {
            found.push(format!("{}: the tree that landed was not the validated one", next.key));
        }
        at = &next.merged;
    }
    if at != tip {
        found.push(format!("the branch is at {tip}, the landed merges lead to {at}"));
    }
    let format = "--format=%H %P";
    let range = format!("{base}..{branch}");
    let first_parents = git(hub, &["log", "--reverse", "--first-parent", format, &range]);
    if first_parents.lines().ne(chain.iter()) {
        found.push(format!(
            "first parents:\n{first_parents}\nlanded:\n{}",
            chain.join("\n")
        ));
    }
    // Three commits of work, each with its merge, and nothing else.
    let commits = git(hub, &["rev-list", "--count", &range]);
    if commits != (2 * landed.len()).to_string() {
        found.push(format!("{commits} commits for {} merges", landed.len()));
    }
    for (name, text) in FILES {
        let there = match git(hub, &["ls-tree", "-r", "--name-only", &branch, name]).is_empty() {
            true => String::new(),
            false => git(hub, &["show", &format!("{branch}:{name}")]),
        };
        // The order doesn't matter.
        let mut lines: Vec<&str> = there.lines().collect();
        if name == "log.jsonl" {
            lines.sort_unstable();
        }
        let there = lines.join("\n");
        if there != text {
            found.push(format!("{name} is {there:?} in the branch"));
        }
    }
}

/// Checks that the delivered branch equals the landed one, and that the user's checkout is unchanged or moved completely.
fn repository(found: &mut Vec<String>, repository: &Path, hub: &Path, run: RunId) {
    let branch = format!("refs/heads/orchestrator/{}", run.short());
    let tip = git(hub, &["rev-parse", &branch]);
    for reference in [branch.as_str(), "refs/heads/main"] {
        let at = git(repository, &["rev-parse", reference]);
        if at != tip {
            found.push(format!("{reference} of the repository is at {at}, not at {tip}"));
        }
    }
    let head = std::fs::read_to_string(repository.join(".git/HEAD")).unwrap_or_default();
    if head.trim() != "ref: refs/heads/main" {
        found.push(format!("HEAD is {head:?}"));
    }
    let status = git(repository, &["status", "--porcelain", "--ignored"]);
    if !status.is_empty() {
        found.push(format!("the checkout is not clean: {status}"));
    }
    for place in [hub, repository] {
        let checked = std::process::Command::new("git")
            .current_dir(place)
            .args(["fsck", "--strict", "--no-dangling", "--no-progress"])
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&checked.stderr).into_owned();
        // The hub's HEAD intentionally names no branch.
        if !checked.status.success() || text.lines().any(|line| !line.starts_with("notice: HEAD points to")) {
            found.push(format!("git fsck in {}: {text}", place.display()));
        }
    }
}

/// Checks that the pushed branch equals the landed one, and that there is one pull request.
fn pushed(found: &mut Vec<String>, stage: &Stage, hub: &Path, run: RunId) {
    let Some(remote) = &stage.remote else {
        return;
    };
    let name = format!("orchestrator/{}", run.short());
    let branch = format!("refs/heads/{name}");
    let (tip, there) = (git(hub, &["rev-parse", &branch]), git(remote, &["for-each-ref"]));
    if there != format!("{tip} commit\t{branch}") {
        found.push(format!("the remote has {there:?}, not {branch} at {tip}"));
    }
    let requests = stage.pull_requests();
    if requests != [format!("{name} https://forge.example/1")] {
        found.push(format!("pull requests: {requests:?}"));
    }
}

/// Checks that no lock file, worktree or worktree registration remains.
fn disk(found: &mut Vec<String>, stage: &Stage) {
    let data = stage.data_dir();
    let mut left: Vec<PathBuf> = [data.join("worktrees"), stage.copy().join("worktrees")]
        .iter()
        .flat_map(|directory| std::fs::read_dir(directory).into_iter().flatten().flatten())
        .map(|entry| entry.path())
        .collect();
    let locks = [data.join("hubs"), stage.hub(), stage.repository.join(".git")];
    left.extend(locks.iter().flat_map(|directory| locks_below(directory)));
    if !left.is_empty() {
        found.push(format!("left behind: {left:?}"));
    }
}

fn locks_below(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut locks = Vec::new();
    for entry in entries {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            locks.extend(locks_below(&path));
        } else if path.extension().is_some_and(|ending| ending == "lock")
            && !STANDING_LOCKS.iter().any(|name| path.to_string_lossy().ends_with(name))
        {
            locks.push(path);
        }
    }
    locks
}

/// Checks that all model calls are in the ledger, and that kills explain repeated ones.
async fn calls(found: &mut Vec<String>, stage: &Stage, run: RunId, deaths: usize) {
    let (settled, lost, cost): (i64, i64, i64) = sqlx::query_as(
        "select count(*) filter (where state = 'settled'), count(*) filter (where state = 'lost'),
             coalesce(sum(cost), 0)::bigint from model_call where run = $1",
    )
    .bind(run.0)
    .fetch_one(stage.database.pool())
    .await
    .unwrap();
    let journal = stage.model.journal();
    let asked = journal.len() as i64;
    if asked > settled + lost || asked < settled {
        found.push(format!(
            "the model was asked {asked} times; {settled} calls are settled and {lost} lost"
        ));
    }
    if cost == 0 {
        found.push("nothing was spent".into());
    }
    // Each kill can lose the running calls: two workers, or the resolver and one worker.
    let most = CALLS + 2 * deaths;
    if journal.len() > most {
        found.push(format!(
            "the model was asked {asked} times, which {deaths} deaths don't explain"
        ));
    }
    found.extend(
        journal
            .iter()
            .flat_map(|entry| &entry.violations)
            .map(|violation| format!("{violation:?}")),
    );
}

pub(crate) fn hub_in(directory: &Path) -> PathBuf {
    let entries = std::fs::read_dir(directory).unwrap().flatten();
    let mut hubs = entries.map(|entry| entry.path()).filter(|path| path.is_dir());
    hubs.find(|path| path.extension().is_some_and(|ending| ending == "git"))
        .expect("the workspace has a hub")
}
