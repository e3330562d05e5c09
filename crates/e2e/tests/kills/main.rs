//! SIGKILL at single system calls: wherever the server is killed, the next one continues and all invariants hold.
//!
//! `KILLS=500 KILLS_SEED=7 cargo test -p e2e --test kills -- --nocapture` sets the number of kills and their points.
//! `KILLS=every` kills after each call that changes a file and before each send, which takes an hour. `KILLS_PLACE=own` or
//! `shared` selects one kind of hub.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test stops where it breaks")]

mod story;
mod strace;
mod truth;
mod watch;

use futures_util::future::join_all;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};
use story::{Place, Stage};
use strace::KillPoint;

/// The default number of kills.
const FEW: usize = 12;
const SEED: u64 = 2_026;
/// The approximate number of sends of the database thread.
const SENDS: usize = 400;

/// Results of the kills of one kind.
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
async fn run_completes_wherever_the_server_is_killed() {
    let every = std::env::var("KILLS").is_ok_and(|kills| kills == "every");
    let kills = match every {
        true => usize::MAX,
        false => variable("KILLS").map_or(FEW, |kills| kills as usize),
    };
    let seed = variable("KILLS_SEED").unwrap_or(SEED);
    println!("KILLS={kills} KILLS_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut rows: BTreeMap<&str, Row> = BTreeMap::new();
    let mut broken = Vec::new();
    // Two at a time: one with its own hub and one with a shared hub.
    let places = match std::env::var("KILLS_PLACE").as_deref() {
        Ok("own") => [Place::Own; 2],
        Ok("shared") => [Place::Shared; 2],
        Ok(other) => panic!("KILLS_PLACE={other} is neither own nor shared"),
        Err(_) => [Place::Own, Place::Shared],
    };
    let mut points_of = Vec::new();
    for (half, place) in places.into_iter().enumerate() {
        let (calls, renames) = undisturbed(place).await;
        points_of.push(match every {
            // If both have the same kind of hub, each takes every other point.
            true if places[0] == places[1] => every_point(&calls).skip(half).step_by(2).collect(),
            true => every_point(&calls).collect(),
            false => points(&mut random, kills.div_ceil(places.len()), &calls, renames),
        });
    }
    let mut killed = 0;
    for at in 0.. {
        let kill_points: Vec<(KillPoint, Place)> = points_of
            .iter()
            .zip(places)
            .filter_map(|(points, place)| Some((*points.get(at)?, place)))
            .collect();
        if kill_points.is_empty() {
            break;
        }
        // A kill after the run's end doesn't count; another one replaces it.
        if killed >= kills {
            break;
        }
        let ends = join_all(
            kill_points
                .iter()
                .map(|(kill_point, place)| killed_at(*kill_point, *place)),
        )
        .await;
        for ((kill_point, place), end) in kill_points.iter().zip(ends) {
            killed += usize::from(end.died);
            println!(
                "{killed:4} {kill_point:?} {place:?} {:.1} s: {}",
                end.took.as_secs_f64(),
                end.site
            );
            if !end.violations.is_empty() {
                println!("     VIOLATED: {}", end.violations.join("\n     "));
                let (violations, log) = (end.violations.join("\n"), &end.log);
                broken.push(format!("{kill_point:?} at {}: {violations}\n{log}", end.site));
            }
            rows.entry(kill_point.kind()).or_default().add(end);
        }
    }
    table(&rows);
    assert!(broken.is_empty(), "{} broken:\n{}", broken.len(), broken.join("\n\n"));
}

/// The result of one kill.
struct End {
    died: bool,
    site: String,
    violations: Vec<String>,
    log: String,
    took: Duration,
}

/// Runs a server that is killed, then one that completes the run, and checks the result.
async fn killed_at(kill_point: KillPoint, place: Place) -> End {
    let began = Instant::now();
    let stage = Stage::set(kill_point, place).await;
    let watched = stage.live(kill_point).await;
    let run = stage.live_to_the_end().await;
    let died = watched.site.is_some();
    let violations = truth::violations(&stage, run, usize::from(died)).await;
    End {
        died,
        site: watched.site.unwrap_or_else(|| "the run had ended".into()),
        violations,
        log: stage.log(),
        took: began.elapsed(),
    }
}

impl Row {
    fn add(&mut self, end: End) {
        self.tried += 1;
        self.kills += usize::from(end.died);
        self.recovered += usize::from(end.died && end.violations.is_empty());
        self.violations += end.violations.len();
        self.took += end.took;
        if end.died {
            self.sites.insert(end.site);
        }
    }
}

/// The run without a kill, and its calls that change files, which are the possible points.
async fn undisturbed(place: Place) -> (Vec<String>, usize) {
    let stage = Stage::set(KillPoint::Never, place).await;
    let watched = stage.live(KillPoint::Never).await;
    let run = stage.live_to_the_end().await;
    let violations = truth::violations(&stage, run, 0).await;
    assert!(violations.is_empty(), "{}\n{}", violations.join("\n"), stage.log());
    let distinct: BTreeSet<_> = watched.calls.iter().collect();
    println!(
        "{place:?}: {} calls that change files, {} distinct",
        watched.calls.len(),
        distinct.len()
    );
    println!("{} renames of one thread at most", watched.renames);
    (watched.calls, watched.renames)
}

/// A point after each call that changes a file and before each send of a thread.
fn every_point(calls: &[String]) -> impl Iterator<Item = KillPoint> {
    (1..=calls.len())
        .map(KillPoint::AfterFile)
        .chain((1..=SENDS).map(KillPoint::BeforeSend))
}

/// Random points of every kind, spread over the run; more than needed.
fn points(random: &mut fastrand::Rng, kills: usize, calls: &[String], most_renames: usize) -> Vec<KillPoint> {
    const IN_CHECKOUT: usize = 40;
    const LONGEST_MS: usize = 1_300;
    let wanted = kills + kills / 4 + 2;
    let (renames, checkout, sends, times) = (wanted / 12, wanted.div_ceil(10), wanted / 4, wanted / 8);
    let files = wanted - renames - checkout - sends - times;
    let mut spread = |count: usize, from: usize, to: usize| -> Vec<usize> {
        let width = (to - from) as f64 / count.max(1) as f64;
        (0..count)
            .map(|at| from + ((at as f64 + random.f64()) * width) as usize)
            .collect()
    };
    let mut points: Vec<KillPoint> = Vec::new();
    points.extend(
        spread(renames, 1, most_renames + 1)
            .into_iter()
            .map(KillPoint::BeforeRename),
    );
    points.extend(spread(checkout, 1, IN_CHECKOUT).into_iter().map(KillPoint::InCheckout));
    points.extend(spread(sends, 5, SENDS).into_iter().map(KillPoint::BeforeSend));
    let times = spread(times, 100, LONGEST_MS).into_iter();
    points.extend(times.map(|ms| KillPoint::AtRandom(Duration::from_millis(ms as u64))));
    let evenly = spread(files.div_ceil(2), 1, calls.len());
    points.extend(evenly.into_iter().map(KillPoint::AfterFile));
    // The other half at distinct calls, because most calls flush one more object.
    let mut seen = BTreeSet::new();
    let mut distinct: Vec<usize> = (0..calls.len()).filter(|at| seen.insert(&calls[*at])).collect();
    random.shuffle(&mut distinct);
    let distinct = distinct.into_iter().cycle().take(files / 2);
    points.extend(distinct.map(|at| KillPoint::AfterFile(at + 1)));
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
