//! SIGKILL at the level of system calls: wherever the server dies, it goes on from there, and everything holds.
//!
//! `KILLS=500 KILLS_SEED=7 cargo test -p e2e --test kills -- --nocapture` kills as often, at other points; `KILLS=every`
//! kills after each call that changes a file and before each send, from the first to the last, which takes an hour.
//! `KILLS_PLACE=own` or `shared` keeps to one kind of hub.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test stops where it breaks")]

mod story;
mod strace;
mod truth;

use futures_util::future::join_all;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};
use story::{Place, Stage};
use strace::Blow;

/// How many kills there are where the variable says nothing.
const FEW: usize = 12;
const SEED: u64 = 2_026;
/// Sends of the thread that speaks to the database, about.
const SENDS: usize = 400;

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
    // One with a hub of its own and one with a hub that machines share, side by side.
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
            // Where both are of one kind, each takes every other.
            true if places[0] == places[1] => every_point(&calls).skip(half).step_by(2).collect(),
            true => every_point(&calls).collect(),
            false => points(&mut random, kills.div_ceil(places.len()), &calls, renames),
        });
    }
    let mut killed = 0;
    for at in 0.. {
        let blows: Vec<(Blow, Place)> = points_of
            .iter()
            .zip(places)
            .filter_map(|(points, place)| Some((*points.get(at)?, place)))
            .collect();
        if blows.is_empty() {
            break;
        }
        // A blow that comes after the end is none: others are struck for it.
        if killed >= kills {
            break;
        }
        let ends = join_all(blows.iter().map(|(blow, place)| struck(*blow, *place))).await;
        for ((blow, place), end) in blows.iter().zip(ends) {
            killed += usize::from(end.died);
            println!(
                "{killed:4} {blow:?} {place:?} {:.1} s: {}",
                end.took.as_secs_f64(),
                end.site
            );
            if !end.violations.is_empty() {
                println!("     VIOLATED: {}", end.violations.join("\n     "));
                let (violations, log) = (end.violations.join("\n"), &end.log);
                broken.push(format!("{blow:?} at {}: {violations}\n{log}", end.site));
            }
            rows.entry(blow.kind()).or_default().add(end);
        }
    }
    table(&rows);
    assert!(broken.is_empty(), "{} broken:\n{}", broken.len(), broken.join("\n\n"));
}

/// What came of one blow.
struct End {
    died: bool,
    site: String,
    violations: Vec<String>,
    log: String,
    took: Duration,
}

/// One life that is cut short, one that goes on to the end, and the look at what is there then.
async fn struck(blow: Blow, place: Place) -> End {
    let began = Instant::now();
    let stage = Stage::set(blow, place).await;
    let watched = stage.live(blow).await;
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

/// The story with nobody killed, and the calls that change files in it: the points there are.
async fn undisturbed(place: Place) -> (Vec<String>, usize) {
    let stage = Stage::set(Blow::Never, place).await;
    let watched = stage.live(Blow::Never).await;
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

/// After each call that changes a file and before each send that a thread makes.
fn every_point(calls: &[String]) -> impl Iterator<Item = Blow> {
    (1..=calls.len())
        .map(Blow::AfterFile)
        .chain((1..=SENDS).map(Blow::BeforeSend))
}

/// Of every kind some, spread from the beginning to the end, in an order of chance: more than are wanted.
fn points(random: &mut fastrand::Rng, kills: usize, calls: &[String], most_renames: usize) -> Vec<Blow> {
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
    let mut points: Vec<Blow> = Vec::new();
    points.extend(spread(renames, 1, most_renames + 1).into_iter().map(Blow::BeforeRename));
    points.extend(spread(checkout, 1, IN_CHECKOUT).into_iter().map(Blow::InCheckout));
    points.extend(spread(sends, 5, SENDS).into_iter().map(Blow::BeforeSend));
    let times = spread(times, 100, LONGEST_MS).into_iter();
    points.extend(times.map(|ms| Blow::AtRandom(Duration::from_millis(ms as u64))));
    let evenly = spread(files.div_ceil(2), 1, calls.len());
    points.extend(evenly.into_iter().map(Blow::AfterFile));
    // The other half at calls that are unlike each other: most are the flushing of one more object.
    let mut seen = BTreeSet::new();
    let mut distinct: Vec<usize> = (0..calls.len()).filter(|at| seen.insert(&calls[*at])).collect();
    random.shuffle(&mut distinct);
    let distinct = distinct.into_iter().cycle().take(files / 2);
    points.extend(distinct.map(|at| Blow::AfterFile(at + 1)));
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
