//! Trivial runs, and what single steps of them take.

use super::{
    child::{Child, Harness, text},
    median, milliseconds,
};
use crate::{client::failure, failure::Failure, following::entry};
use api::{ModelChoice, NewRun, OrchConfig, RunLimits};
use domain::{event::Event, run::RunState};
use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};
use time::OffsetDateTime;

/// How often a short step is repeated.
const REPEATS: usize = 15;

/// One run of trivial tasks.
pub(super) struct Played {
    pub(super) repository: PathBuf,
    pub(super) per_task_ms: f64,
    pub(super) merge_ms: Vec<f64>,
}

/// Plays a run whose tasks each write one file in one answer.
pub(super) async fn play(harness: &Harness, child: &Child, provider: &str, width: u32) -> Result<Played, Failure> {
    let repository = harness.repository(&format!("{provider}-{}", child.pid()));
    let model = || {
        Some(ModelChoice {
            provider: provider.to_owned(),
            model_name: "trivial".to_owned(),
        })
    };
    let request = NewRun {
        objective: "Each task leaves its file".to_owned(),
        workspace_path: text(&repository),
        initialise: false,
        orch_config: OrchConfig {
            director_model: model(),
            worker_model: model(),
            limits: RunLimits {
                active_tasks: Some(width),
                ..RunLimits::default()
            },
            ..OrchConfig::default()
        },
    };
    let accepted = child.client.submit(&request, None).await.map_err(failure)?;
    let mut events = child.client.events(accepted.id, 0);
    let (mut planned, mut landed, mut tasks) = (None, None, 0_u32);
    while let Some(event) = events.next().await {
        let event = event.map_err(failure)?;
        match entry(&event).map(|entry| entry.event) {
            Some(Event::PlanSaved { .. }) => planned = Some(event.at),
            Some(Event::TaskCompleted { .. }) => {
                landed = Some(event.at);
                tasks += 1;
            }
            Some(_) | None => {}
        }
    }
    let run = child.client.run(&accepted.id.to_string()).await.map_err(failure)?;
    let (RunState::Complete, Some(planned), Some(landed)) = (run.state, planned, landed) else {
        let reason = run.reason.map(|reason| reason.message).unwrap_or_default();
        return Err(Failure::environment("a measured run did not complete")
            .with("state", run.state)
            .with("reason", reason));
    };
    let merges = child
        .client
        .merges(&accepted.id.to_string())
        .await
        .map_err(failure)?
        .merges;
    Ok(Played {
        repository,
        per_task_ms: per_task(planned, landed, tasks),
        merge_ms: merges
            .iter()
            .filter_map(|merge| merge.merge_ms)
            .map(|ms| ms as f64)
            .collect(),
    })
}

fn per_task(planned: OffsetDateTime, landed: OffsetDateTime, tasks: u32) -> f64 {
    milliseconds(Duration::try_from(landed - planned).unwrap_or_default()) / f64::from(tasks.max(1))
}

/// One `git merge-tree --write-tree`, as a process, on the newest merge of a repository.
pub(super) fn merge_tree(repository: &Path) -> Option<f64> {
    let git = |arguments: &[&str]| {
        Command::new("git")
            .arg("-C")
            .arg(repository)
            .args(arguments)
            .output()
            .ok()
    };
    let newest = git(&["rev-list", "--merges", "--parents", "--max-count=1", "--all"])?;
    let newest = String::from_utf8(newest.stdout).ok()?;
    let parents: Vec<&str> = newest.split_whitespace().skip(1).collect();
    let [ours, theirs] = parents.as_slice() else {
        return None;
    };
    let times = (0..REPEATS).map(|_| {
        let begun = Instant::now();
        let merged = git(&["merge-tree", "--write-tree", ours, theirs])?;
        merged.status.success().then(|| milliseconds(begun.elapsed()))
    });
    median(times.collect::<Option<Vec<f64>>>()?)
}

/// Scrapes `/metrics`: how long each took, and how much came.
pub(super) async fn scrape(child: &Child) -> Result<(Vec<f64>, usize), Failure> {
    let problem = |error: reqwest::Error| Failure::environment("/metrics can't be scraped").caused_by(error);
    let http = reqwest::Client::builder()
        .tls_certs_only([])
        .no_proxy()
        .build()
        .map_err(problem)?;
    let address = format!("{}/metrics", child.address);
    let (mut times, mut bytes) = (Vec::with_capacity(REPEATS), 0);
    for _ in 0..REPEATS {
        let begun = Instant::now();
        let body = http
            .get(&address)
            .send()
            .await
            .map_err(problem)?
            .bytes()
            .await
            .map_err(problem)?;
        times.push(milliseconds(begun.elapsed()));
        bytes = body.len();
    }
    Ok((times, bytes))
}
