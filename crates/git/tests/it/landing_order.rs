//! Tasks that share no path land in any order to the same files.

use crate::{
    rough::{self, FILE, Files},
    support::{Fixture, stamp},
};
use domain::CommitId;
use git::{CleanMerge, Hub, MergeOutcome};
use git2::Repository;
use proptest::prelude::*;

const EXECUTABLE: u32 = 0o100_755;
const SYMLINK: u32 = 0o120_000;

/// What a task does to one path that is its own.
#[derive(Clone, Debug)]
enum Deed {
    Add,
    Edit,
    Delete,
    MakeExecutable,
    MakeLink,
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        3 => Just(Deed::Add),
        4 => Just(Deed::Edit),
        2 => Just(Deed::Delete),
        1 => Just(Deed::MakeExecutable),
        1 => Just(Deed::MakeLink),
    ]
}

/// Text that is like no other: git sees no rename in a file that goes here and one that comes there.
fn text(name: &str) -> Vec<u8> {
    (0..12)
        .flat_map(|line| format!("{name} {line}\n").into_bytes())
        .collect()
}

/// Forty files in nested directories, which the tasks share.
fn base_files() -> Files {
    (0..40)
        .map(|number| {
            let path = format!("area-{}/part-{}/file-{number}", number % 4, number % 3);
            let content = text(&path);
            (path, (FILE, content))
        })
        .collect()
}

/// Does a task's deeds: each takes the next path of the base that no task has.
fn done(files: &mut Files, task: usize, deeds: &[Deed], free: &mut impl Iterator<Item = String>) {
    for (number, deed) in deeds.iter().enumerate() {
        let Some(path) = free.next() else {
            return;
        };
        match deed {
            Deed::Add => {
                let added = format!("{path}-beside-{task}-{number}");
                let content = text(&added);
                files.insert(added, (FILE, content));
            }
            Deed::Edit => {
                if let Some((_, content)) = files.get_mut(&path) {
                    content.extend_from_slice(format!("edited by {task}\n").as_bytes());
                }
            }
            Deed::Delete => drop(files.remove(&path)),
            Deed::MakeExecutable => {
                if let Some((mode, _)) = files.get_mut(&path) {
                    *mode = EXECUTABLE;
                }
            }
            Deed::MakeLink => drop(files.insert(path, (SYMLINK, format!("to-{task}").into_bytes()))),
        }
    }
}

fn land(hub: &Hub, base: &CommitId, tasks: &[CommitId], order: &[usize]) -> String {
    let mut tip = base.clone();
    for task in order {
        let tree = match hub.merge(&tip, &tasks[*task]).unwrap() {
            MergeOutcome::Clean(CleanMerge { tree, .. }) => tree,
            other => panic!("{other:?}"),
        };
        tip = hub.commit_merge(&tree, &tip, &tasks[*task], &stamp("merge")).unwrap();
    }
    hub.tree_of(&tip).unwrap().to_string()
}

#[test]
fn tasks_with_disjoint_paths_land_in_any_order_to_the_same_tree() {
    let fixture = Fixture::in_memory();
    let repository = Repository::open_bare(fixture.hub.path()).unwrap();
    let tasks = prop::collection::vec(prop::collection::vec(deed(), 1..6), 2..6);
    let orders = any::<u64>().prop_map(fastrand::Rng::with_seed);
    let config = ProptestConfig {
        cases: 20,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    proptest!(config, |(tasks in tasks, mut random in orders)| {
        let base = base_files();
        let mut paths: Vec<String> = base.keys().cloned().collect();
        random.shuffle(&mut paths);
        let mut free = paths.into_iter();
        let root = rough::commit(&repository, &base, &[]);
        let mut all = base.clone();
        let mut commits = Vec::new();
        for (task, deeds) in tasks.iter().enumerate() {
            let mut files = base.clone();
            let own: Vec<String> = free.by_ref().take(deeds.len()).collect();
            done(&mut files, task, deeds, &mut own.clone().into_iter());
            done(&mut all, task, deeds, &mut own.into_iter());
            commits.push(CommitId(rough::commit(&repository, &files, &[root]).to_string()));
        }
        let expected = rough::commit(&repository, &all, &[]);
        let expected = repository.find_commit(expected).unwrap().tree_id().to_string();
        let mut order: Vec<usize> = (0..commits.len()).collect();
        for _ in 0..3 {
            random.shuffle(&mut order);
            let landed = land(&fixture.hub, &CommitId(root.to_string()), &commits, &order);
            prop_assert_eq!(&landed, &expected, "in the order {:?}", order);
        }
    });
}
