//! SIGKILL at the level of system calls: wherever the server dies, it goes on from there, and everything holds.
//!
//! `KILLS=500 KILLS_SEED=7 cargo test -p e2e --test kills -- --nocapture` kills as often, at other points.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test stops where it breaks")]

mod story;
mod strace;
mod truth;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};
use story::Stage;
use strace::Blow;

/// How many kills there are where the variable says nothing.
const FEW: usize = 12;
const SEED: u64 = 2_026;

/// What came of the kills of one kind.
#[derive(Default)]
struct Row {
    tried: usize,
    kills: usize,
    recovered: usize,
    violations: usize,
    sites: BTreeSet<String>,
    took: Duration,
}

#[tokio::test(flavor = "multi_thread")]
async fn wherever_the_server_is_killed_the_run_completes_and_everything_holds() {
    let kills: usize = variable("KILLS").unwrap_or(FEW as u64) as usize;
    let seed = variable("KILLS_SEED").unwrap_or(SEED);
    println!("KILLS={kills} KILLS_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let (calls, renames) = undisturbed().await;
    let mut rows: BTreeMap<&str, Row> = BTreeMap::new();
    let mut broken = Vec::new();
    for (number, blow) in points(&mut random, kills, (calls, renames)).into_iter().enumerate() {
        let row = rows.entry(blow.kind()).or_default();
        let began = Instant::now();
        let stage = Stage::set().await;
        let watched = stage.live(blow).await;
        let run = stage.live_to_the_end().await;
        let died = usize::from(watched.site.is_some());
        let violations = truth::violations(&stage, run, died).await;
        row.tried += 1;
        row.kills += died;
        row.recovered += usize::from(violations.is_empty()) * died;
        row.violations += violations.len();
        row.took += began.elapsed();
        let site = watched.site.unwrap_or_else(|| "the run had ended".into());
        println!("{number:4} {blow:?} {:.1} s: {site}", began.elapsed().as_secs_f64());
        row.sites.insert(site.clone());
        if !violations.is_empty() {
            println!("     VIOLATED: {}", violations.join("\n     "));
            broken.push(format!(
                "{blow:?} at {site}: {}\n{}",
                violations.join("\n"),
                stage.log()
            ));
        }
    }
    table(&rows);
    assert!(broken.is_empty(), "{} broken:\n{}", broken.len(), broken.join("\n\n"));
}

/// The story with nobody killed, and the calls that change files in it: the points there are.
async fn undisturbed() -> (usize, usize) {
    let stage = Stage::set().await;
    let watched = stage.live(Blow::Never).await;
    let run = stage.live_to_the_end().await;
    let violations = truth::violations(&stage, run, 0).await;
    assert!(violations.is_empty(), "{}\n{}", violations.join("\n"), stage.log());
    let distinct: BTreeSet<_> = watched.calls.iter().collect();
    println!(
        "{} calls that change files, {} distinct",
        watched.calls.len(),
        distinct.len()
    );
    println!("{} renames of one thread at most", watched.renames);
    (watched.calls.len(), watched.renames)
}

/// Of every kind some, each spread evenly from the beginning to the end, in an order of chance.
fn points(random: &mut fastrand::Rng, kills: usize, (file_calls, most_renames): (usize, usize)) -> Vec<Blow> {
    const SENDS: usize = 420;
    const IN_CHECKOUT: usize = 28;
    let (renames, checkout, sends, times) = (kills / 12, kills.div_ceil(10), kills / 4, kills / 8);
    let files = kills - renames - checkout - sends - times;
    let mut spread = |count: usize, from: usize, to: usize| -> Vec<usize> {
        let width = (to - from) as f64 / count.max(1) as f64;
        (0..count)
            .map(|at| from + ((at as f64 + random.f64()) * width) as usize)
            .collect()
    };
    let mut points: Vec<Blow> = Vec::new();
    points.extend(spread(files, 1, file_calls).into_iter().map(Blow::AfterFile));
    points.extend(spread(renames, 1, most_renames + 1).into_iter().map(Blow::BeforeRename));
    points.extend(spread(checkout, 1, IN_CHECKOUT).into_iter().map(Blow::InCheckout));
    points.extend(spread(sends, 5, SENDS).into_iter().map(Blow::BeforeSend));
    let times = spread(times, 100, 2_500).into_iter();
    points.extend(times.map(|ms| Blow::AtRandom(Duration::from_millis(ms as u64))));
    random.shuffle(&mut points);
    points
}

fn table(rows: &BTreeMap<&str, Row>) {
    println!(
        "{:34} {:>6} {:>6} {:>10} {:>10} {:>6} {:>8}",
        "killed", "tried", "kills", "recovered", "violations", "sites", "seconds"
    );
    for (kind, row) in rows {
        println!(
            "{kind:34} {:6} {:6} {:10} {:10} {:6} {:8.1}",
            row.tried,
            row.kills,
            row.recovered,
            row.violations,
            row.sites.len(),
            row.took.as_secs_f64()
        );
    }
}

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}
