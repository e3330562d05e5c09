//! Prepare: the workspace's hub is made or refreshed, the base commit pinned, the branch begun.
//!
//! Twice: the hub is found and refreshed, pins and branch are there already.

use super::{Failure, finish};
use crate::{
    detect,
    engine::{Engine, blocking},
};
use domain::{
    CommitId,
    event::Event,
    run::{Reason, ReasonCode},
};
use git::{Found, Hub, Remote, RepoPath, TreeLimits};
use std::path::{Path, PathBuf};
use store::{effect::ClaimedEffect, run::RunFacts};

/// What preparing found.
struct Prepared {
    base: CommitId,
    branch: String,
    check: domain::run::Check,
}

pub(super) async fn perform(engine: &Engine, facts: &RunFacts, effect: &ClaimedEffect) -> Result<(), Failure> {
    let workspace = PathBuf::from(&facts.workspace_path);
    let hub = engine.parts.layout.hub(&facts.hub);
    let shared = engine.parts.shared_hub(&facts.hub).map_err(passing)?;
    let configured = engine
        .parts
        .settings
        .workspaces
        .get(&workspace)
        .and_then(|own| own.check.clone());
    let (own, stamp) = (facts.clone(), engine.parts.stamp("Begin".into()));
    let prepared = blocking(move || prepare(&own, &workspace, (&hub, shared), configured, &stamp)).await?;
    let event = Event::Prepared {
        base: prepared.base,
        base_branch: prepared.branch,
        check: prepared.check,
    };
    engine
        .step(facts.id, None, event, async |tx| finish(tx, effect).await)
        .await?;
    Ok(())
}

fn prepare(
    facts: &RunFacts,
    workspace: &Path,
    (hub_path, shared): (&Path, Option<Remote>),
    configured: Option<String>,
    stamp: &git::Stamp,
) -> Result<Prepared, Failure> {
    let unusable = |error: &dyn std::fmt::Display| {
        Failure::Final(Reason::new(
            ReasonCode::Workspace,
            format!("{}: {error}", workspace.display()),
        ))
    };
    let mut found = git::inspect(workspace).map_err(|error| unusable(&error))?;
    if matches!(found, Found::Missing | Found::PlainFolder) {
        let limits = TreeLimits {
            max_file_bytes: facts.limits.file_bytes,
            ..TreeLimits::default()
        };
        git::initialise(workspace, stamp, &limits).map_err(|error| unusable(&error))?;
        found = git::inspect(workspace).map_err(|error| unusable(&error))?;
    }
    let Found::Repository { head, branch, .. } = found else {
        return Err(unusable(&"no repository could be made of it"));
    };
    let mut hub = Hub::open_or_create(hub_path, workspace).map_err(passing)?;
    if let Some(upstream) = shared {
        if hub.is_shallow().map_err(passing)? {
            let why = "it is a shallow clone, and hubs that machines share need its whole history: run \
                       `git fetch --unshallow` there, then run again";
            return Err(unusable(&why));
        }
        hub = hub.with_upstream(upstream);
        hub.make_upstream().map_err(passing)?;
    }
    hub.refresh(workspace).map_err(passing)?;
    // A repeat after a crash keeps the base that was pinned first: the user may have committed since.
    let pin = git::refs::base(&facts.id);
    let base = match hub.tip(&pin).map_err(passing)? {
        Some(pinned) => pinned,
        // A repository without a commit yet: the run begins with an empty one.
        None => head.map_or_else(|| hub.empty_root(stamp), Ok).map_err(passing)?,
    };
    hub.pin(&pin, &base).map_err(passing)?;
    let integration = git::refs::integration(&facts.id);
    if hub.tip(&integration).map_err(passing)?.is_none() {
        hub.create_branch(&integration, &base).map_err(passing)?;
    }
    let check = detect::check(facts.check_asked.as_deref(), configured.as_deref(), |file| {
        hub.read_file(&base, &RepoPath::from(file)).ok().flatten()
    });
    Ok(Prepared {
        base,
        branch: branch.unwrap_or_else(|| "(detached)".into()),
        check,
    })
}

fn passing(error: git::GitError) -> Failure {
    Failure::Passing(error.to_string())
}
