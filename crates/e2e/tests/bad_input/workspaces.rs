//! Unusable workspaces are rejected before any cost, and stay unchanged.

use crate::support::{Untouched, body, get, goes_on, post, run, says, with};
use e2e::{Product, git, repository};
use serde_json::json;
use sim_llm::Scenario;
use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
};

/// A path and its expected error.
type Refused = (PathBuf, &'static [&'static str]);

/// Unusable paths of every kind, below a directory.
fn unusable(directory: &Path) -> Vec<Refused> {
    let good = repository(&directory.join("good"), &[("a", "1\n"), ("sub/b", "2\n")]);
    let good_path = good.display().to_string();

    let file = directory.join("file");
    fs::write(&file, "text").unwrap();
    let dangling = directory.join("dangling");
    symlink(directory.join("nowhere"), &dangling).unwrap();
    let endless = directory.join("endless");
    symlink(&endless, &endless).unwrap();
    let bare = directory.join("bare.git");
    run(
        "git",
        &["clone", "-q", "--bare", &good_path, &bare.display().to_string()],
    );
    let broken = repository(&directory.join("broken"), &[("a", "1\n")]);
    fs::write(broken.join(".git/HEAD"), "nonsense\n").unwrap();
    vec![
        (file.clone(), &["is a file"]),
        (file.join("below"), &["is a file"]),
        (dangling, &["symlink to nothing"]),
        (endless, &["can't be"]),
        (bare, &["bare repository", "git clone"]),
        (broken, &["can't be used", "git fsck"]),
        (good.join("sub"), &["lies inside the repository"]),
        (good.join("sub/new"), &["lies inside the repository"]),
        (merging(directory), &["in the middle of a merge", "git merge --abort"]),
        (
            rebasing(directory),
            &["in the middle of a rebase", "git rebase --abort"],
        ),
    ]
}

/// A repository whose two branches changed the same line.
fn diverged(path: &Path) -> PathBuf {
    let path = repository(path, &[("a", "1\n")]);
    let commit = |text: &str| {
        fs::write(path.join("a"), text).unwrap();
        git(
            &path,
            &[
                "-c",
                "user.name=U",
                "-c",
                "user.email=u@localhost",
                "commit",
                "-qam",
                text.trim(),
            ],
        );
    };
    git(&path, &["checkout", "-qb", "other"]);
    commit("2\n");
    git(&path, &["checkout", "-q", "main"]);
    commit("3\n");
    path
}

/// Runs a git command that stops at a conflict.
fn stopped(path: &Path, arguments: &[&str]) {
    let identity = ["-c", "user.name=U", "-c", "user.email=u@localhost"];
    let output = Command::new("git")
        .current_dir(path)
        .args(identity)
        .args(arguments)
        .output()
        .unwrap();
    assert!(!output.status.success(), "git {arguments:?} met no conflict");
}

fn merging(directory: &Path) -> PathBuf {
    let path = diverged(&directory.join("merging"));
    stopped(&path, &["merge", "other"]);
    path
}

fn rebasing(directory: &Path) -> PathBuf {
    let path = diverged(&directory.join("rebasing"));
    stopped(&path, &["rebase", "other"]);
    path
}

/// A repository of another user; only root can create one.
fn of_another_user(directory: &Path) -> PathBuf {
    let path = repository(&directory.join("theirs"), &[("a", "1\n")]);
    run("chown", &["-R", "65534:65534", &path.display().to_string()]);
    path
}

/// System directories, by many names. They are only named: nothing is opened or created there.
const OF_THE_SYSTEM: [&str; 14] = [
    "/etc",
    "/etc/",
    "//etc",
    "/tmp/../etc",
    "/etc/orchestrator-is-not-here",
    "/proc/self/root/etc",
    "/proc/self/cwd/../../../../../../../../etc",
    "/usr/share",
    "/var/lib",
    "/proc/sys",
    "/dev/shm",
    "/home",
    "/tmp",
    "/root",
];

#[tokio::test(flavor = "multi_thread")]
async fn system_directories_are_rejected() {
    let product = Product::start(Scenario::from_rules(vec![])).await;
    let made = || OF_THE_SYSTEM.map(|path| Path::new(path).join(".git").symlink_metadata().is_ok());
    let before = made();
    for path in OF_THE_SYSTEM {
        for initialise in [false, true] {
            let asked = with(body(Path::new(path), "scripted"), "/initialise", json!(initialise));
            let problem = post(&product, &asked).await.problem(409, "unusable");
            assert_eq!(problem["field"], "workspace_path", "{problem}");
            assert!(problem["hint"].is_string(), "{problem}");
        }
    }
    // Files that must not be committed unasked, and a directory in which nothing may be created.
    let notes = product.directory.path().join("notes");
    fs::create_dir(&notes).unwrap();
    fs::write(notes.join("a"), "1\n").unwrap();
    let problem = post(&product, &body(&notes, "scripted")).await.problem(409, "unusable");
    assert_eq!(problem["field"], "initialise");
    says(&problem.to_string(), &["initialise", "git init"]);
    assert!(!notes.join(".git").exists());
    let outside = body(Path::new("/srv/orchestrator-is-not-here"), "scripted");
    let problem = post(&product, &outside).await.problem(409, "unusable");
    says(&problem.to_string(), &["server.workspaces"]);
    assert_eq!(made(), before);
    assert_eq!(get(&product, "/runs").await.json()["runs"], json!([]));
    goes_on(&product).await;
}

/// An unreadable directory; not for root, whom permissions don't restrict (see [`unusable`]).
fn unreadable(directory: &Path) -> Option<Refused> {
    if rustix::process::geteuid().is_root() {
        return None;
    }
    let path = repository(&directory.join("unreadable"), &[("a", "1\n")]);
    permit(&path, 0o000);
    Some((path, &["can't be read", "permissions"]))
}

fn permit(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn unusable_workspace_is_named_and_unchanged() {
    // Without the user's git configuration, whose safe.directory may allow everything.
    let home = e2e::directory();
    let environment = [
        ("HOME", home.path().to_str().unwrap()),
        ("XDG_CONFIG_HOME", "/nonexistent"),
    ];
    let product = Product::start_with(Scenario::from_rules(vec![]), &environment).await;
    let directory = product.directory.path();
    let good = directory.join("good");
    let mut refused = unusable(directory);
    let unreadable = unreadable(home.path());
    refused.extend(unreadable.clone());
    if rustix::process::geteuid().is_root() {
        refused.push((of_another_user(directory), &["owned by another user", "safe.directory"]));
    }
    let data_dir = product.data_dir();
    refused.push((data_dir.clone(), &["data directory"]));
    refused.push((data_dir.join("new"), &["data directory", "--data-dir"]));
    refused.push((directory.to_owned(), &["data directory"]));
    refused.push((PathBuf::from("/"), &["data directory"]));

    let before = Untouched::now(&good);
    let listing = listing(directory, &data_dir);
    for (path, words) in &refused {
        let problem = post(&product, &body(path, "scripted")).await.problem(409, "unusable");
        println!("{problem:#}");
        assert_eq!(problem["field"], "workspace_path");
        assert_eq!(problem["value"], path.display().to_string());
        assert!(problem["hint"].is_string());
        says(&problem.to_string(), words);
    }
    let far_too_long = with(
        body(&good, "scripted"),
        "/workspace_path",
        json!(format!("/{}", "x/".repeat(5_000))),
    );
    post(&product, &far_too_long).await.problem(422, "invalid-value");

    assert_eq!(
        self::listing(directory, &data_dir),
        listing,
        "looking at a workspace changed something"
    );
    assert_eq!(Untouched::now(&good), before);
    assert_eq!(get(&product, "/runs").await.json()["runs"], json!([]));
    goes_on(&product).await;
    if let Some((path, _)) = unreadable {
        // So that the directory can be removed.
        permit(&path, 0o755);
    }
}

/// Every file below a directory with its size and modification time, except below another directory.
fn listing(directory: &Path, except: &Path) -> String {
    let (directory, except) = (directory.display().to_string(), except.display().to_string());
    let log = format!("{directory}/server.log");
    let arguments = [
        &directory,
        "-path",
        &except,
        "-prune",
        "-o",
        "!",
        "-path",
        &log,
        "-printf",
        "%p %s %T@ %m\n",
    ];
    let mut lines: Vec<String> = run("find", &arguments).lines().map(str::to_owned).collect();
    lines.sort();
    lines.join("\n")
}
