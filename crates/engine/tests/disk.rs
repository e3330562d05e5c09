//! The data directory keeps within its bound, and what runs loses nothing by that.
#![expect(clippy::unwrap_used, reason = "a helper of a test may fail it")]

#[allow(unused_imports, reason = "other tests use more of the harness")]
mod harness;

use domain::{RunId, run::RunState};
use engine::{CleanMode, DiskUse, SubmitError};
use harness::{Harness, git};
use sim_llm::{Rule, Scenario};
use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};
use tokio_util::sync::CancellationToken;

const MIB: usize = 1 << 20;

fn data(harness: &Harness, path: &str) -> PathBuf {
    harness.directory.path().join("data").join(path)
}

fn hub(harness: &Harness) -> PathBuf {
    let mut hubs = fs::read_dir(data(harness, "hubs")).unwrap();
    hubs.find_map(|entry| Some(entry.unwrap().path()).filter(|path| path.is_dir()))
        .unwrap()
}

fn cache(harness: &Harness) -> PathBuf {
    let hub = hub(harness);
    data(harness, "cache").join(hub.file_name().unwrap().to_str().unwrap().trim_end_matches(".git"))
}

fn references(harness: &Harness, run: RunId) -> usize {
    let own = format!("refs/orchestrator/{run}/");
    git(&hub(harness), &["for-each-ref", &own]).lines().count()
}

fn outputs(harness: &Harness, run: RunId) -> PathBuf {
    data(harness, "outputs").join(run.0.simple().to_string())
}

fn fill(directory: &Path, bytes: usize) -> PathBuf {
    fs::create_dir_all(directory).unwrap();
    let file = directory.join("filling");
    fs::write(&file, vec![7; bytes]).unwrap();
    file
}

fn used(harness: &Harness) -> u64 {
    let found = DiskUse::measure(&data(harness, ""), &CancellationToken::new());
    found.unwrap().total_bytes()
}

/// Another life of the process with this bound, after its first look at the disk.
async fn bounded(harness: &mut Harness, bytes: u64) {
    harness.changed = Box::new(move |settings| settings.disk_bound_bytes = Some(bytes));
    harness.reopen().await;
    let looked = async {
        while harness.engine.ready().await.disk.used.is_none() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), looked).await.unwrap();
}

/// Makes every loose object look as if it had been written days ago.
fn age(directory: &Path) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => age(&path),
            false => {
                let long_ago = SystemTime::now() - Duration::from_secs(400_000);
                fs::File::open(&path).unwrap().set_modified(long_ago).unwrap();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn over_the_limit_caches_then_outputs_then_old_trees_are_deleted_as_far_as_needed() {
    let mut harness = Harness::open(Scenario::trivial(2, 1)).await;
    let repository = harness.repository(&[("README.md", "read me\n")]);
    let old = harness.submit(&repository, None).await.id;
    assert_eq!(harness.end(old).await.0, RunState::Complete);
    let young = harness.submit(&repository, None).await.id;
    harness.end(young).await;
    let kept = (references(&harness, old), references(&harness, young));
    assert!(kept.0 > 0 && kept.1 > 0, "{kept:?}");
    fill(&cache(&harness), 2 * MIB);
    fill(&outputs(&harness, old), 2 * MIB);
    fill(&outputs(&harness, young), 2 * MIB);
    let stranger = fill(&data(&harness, "outputs/of-nobody"), 1);
    age(&hub(&harness).join("objects"));

    let bound = used(&harness);
    bounded(&mut harness, bound).await;
    assert!(cache(&harness).exists(), "what is within its bound is left alone");

    let bound = used(&harness) - 1;
    bounded(&mut harness, bound).await;
    assert!(!cache(&harness).exists());
    assert!(outputs(&harness, old).exists(), "the cache was enough");
    assert!(harness.engine.ready().await.disk.is_enough());

    let bound = used(&harness) - 1;
    bounded(&mut harness, bound).await;
    assert!(!outputs(&harness, old).exists());
    assert!(outputs(&harness, young).exists(), "the older outputs were enough");
    assert_eq!((references(&harness, old), references(&harness, young)), kept);

    // All the outputs that may go are not enough by a byte.
    let aside = harness.directory.path().join("aside");
    fs::rename(outputs(&harness, young), &aside).unwrap();
    let bound = used(&harness) - 1;
    fs::rename(&aside, outputs(&harness, young)).unwrap();
    bounded(&mut harness, bound).await;
    assert!(!outputs(&harness, young).exists());
    assert_eq!((references(&harness, old), references(&harness, young)), (0, kept.1));
    let views = harness.engine.views();
    assert!(views.run(old).await.unwrap().unwrap().expired_at.is_some());
    assert!(views.run(young).await.unwrap().unwrap().expired_at.is_none());
    assert!(harness.engine.ready().await.disk.is_enough());

    // Nothing is enough for this one.
    bounded(&mut harness, 1).await;
    assert_eq!(references(&harness, young), 0);
    assert!(stranger.exists(), "what is not known is not touched");
    let submitted = harness
        .submit_with(&repository, None, engine::LimitOverrides::default())
        .await;
    let Err(SubmitError::Unavailable(said)) = submitted else {
        panic!("{submitted:?}")
    };
    for word in ["retention.bytes", "hubs ", "outputs ", "orchestrator clean"] {
        assert!(said.contains(word), "{word}: {said}");
    }
    harness.assert_rows_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn running_work_keeps_its_trees_and_cache_and_the_next_waits_for_space() {
    let scenario = Scenario::from_rules(vec![
        Rule::director().json(&harness::plan(&[("quick", &[])])),
        Rule::worker("quick")
            .turn(1)
            .call("write_file", harness::file("a.txt", "a\n")),
        Rule::worker("quick").turn(2).call("finish", harness::done()),
    ]);
    let bound = 40 * MIB as u64;
    let harness = Harness::open_with(scenario, move |settings| settings.disk_bound_bytes = Some(bound)).await;
    let repository = harness.repository(&[("README.md", "read me\n")]);
    let gate = "mkdir -p $CARGO_TARGET_DIR && touch $CARGO_TARGET_DIR/mark && sleep 300";
    let run = harness.submit(&repository, Some(gate)).await.id;
    let in_its_gate = async {
        while !data(&harness, "hubs").read_dir().unwrap().any(|_| true)
            || !cache(&harness).join("gate-0/target/mark").exists()
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), in_its_gate)
        .await
        .unwrap();
    let before = references(&harness, run);
    let filling = fill(&data(&harness, "worktrees"), 50 * MIB);

    let cleaned = harness
        .engine
        .clean_now(Some(Duration::ZERO), CleanMode::Remove)
        .await
        .unwrap();
    assert!(cleaned.is_nothing(), "{cleaned:?}");
    assert!(before > 0 && references(&harness, run) == before);
    assert!(cache(&harness).join("gate-0/target/mark").exists());
    assert!(!harness.engine.ready().await.disk.is_enough());
    let next = harness
        .submit_with(&repository, Some("true"), engine::LimitOverrides::default())
        .await;
    assert!(matches!(next, Err(SubmitError::Unavailable(_))), "{next:?}");

    fs::remove_file(filling).unwrap();
    harness.engine.clean_now(None, CleanMode::Remove).await.unwrap();
    harness.engine.cancel(run).await.unwrap();
    let next = harness.submit(&repository, Some("true")).await.id;
    assert_eq!(harness.end(next).await.0, RunState::Complete);
    harness.engine.drain().await;
}
