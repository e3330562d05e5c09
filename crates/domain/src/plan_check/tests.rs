//! Facts about the checks of a plan.

use super::*;
use crate::{
    ids::TaskKey,
    plan::{Acceptance, Dependency, Interface, PlannedTask, Requirement, Size, TaskCheck, Why},
};
use proptest::prelude::*;
use std::collections::BTreeSet;

fn task(key: &str, parents: &[&str]) -> PlannedTask {
    let mut task = PlanDocument::single("do it", "coder", "").tasks.remove(0);
    task.key = key.into();
    task.covers.clear();
    task.depends_on = parents
        .iter()
        .map(|parent| Dependency {
            key: (*parent).into(),
            why: Why::Code,
        })
        .collect();
    task
}

fn plan(tasks: Vec<PlannedTask>) -> PlanDocument {
    PlanDocument {
        tasks,
        ..PlanDocument::default()
    }
}

fn checked(plan: PlanDocument) -> Result<Checked, Vec<Problem>> {
    let limits = RunLimits {
        tasks: 12,
        depth: 6,
        ..RunLimits::default()
    };
    check(
        plan,
        &Context {
            profiles: &["planner".into(), "coder".into(), "tester".into()],
            limits: &limits,
            file_exists: &|path| path.starts_with("src/") || path == "Cargo.lock",
        },
    )
}

fn pointers(plan: PlanDocument) -> Vec<String> {
    let problems = checked(plan).expect_err("the plan has a problem");
    problems.into_iter().map(|problem| problem.pointer).collect()
}

fn parents(checked: &Checked, key: &str) -> Vec<String> {
    let task = checked.plan.tasks.iter().find(|task| task.key.0 == key);
    let edges = &task.expect("the task is there").depends_on;
    edges.iter().map(|edge| edge.key.0.clone()).collect()
}

#[test]
fn the_single_task_plan_passes_as_it_is() {
    let single = PlanDocument::single("make it so", "coder", "small");
    let checked = checked(single.clone()).unwrap();
    assert_eq!(checked.plan, single);
    assert!(checked.repairs.is_empty());
}

#[test]
fn a_plan_without_tasks_or_with_too_many_is_rejected() {
    assert_eq!(pointers(plan(Vec::new())), ["/tasks"]);
    let many = (0..13).map(|n| task(&format!("t{n}"), &[])).collect();
    assert_eq!(pointers(plan(many)), ["/tasks"]);
}

#[test]
fn bad_duplicate_and_unknown_keys_are_rejected() {
    let found = pointers(plan(vec![task("A b", &[]), task("a", &[]), task("a", &["nobody"])]));
    assert_eq!(found, ["/tasks/0/key", "/tasks/2/key", "/tasks/2/depends_on/0/key"]);
}

#[test]
fn empty_texts_unknown_profiles_and_large_tasks_are_rejected() {
    let mut bad = task("a", &[]);
    bad.title = " ".into();
    bad.instructions = String::new();
    bad.profile = "wizard".into();
    bad.size = Size::L;
    assert_eq!(
        pointers(plan(vec![bad])),
        [
            "/tasks/0/title",
            "/tasks/0/instructions",
            "/tasks/0/profile",
            "/tasks/0/size"
        ]
    );
}

#[test]
fn a_cycle_is_named() {
    let circle = plan(vec![task("a", &["c"]), task("b", &["a"]), task("c", &["b"])]);
    let problems = checked(circle).unwrap_err();
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].pointer, "/tasks/0/depends_on");
    assert!(problems[0].message.contains("a → c → b → a"), "{problems:?}");
}

#[test]
fn a_cycle_through_an_interface_is_found() {
    let mut circle = plan(vec![task("a", &["b"]), task("b", &[])]);
    circle.interfaces = vec![interface("api", "a")];
    circle.tasks[1].needs = vec!["api".into()];
    assert_eq!(pointers(circle), ["/tasks/0/depends_on"]);
}

fn interface(id: &str, provider: &str) -> Interface {
    Interface {
        id: id.into(),
        contract: "fn f()".into(),
        path: String::new(),
        provider: provider.into(),
    }
}

#[test]
fn requirements_are_covered_and_known() {
    let mut document = plan(vec![task("a", &[])]);
    document.requirements = vec![Requirement {
        id: "r1".into(),
        text: "it works".into(),
    }];
    document.tasks[0].covers = vec!["r2".into()];
    assert_eq!(pointers(document), ["/requirements/0", "/tasks/0/covers/0"]);
}

#[test]
fn an_interface_has_exactly_one_provider() {
    let mut document = plan(vec![task("a", &[]), task("b", &[])]);
    document.interfaces = vec![interface("api", "a"), interface("db", "nobody")];
    document.tasks[1].provides = vec!["api".into()];
    document.tasks[1].needs = vec!["nothing".into()];
    assert_eq!(
        pointers(document),
        ["/interfaces/0/provider", "/interfaces/1/provider", "/tasks/1/needs/0"]
    );
}

#[test]
fn vacuous_checks_are_rejected() {
    let mut document = plan(vec![task("a", &[])]);
    document.tasks[0].check = Some(TaskCheck {
        command: "sh test.sh || true".into(),
        time_limit_s: 0,
        fails_before: false,
    });
    document.tasks[0].acceptance = ["judged", "", "echo fine"]
        .into_iter()
        .enumerate()
        .map(|(n, check)| Acceptance {
            id: format!("a{n}"),
            text: "seen".into(),
            check: check.into(),
        })
        .collect();
    assert_eq!(
        pointers(document),
        ["/tasks/0/check/command", "/tasks/0/acceptance/2/check"]
    );
}

#[test]
fn paths_stay_inside_and_exist_or_are_created() {
    let mut document = plan(vec![task("a", &[])]);
    document.tasks[0].paths.owns = ["/etc/passwd", "../x", "new.txt", "made.txt", "lib/**"]
        .map(String::from)
        .into();
    document.tasks[0].paths.creates = vec!["made.txt".into(), ".git/hooks/x".into()];
    document.shared_paths = vec!["~/x".into()];
    assert_eq!(
        pointers(document),
        [
            "/shared_paths/0",
            "/tasks/0/paths/owns/0",
            "/tasks/0/paths/owns/1",
            "/tasks/0/paths/creates/1",
            "/tasks/0/paths/owns/2"
        ]
    );
}

#[test]
fn a_chain_that_is_too_long_is_shown() {
    let names: Vec<String> = (0..7).map(|n| format!("t{n}")).collect();
    let tasks = (0..7usize)
        .map(|n| {
            let before: Vec<&str> = n.checked_sub(1).map(|m| names[m].as_str()).into_iter().collect();
            task(&names[n], &before)
        })
        .collect();
    let problems = checked(plan(tasks)).unwrap_err();
    assert!(problems[0].message.contains("t0 → t1 → t2 → t3 → t4 → t5 → t6"));
}

#[test]
fn edges_follow_from_interfaces_and_overlapping_paths() {
    let mut document = plan(vec![task("a", &[]), task("b", &[]), task("c", &[])]);
    document.interfaces = vec![interface("api", "a")];
    document.tasks[1].needs = vec!["api".into()];
    document.tasks[1].paths.owns = vec!["src/**".into()];
    document.tasks[2].paths.owns = vec!["src/x.rs".into()];
    let checked = checked(document).unwrap();
    assert_eq!(parents(&checked, "b"), ["a"]);
    assert_eq!(parents(&checked, "c"), ["b"]);
    assert_eq!(checked.plan.tasks[2].depends_on[0].why, Why::Overlap);
    assert_eq!(
        checked.repairs,
        [
            "task a provides interface api, as the interface says",
            "task b waits for a: it needs interface api",
            "task c waits for b: both touch src/x.rs"
        ]
    );
}

#[test]
fn needless_edges_are_dropped() {
    let checked = checked(plan(vec![
        task("a", &["a"]),
        task("b", &["a", "a"]),
        task("c", &["a", "b"]),
    ]))
    .unwrap();
    assert_eq!(parents(&checked, "a"), Vec::<String>::new());
    assert_eq!(parents(&checked, "b"), ["a"]);
    assert_eq!(parents(&checked, "c"), ["b"]);
    assert_eq!(checked.repairs.len(), 3);
}

#[test]
fn lock_files_and_wanted_indexes_are_shared() {
    let mut document = plan(vec![task("a", &[]), task("b", &[])]);
    for task in &mut document.tasks {
        task.paths.owns = vec!["Cargo.lock".into(), "src/mod.rs".into()];
    }
    let checked = checked(document).unwrap();
    assert_eq!(checked.plan.shared_paths, ["Cargo.lock", "src/mod.rs"]);
    for task in &checked.plan.tasks {
        assert!(task.paths.owns.is_empty());
        assert!(task.depends_on.is_empty(), "shared paths need no order");
    }
}

const KEYS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
const PATHS: [&str; 9] = [
    "src/a.rs",
    "src/**",
    "src/*.rs",
    "src/mod.rs",
    "Cargo.lock",
    "new",
    "../x",
    "**",
    "t/[a",
];

fn any_task(key: impl Strategy<Value = String>) -> impl Strategy<Value = PlannedTask> {
    let edges = prop::collection::vec(prop::sample::select(&KEYS[..]), 0..4);
    let owns = prop::collection::vec(prop::sample::select(&PATHS[..]), 0..3);
    let interfaces = prop::collection::vec(prop::sample::select(&["i", "j"][..]), 0..2);
    (key, edges, owns, interfaces).prop_map(|(key, edges, owns, needs)| {
        let mut task = task(&key, &edges);
        task.paths.owns = owns.into_iter().map(String::from).collect();
        task.needs = needs.into_iter().map(String::from).collect();
        task
    })
}

fn any_plan() -> impl Strategy<Value = PlanDocument> {
    let key = prop_oneof![4 => prop::sample::select(&KEYS[..]).prop_map(String::from), 1 => ".{0,6}"];
    let interfaces = prop::collection::vec(
        (prop::sample::select(&["i", "j"][..]), prop::sample::select(&KEYS[..])),
        0..3,
    );
    (prop::collection::vec(any_task(key), 0..14), interfaces).prop_map(|(tasks, interfaces)| {
        let mut document = plan(tasks);
        document.interfaces = interfaces
            .into_iter()
            .map(|(id, provider)| interface(id, provider))
            .collect();
        document
    })
}

/// Unique keys, edges that lead back, paths that exist: nearly always accepted.
fn sound_plan() -> impl Strategy<Value = PlanDocument> {
    let keys = (0..KEYS.len()).map(|n| any_task(Just(KEYS[n].to_owned())));
    (keys.collect::<Vec<_>>(), prop::bool::ANY).prop_map(|(mut tasks, backwards)| {
        for (index, task) in tasks.iter_mut().enumerate() {
            let earlier = &KEYS[..index];
            task.depends_on.retain(|edge| earlier.contains(&edge.key.0.as_str()));
            task.paths
                .owns
                .retain(|path| path.starts_with("src/") || path == "Cargo.lock");
            let provided = if index > 0 { "i" } else { "j" };
            task.needs.retain(|id| id == provided && index > 1);
        }
        if backwards {
            tasks.reverse();
        }
        let mut document = plan(tasks);
        document.interfaces = vec![interface("i", "a"), interface("j", "b")];
        document
    })
}

fn holds(checked_once: &Checked) {
    let plan = &checked_once.plan;
    let keys: BTreeSet<&TaskKey> = plan.tasks.iter().map(|task| &task.key).collect();
    assert_eq!(keys.len(), plan.tasks.len(), "keys are unique");
    let parents = graph::named_parents(plan);
    let order = graph::order(&parents).expect("the graph has no cycle");

    let mut above = vec![BTreeSet::new(); parents.len()];
    for task in order {
        for parent in &parents[task] {
            let further: BTreeSet<usize> = above[*parent].clone();
            above[task].insert(*parent);
            above[task].extend(further);
        }
    }
    for (left, one) in plan.tasks.iter().enumerate() {
        for (right, other) in plan.tasks.iter().enumerate().skip(left + 1) {
            let owned = one.paths.owns.iter();
            let overlapping = owned
                .flat_map(|path| other.paths.owns.iter().map(move |second| (path, second)))
                .any(|(path, second)| overlap(path, second));
            let ordered = above[left].contains(&right) || above[right].contains(&left);
            assert!(ordered || !overlapping, "{} and {}", one.key, other.key);
        }
    }

    let again = checked(plan.clone()).expect("a checked plan passes");
    assert_eq!(again.plan, *plan, "checking again changes nothing");
    assert_eq!(again.repairs, Vec::<String>::new());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn whatever_passes_is_a_graph_in_order_and_passes_again(document in any_plan()) {
        match checked(document) {
            Ok(checked) => holds(&checked),
            Err(problems) => prop_assert!(!problems.is_empty()),
        }
    }

    #[test]
    fn a_sound_plan_is_repaired_into_order(document in sound_plan()) {
        holds(&checked(document).expect("nothing in it needs its author"));
    }

    #[test]
    fn no_text_in_a_path_or_check_panics(path in ".{0,30}", command in "[a-z&|;(){}'\"\\\\# \n]{0,30}") {
        let mut document = plan(vec![task("a", &[]), task("b", &[])]);
        for task in &mut document.tasks {
            task.paths.creates = vec![path.clone()];
            task.check = Some(TaskCheck { command: command.clone(), time_limit_s: 0, fails_before: false });
        }
        match checked(document) {
            Ok(checked) => holds(&checked),
            Err(problems) => prop_assert!(!problems.is_empty()),
        }
    }
}
