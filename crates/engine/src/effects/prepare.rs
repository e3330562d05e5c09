//! Prepare: makes or refreshes the workspace's hub, pins the base commit, creates the run's branch, and probes the check
//! command.
//!
//! Safe to repeat: the hub is found and refreshed, pins and branch exist already. What it makes is noted first
//! ([`unfinished`]) and removed again if the run ends before it is prepared.

mod detect;
mod probe;
mod programs;
mod unfinished;

use super::{Failure, finish};
use crate::context::{Context, Layout, blocking};
use domain::{
    CommitId, RunId,
    input::Input,
    run::{Reason, ReasonCode},
};
use git::{Admission, Admitted, Found, Hub, NotAdmitted, Remote, RepoPath, TreeLimits, Unversioned};
use std::path::{Path, PathBuf};
use store::{effect::ClaimedEffect, run::RunDetails};

/// The result of preparing.
struct Prepared {
    base: CommitId,
    branch: String,
    check: domain::run::Check,
}

/// Keeps or removes what preparations made that an earlier process did not finish.
pub(crate) async fn settle_unfinished(context: &Context) {
    for run in unfinished::runs(&context.layout) {
        unfinished::settle(context, run).await;
    }
}

/// [`settle_unfinished`] for one run that has ended.
pub(crate) async fn settle_run(context: &Context, run: RunId) {
    unfinished::settle(context, run).await;
}

pub(super) async fn perform(context: &Context, details: &RunDetails, effect: &ClaimedEffect) -> Result<(), Failure> {
    let performed = perform_noted(context, details, effect).await;
    unfinished::settle(context, details.id).await;
    performed
}

/// The settings of all runs.
struct Rules {
    layout: Layout,
    admission: Admission,
    limits: TreeLimits,
}

async fn perform_noted(context: &Context, details: &RunDetails, effect: &ClaimedEffect) -> Result<(), Failure> {
    let workspace = PathBuf::from(&details.workspace_path);
    let settings = &context.settings;
    let rules = Rules {
        layout: context.layout.clone(),
        admission: context.admission.clone(),
        limits: TreeLimits {
            max_changed_files: settings.initialise_files,
            max_file_bytes: details.limits.file_bytes,
            max_changed_bytes: settings.initialise_bytes,
        },
    };
    let shared = context.shared_hub(&details.hub).map_err(transient)?;
    let configured = context
        .settings
        .workspaces
        .get(&workspace)
        .and_then(|own| own.check.clone());
    let (own, stamp) = (details.clone(), context.stamp("Begin".into()));
    let prepared = blocking(move || prepare(&own, &workspace, &rules, shared, configured, &stamp)).await?;
    probe::check_can_start(context, details, effect, &prepared.check)
        .await
        .map_err(Failure::Final)?;
    let input = Input::Prepared {
        base: prepared.base,
        base_branch: prepared.branch,
        check: prepared.check,
    };
    context
        .step(details.id, None, input, async |tx| finish(tx, effect).await)
        .await?;
    Ok(())
}

fn prepare(
    details: &RunDetails,
    workspace: &Path,
    rules: &Rules,
    shared: Option<Remote>,
    configured: Option<String>,
    stamp: &git::Stamp,
) -> Result<Prepared, Failure> {
    let unusable = |error: &dyn std::fmt::Display| {
        Failure::Final(Reason::new(
            ReasonCode::Workspace,
            format!("{}: {error}", workspace.display()),
        ))
    };
    let noted = |error: std::io::Error| Failure::Transient(format!("could not note what is about to be made: {error}"));
    let _one_at_a_time = unfinished::lock(&rules.layout).map_err(noted)?;
    let mut found = admit(details, workspace, &rules.admission).map_err(|error| unusable(&error))?;
    unfinished::Unfinished::note(&rules.layout, details.id, workspace, &details.hub).map_err(noted)?;
    if !matches!(found, Found::Repository { .. }) {
        git::initialise(workspace, stamp, &rules.limits).map_err(|error| match error {
            git::InitialiseError::Git(error) if error.outage().is_some() => Failure::Outage(error.to_string()),
            error => unusable(&error),
        })?;
        found = git::inspect(workspace).map_err(|error| unusable(&error))?;
    }
    let Found::Repository { head, branch, .. } = found else {
        return Err(unusable(&"no repository could be made of it"));
    };
    let mut hub = Hub::open_or_create(&rules.layout.hub(&details.hub), workspace).map_err(transient)?;
    if let Some(upstream) = shared {
        if hub.is_shallow().map_err(transient)? {
            let why = "it is a shallow clone, and hubs that machines share need its whole history: run \
                       `git fetch --unshallow` there, then run again";
            return Err(unusable(&why));
        }
        hub = hub.with_upstream(upstream);
        hub.make_upstream().map_err(transient)?;
    }
    hub.refresh(workspace).map_err(transient)?;
    // After a crash the base that was pinned first stays: the user may have committed since.
    let pin = git::refs::base(&details.id);
    let base = match hub.tip(&pin).map_err(transient)? {
        Some(pinned) => pinned,
        // A repository without a commit: the run starts from an empty one.
        None => head.map_or_else(|| hub.empty_root(stamp), Ok).map_err(transient)?,
    };
    hub.pin(&pin, &base).map_err(transient)?;
    let integration = git::refs::integration(&details.id);
    if hub.tip(&integration).map_err(transient)?.is_none() {
        hub.create_branch(&integration, &base).map_err(transient)?;
    }
    let check = detect::check(details.check_requested.as_deref(), configured.as_deref(), |file| {
        hub.read_file(&base, &RepoPath::from(file)).ok().flatten()
    });
    Ok(Prepared {
        base,
        branch: branch.unwrap_or_else(|| "(detached)".into()),
        check,
    })
}

/// Checks the workspace again: since the run was submitted its path may lead elsewhere.
fn admit(details: &RunDetails, workspace: &Path, admission: &Admission) -> Result<Found, String> {
    let unversioned = match details.initialise {
        true => Unversioned::Initialised,
        false => Unversioned::Refused,
    };
    let wrong = |refused: NotAdmitted| format!("{refused}; {}", refused.hint());
    let Admitted { path, found } = admission.admit(workspace, unversioned).map_err(wrong)?;
    match path == workspace {
        true => Ok(found),
        false => {
            let (path, now) = (workspace.to_owned(), path);
            Err(wrong(NotAdmitted::Moved { path, now }))
        }
    }
}

fn transient(error: git::GitError) -> Failure {
    error.into()
}
