//! Repositories that keep parts of themselves elsewhere.

use super::Machine;
use crate::support::{git_in, write};
use git::{Found, NotAdmitted};
use std::{fs, os::unix::fs::symlink, path::Path};

#[test]
fn a_git_directory_that_leads_elsewhere_is_refused() {
    let machine = Machine::new();
    let secret = machine.repository("home/ann/secret");
    write(&machine.at("etc/objects/x"), "x");
    let case = |name: &str| {
        let user = machine.repository(&format!("home/ann/work/{name}"));
        (user.path.clone(), user.path.join(".git"))
    };
    let elsewhere = |path: &Path| {
        let refused = machine.refused(path);
        assert!(
            matches!(refused, NotAdmitted::Elsewhere { .. } | NotAdmitted::Part { .. }),
            "{}: {refused}",
            path.display()
        );
    };
    // A file or a link in its place.
    let (path, git) = case("pointer");
    fs::rename(&git, machine.at("home/ann/moved")).unwrap();
    for target in [
        machine.at("etc"),
        secret.path.join(".git"),
        machine.at("data/orchestrator/hubs"),
    ] {
        write(&git, format!("gitdir: {}\n", target.display()));
        elsewhere(&path);
        fs::remove_file(&git).unwrap();
        symlink(&target, &git).unwrap();
        elsewhere(&path);
        fs::remove_file(&git).unwrap();
    }
    // What others of its files say.
    let (path, git) = case("common");
    write(
        &git.join("commondir"),
        format!("{}\n", secret.path.join(".git").display()),
    );
    elsewhere(&path);
    let (path, _) = case("files");
    git_in(&path, &["config", "core.worktree", machine.at("etc").to_str().unwrap()]);
    elsewhere(&path);
    for target in [
        machine.at("etc/objects"),
        machine.at("data/orchestrator/hubs"),
        machine.at("home/ann/.ssh"),
    ] {
        let (path, git) = case(&format!("borrows-{}", target.file_name().unwrap().display()));
        write(&git.join("objects/info/alternates"), format!("{}\n", target.display()));
        elsewhere(&path);
    }
    // Links in its place of parts.
    for part in ["objects", "refs", "config", "HEAD", "objects/pack", "refs/heads/main"] {
        let (path, git) = case(&format!("part-{}", part.replace('/', "-")));
        let kept = machine.at("home/ann").join(format!("kept-{}", part.replace('/', "-")));
        fs::rename(git.join(part), &kept).unwrap();
        symlink(&kept, git.join(part)).unwrap();
        elsewhere(&path);
    }
    let (path, git) = case("object");
    fs::create_dir_all(git.join("objects/aa")).unwrap();
    symlink(machine.at("etc/passwd"), git.join("objects/aa").join("b".repeat(38))).unwrap();
    elsewhere(&path);
}

#[test]
fn a_pipe_in_a_git_directory_is_not_waited_for() {
    let machine = Machine::new();
    for part in [
        "config",
        "HEAD",
        "index",
        "refs/heads/x",
        "objects/info/alternates",
        "commondir",
        "shallow",
    ] {
        let user = machine.repository(&format!("home/ann/work/{}", part.replace('/', "-")));
        let pipe = user.path.join(".git").join(part);
        fs::remove_file(&pipe).ok();
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
        let refused = machine.refused(&user.path).to_string();
        assert!(
            refused.contains("plain file") || refused.contains("wrong kind"),
            "{part}: {refused}"
        );
    }
}

#[test]
fn linked_worktrees_submodules_and_shared_clones_of_ours_are_taken() {
    let machine = Machine::new();
    let user = machine.repository("home/ann/work/main");
    let linked = machine.at("home/ann/work/linked");
    user.git(&["worktree", "add", "-q", linked.to_str().unwrap()]);
    user.git(&["clone", "-q", "--shared", ".", "../shared"]);
    let outer = machine.repository("home/ann/work/outer");
    let from = user.path.display().to_string();
    outer.git(&[
        "-c",
        "protocol.file.allow=always",
        "submodule",
        "--quiet",
        "add",
        &from,
        "inner",
    ]);
    for path in ["linked", "shared", "outer", "outer/inner"] {
        let admitted = machine.admit(machine.at("home/ann/work").join(path)).unwrap();
        assert!(
            matches!(admitted.found, Found::Repository { head: Some(_), .. }),
            "{path}"
        );
    }
    // Copied away, the pointer names a repository that does not name it in return.
    fs::create_dir(machine.at("home/ann/work/copied")).unwrap();
    fs::copy(linked.join(".git"), machine.at("home/ann/work/copied/.git")).unwrap();
    assert!(matches!(
        machine.refused(machine.at("home/ann/work/copied")),
        NotAdmitted::Elsewhere { .. }
    ));
}

#[test]
fn workspace_path_that_leads_elsewhere_gets_no_delivery() {
    let machine = Machine::new();
    let user = machine.repository("home/ann/work/repository");
    let still = || machine.admission.still_admits(&user.path);
    still().unwrap();
    fs::rename(&user.path, machine.at("home/ann/work/moved")).unwrap();
    // Who looks for it says that it is gone.
    still().unwrap();
    symlink(machine.at("home/ann/work/moved"), &user.path).unwrap();
    assert!(matches!(still(), Err(NotAdmitted::Moved { .. })));
    fs::remove_file(&user.path).unwrap();
    symlink(machine.at("etc"), &user.path).unwrap();
    assert!(matches!(still(), Err(NotAdmitted::System { .. })));
    fs::remove_file(&user.path).unwrap();
    fs::create_dir(&user.path).unwrap();
    write(
        &user.path.join(".git"),
        format!("gitdir: {}\n", machine.at("home/ann/work/moved/.git").display()),
    );
    assert!(matches!(still(), Err(NotAdmitted::Elsewhere { .. })));
}

#[test]
fn format_is_named_before_the_parts_are_judged() {
    let machine = Machine::new();
    for (format, words) in [
        ("--ref-format=reftable", "reference storage"),
        ("--object-format=sha256", "SHA-1"),
    ] {
        let path = machine.at("home/ann/work").join(format.trim_start_matches('-'));
        fs::create_dir_all(&path).unwrap();
        assert!(git_in(&path, &["init", "-q", format]).status.success());
        let refused = machine.refused(&path).to_string();
        assert!(refused.contains(words), "{refused}");
    }
}
