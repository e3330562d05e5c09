//! The data directory keeps within its bound, and what runs loses nothing by that.
#![expect(clippy::unwrap_used, reason = "a helper of a test may fail it")]

#[allow(unused_imports, reason = "other tests use more of the house")]
mod house;

use domain::{RunId, run::RunState};
use engine::{CleanMode, DiskUse, SubmitError};
use house::{House, git};
use sim_llm::{Rule, Scenario};
use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};
use tokio_util::sync::CancellationToken;

const MIB: usize = 1 << 20;

fn data(house: &House, path: &str) -> PathBuf {
    house.folder.path().join("data").join(path)
}

fn hub(house: &House) -> PathBuf {
    let mut hubs = fs::read_dir(data(house, "hubs")).unwrap();
    hubs.find_map(|entry| Some(entry.unwrap().path()).filter(|path| path.is_dir()))
        .unwrap()
}

fn cache(house: &House) -> PathBuf {
    let hub = hub(house);
    data(house, "cache").join(hub.file_name().unwrap().to_str().unwrap().trim_end_matches(".git"))
}

fn references(house: &House, run: RunId) -> usize {
    let own = format!("refs/orchestrator/{run}/");
    git(&hub(house), &["for-each-ref", &own]).lines().count()
}

fn outputs(house: &House, run: RunId) -> PathBuf {
    data(house, "outputs").join(run.0.simple().to_string())
}

fn fill(folder: &Path, bytes: usize) -> PathBuf {
    fs::create_dir_all(folder).unwrap();
    let file = folder.join("filling");
    fs::write(&file, vec![7; bytes]).unwrap();
    file
}

fn used(house: &House) -> u64 {
    let found = DiskUse::measure(&data(house, ""), &CancellationToken::new());
    found.unwrap().total_bytes()
}

/// Another life of the process with this bound, after its first look at the disk.
async fn bounded(house: &mut House, bytes: u64) {
    house.changed = Box::new(move |settings| settings.disk_bound_bytes = Some(bytes));
    house.reopen().await;
    let looked = async {
        while house.engine.ready().await.disk.used.is_none() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), looked).await.unwrap();
}

/// Makes every loose object look as if it had been written days ago.
fn age(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
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
async fn over_the_bound_caches_go_then_outputs_then_old_trees_each_only_as_far_as_needed() {
    let mut house = House::open(Scenario::trivial(2, 1)).await;
    let repository = house.repository(&[("README.md", "read me\n")]);
    let old = house.submit(&repository, None).await.id;
    assert_eq!(house.end(old).await.0, RunState::Complete);
    let young = house.submit(&repository, None).await.id;
    house.end(young).await;
    let kept = (references(&house, old), references(&house, young));
    assert!(kept.0 > 0 && kept.1 > 0, "{kept:?}");
    fill(&cache(&house), 2 * MIB);
    fill(&outputs(&house, old), 2 * MIB);
    fill(&outputs(&house, young), 2 * MIB);
    let stranger = fill(&data(&house, "outputs/of-nobody"), 1);
    age(&hub(&house).join("objects"));

    let bound = used(&house);
    bounded(&mut house, bound).await;
    assert!(cache(&house).exists(), "what is within its bound is left alone");

    let bound = used(&house) - 1;
    bounded(&mut house, bound).await;
    assert!(!cache(&house).exists());
    assert!(outputs(&house, old).exists(), "the cache was enough");
    assert!(house.engine.ready().await.disk.is_enough());

    let bound = used(&house) - 1;
    bounded(&mut house, bound).await;
    assert!(!outputs(&house, old).exists());
    assert!(outputs(&house, young).exists(), "the older outputs were enough");
    assert_eq!((references(&house, old), references(&house, young)), kept);

    // All the outputs that may go are not enough by a byte.
    let aside = house.folder.path().join("aside");
    fs::rename(outputs(&house, young), &aside).unwrap();
    let bound = used(&house) - 1;
    fs::rename(&aside, outputs(&house, young)).unwrap();
    bounded(&mut house, bound).await;
    assert!(!outputs(&house, young).exists());
    assert_eq!((references(&house, old), references(&house, young)), (0, kept.1));
    let views = house.engine.views();
    assert!(views.run(old).await.unwrap().unwrap().expired_at.is_some());
    assert!(views.run(young).await.unwrap().unwrap().expired_at.is_none());
    assert!(house.engine.ready().await.disk.is_enough());

    // Nothing is enough for this one.
    bounded(&mut house, 1).await;
    assert_eq!(references(&house, young), 0);
    assert!(stranger.exists(), "what is not known is not touched");
    let submitted = house
        .submit_with(&repository, None, engine::LimitsAsked::default())
        .await;
    let Err(SubmitError::Unavailable(said)) = submitted else {
        panic!("{submitted:?}")
    };
    for word in ["retention.bytes", "hubs ", "outputs ", "orchestrator clean"] {
        assert!(said.contains(word), "{word}: {said}");
    }
    house.assert_rows_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_keeps_its_trees_and_its_cache_and_the_next_waits_for_room() {
    let scenario = Scenario::from_rules(vec![
        Rule::director().json(&house::plan(&[("quick", &[])])),
        Rule::worker("quick")
            .turn(1)
            .call("write_file", house::file("a.txt", "a\n")),
        Rule::worker("quick").turn(2).call("finish", house::done()),
    ]);
    let bound = 40 * MIB as u64;
    let house = House::open_with(scenario, move |settings| settings.disk_bound_bytes = Some(bound)).await;
    let repository = house.repository(&[("README.md", "read me\n")]);
    let gate = "mkdir -p $CARGO_TARGET_DIR && touch $CARGO_TARGET_DIR/mark && sleep 300";
    let run = house.submit(&repository, Some(gate)).await.id;
    let in_its_gate = async {
        while !data(&house, "hubs").read_dir().unwrap().any(|_| true)
            || !cache(&house).join("gate-0/target/mark").exists()
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), in_its_gate)
        .await
        .unwrap();
    let before = references(&house, run);
    let filling = fill(&data(&house, "worktrees"), 50 * MIB);

    let cleaned = house
        .engine
        .clean_now(Some(Duration::ZERO), CleanMode::Remove)
        .await
        .unwrap();
    assert!(cleaned.is_nothing(), "{cleaned:?}");
    assert!(before > 0 && references(&house, run) == before);
    assert!(cache(&house).join("gate-0/target/mark").exists());
    assert!(!house.engine.ready().await.disk.is_enough());
    let next = house
        .submit_with(&repository, Some("true"), engine::LimitsAsked::default())
        .await;
    assert!(matches!(next, Err(SubmitError::Unavailable(_))), "{next:?}");

    fs::remove_file(filling).unwrap();
    house.engine.clean_now(None, CleanMode::Remove).await.unwrap();
    house.engine.cancel(run).await.unwrap();
    let next = house.submit(&repository, Some("true")).await.id;
    assert_eq!(house.end(next).await.0, RunState::Complete);
    house.engine.drain().await;
}
