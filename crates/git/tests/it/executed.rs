//! What a change brings that a user's tools run by themselves, on real repositories.

use crate::support::{Fixture, UserRepository, make_executable, stamp, write};
use domain::CommitId;
use domain::integrity::IntegrityFlagKind::{
    self, Direnv, EditorTask, ExecutableByGit, GitAttributesFilter, LinkOutside, PackageScript, Workflow,
};
use git::{MergeOutcome, UserCommands};
use std::os::unix::fs::symlink;

type Found = Vec<(IntegrityFlagKind, String)>;

fn found(fixture: &Fixture, base: &CommitId, commit: &CommitId) -> Found {
    let user = UserCommands::of(&fixture.user.path).unwrap();
    let flags = fixture.hub.executed(base, commit, &user).unwrap();
    assert!(flags.iter().all(|flag| !flag.detail.is_empty()));
    flags
        .into_iter()
        .map(|flag| (flag.kind, flag.path.unwrap_or_default()))
        .collect()
}

/// What is found in a change of the fixture's base.
fn changed(fixture: &Fixture, change: impl FnOnce(&UserRepository)) -> Found {
    let commit = fixture.commit_on(&fixture.base, change);
    found(fixture, &fixture.base, &commit)
}

fn one(kind: IntegrityFlagKind, path: &str) -> Found {
    vec![(kind, path.to_owned())]
}

fn link(user: &UserRepository, target: &str, path: &str) {
    let path = user.path.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::remove_file(&path).ok();
    symlink(target, path).unwrap();
}

#[test]
fn each_class_is_found_when_it_is_added_and_when_it_is_changed_and_not_as_it_was() {
    let classes = [
        (ExecutableByGit, ".githooks/pre-commit"),
        (ExecutableByGit, ".gitmodules"),
        (Direnv, "sub/.envrc"),
        (EditorTask, ".vscode/tasks.json"),
        (EditorTask, "sub/.mcp.json"),
        (Workflow, ".github/workflows/ci.yml"),
        (PackageScript, ".cargo/config.toml"),
    ];
    let empty = Fixture::new();
    let full = Fixture::with(|user| {
        for (_, path) in classes {
            user.write(path, "# before\n");
        }
        user.write("package.json", r#"{"scripts": {"prepare": "husky", "test": "x"}}"#);
        user.write(".gitattributes", "*.bin filter=lfs\n");
    });
    for (kind, path) in classes {
        assert_eq!(changed(&empty, |user| user.write(path, "# new\n")), one(kind, path));
        assert_eq!(changed(&full, |user| user.write(path, "# new\n")), one(kind, path));
        assert_eq!(
            changed(&full, |user| make_executable(&user.path.join(path))),
            one(kind, path)
        );
        assert_eq!(changed(&full, |user| drop(user.git(&["rm", "-q", path]))), []);
    }
    assert_eq!(changed(&full, |user| user.write("src/x", "x")), []);
    let scripts = |text: &'static str| changed(&full, |user| user.write("package.json", text));
    assert_eq!(scripts(r#"{"scripts": {"prepare": "husky", "test": "y"}}"#), []);
    assert_eq!(
        scripts(r#"{"scripts": {"prepare": "evil"}}"#),
        one(PackageScript, "package.json")
    );
    let attributes = |text: &'static str| changed(&full, |user| user.write(".gitattributes", text));
    assert_eq!(attributes("*.bin filter=lfs\n*.md text\n*.rs diff=rust\n"), []);
    assert_eq!(
        attributes("*.bin filter=lfs\n*.md diff=evil\n"),
        one(GitAttributesFilter, ".gitattributes")
    );
    assert_eq!(attributes(""), one(GitAttributesFilter, ".gitattributes"));
    let gone = changed(&full, |user| drop(user.git(&["rm", "-q", ".gitattributes"])));
    assert_eq!(gone, one(GitAttributesFilter, ".gitattributes"));
    // A rename is a file that is added.
    let moved = changed(&full, |user| {
        std::fs::create_dir_all(user.path.join("new/.vscode")).unwrap();
        user.git(&["mv", ".vscode/tasks.json", "new/.vscode/tasks.json"]);
    });
    assert_eq!(moved, one(EditorTask, "new/.vscode/tasks.json"));
}

#[test]
fn programs_that_the_users_configuration_names_are_found() {
    let fixture = Fixture::with(|user| {
        user.write("tools/hooks/pre-commit", "#!/bin/sh\n");
        user.write("tools/clean.sh", "#!/bin/sh\n");
        link(user, "tools/hooks", "linked");
    });
    let set = |key: &str, value: &str| drop(fixture.user.git(&["config", key, value]));
    let hook = |path: &'static str| changed(&fixture, |user| user.write(path, "evil\n"));
    assert_eq!(hook("tools/hooks/pre-commit"), []);
    let absolute = fixture.user.path.join("tools/hooks");
    for hooks in [
        "tools/hooks",
        "./tools//x/../hooks/",
        "Tools/Hooks",
        "linked",
        absolute.to_str().unwrap(),
    ] {
        set("core.hooksPath", hooks);
        assert_eq!(
            hook("tools/hooks/pre-commit"),
            one(ExecutableByGit, "tools/hooks/pre-commit"),
            "{hooks}"
        );
        assert_eq!(
            hook("tools/hooks/lib/x"),
            one(ExecutableByGit, "tools/hooks/lib/x"),
            "{hooks}"
        );
        assert_eq!(hook("tools/hooks2/x"), [], "{hooks}");
    }
    set("core.hooksPath", ".");
    assert_eq!(hook("post-checkout"), one(ExecutableByGit, "post-checkout"));
    assert_eq!(hook("src/one.txt"), []);
    fixture.user.git(&["config", "--unset", "core.hooksPath"]);

    // From a file that is included, and on a condition; from the checkout itself.
    let elsewhere = fixture.directory.path().join("more.config");
    write(&elsewhere, "[core]\n\thooksPath = tools/hooks\n");
    set("includeIf.gitdir/i:**.path", elsewhere.to_str().unwrap());
    assert_eq!(
        hook("tools/hooks/pre-commit"),
        one(ExecutableByGit, "tools/hooks/pre-commit")
    );
    fixture.user.git(&["config", "--unset", "includeIf.gitdir/i:**.path"]);
    set("extensions.worktreeConfig", "true");
    fixture
        .user
        .git(&["config", "--worktree", "core.hooksPath", "tools/hooks"]);
    assert_eq!(
        hook("tools/hooks/pre-commit"),
        one(ExecutableByGit, "tools/hooks/pre-commit")
    );
    fixture.user.git(&["config", "--worktree", "--unset", "core.hooksPath"]);
    set("include.path", "../settings/git");
    let included = changed(&fixture, |user| user.write("settings/git", "[alias]\n\tx = y\n"));
    assert_eq!(included, one(ExecutableByGit, "settings/git"));
    fixture.user.git(&["config", "--unset", "include.path"]);

    for (key, value) in [
        ("filter.x.clean", "sh ./tools/clean.sh %f"),
        ("core.fsmonitor", "tools/clean.sh"),
        ("alias.x", "!tools/clean.sh && true"),
        ("diff.x.textconv", "'tools/clean.sh'"),
        (
            "core.sshCommand",
            absolute.parent().unwrap().join("clean.sh").to_str().unwrap(),
        ),
    ] {
        set(key, value);
        assert_eq!(hook("tools/clean.sh"), one(ExecutableByGit, "tools/clean.sh"), "{key}");
        assert_eq!(hook("src/one.txt"), [], "{key}");
        fixture.user.git(&["config", "--unset", key]);
    }
    symlink("../../tools/clean.sh", fixture.user.path.join(".git/hooks/pre-push")).unwrap();
    assert_eq!(hook("tools/clean.sh"), one(ExecutableByGit, "tools/clean.sh"));
}

#[test]
fn links_are_followed_to_where_they_lead() {
    let fixture = Fixture::with(|user| {
        user.write("a/b/c", "x");
        link(user, "a/b", "inner");
        link(user, "config/editor", ".vscode");
        user.write("config/editor/x", "x");
    });
    let linked = |target: &'static str, path: &'static str| changed(&fixture, |user| link(user, target, path));
    for (target, path) in [
        ("/etc/passwd", "x"),
        ("../x", "x"),
        ("a/../../x", "x"),
        ("../../../x", "a/b/x"),
        ("inner/../../../x", "x"),
        (".git/hooks", "x"),
        ("a/../.GIT/config", "x"),
        (".g\u{200d}it", "x"),
        ("git~1/hooks", "x"),
        ("C:\\Windows", "x"),
        ("..\\x", "x"),
        ("~/../../..", "x"),
        ("x", "x"),
    ] {
        assert_eq!(linked(target, path), one(LinkOutside, path), "{target}");
    }
    for (target, path) in [
        ("a/b/c", "x"),
        ("../../src", "a/b/x"),
        ("missing/../y", "x"),
        ("inner/../b/c", "x"),
        (".", "x"),
        ("..a", "x"),
    ] {
        assert_eq!(linked(target, path), [], "{target}");
    }
    // By way of another link that is new as well.
    let both = changed(&fixture, |user| {
        link(user, "inner/../../..", "one");
        link(user, "one/etc", "two");
    });
    assert_eq!(both, [(LinkOutside, "one".to_owned()), (LinkOutside, "two".to_owned())]);
    // What stands behind a link that an editor follows.
    let tasks = changed(&fixture, |user| user.write("config/editor/tasks.json", "{}"));
    assert_eq!(tasks, one(EditorTask, "config/editor/tasks.json"));
    assert_eq!(linked("a", ".github"), one(Workflow, ".github"));
}

#[test]
fn merge_is_compared_with_its_base_and_long_lists_are_counted() {
    let fixture = Fixture::new();
    let ours = fixture.commit_on(&fixture.base, |user| user.write(".envrc", "x\n"));
    let theirs = fixture.commit_on(&fixture.base, |user| user.write(".vscode/tasks.json", "{}"));
    let MergeOutcome::Clean(merged) = fixture.hub.merge(&ours, &theirs).unwrap() else {
        panic!()
    };
    let merged = fixture
        .hub
        .commit_merge(&merged.tree, &ours, &theirs, &stamp("m"))
        .unwrap();
    assert_eq!(found(&fixture, &ours, &merged), one(EditorTask, ".vscode/tasks.json"));
    let all = found(&fixture, &fixture.base, &merged);
    assert_eq!(
        all,
        [
            (EditorTask, ".vscode/tasks.json".to_owned()),
            (Direnv, ".envrc".to_owned())
        ]
    );

    let many = fixture.commit_on(&fixture.base, |user| {
        for number in 0..250 {
            user.write(&format!(".vscode/{number}"), "x");
        }
    });
    let flags = fixture
        .hub
        .executed(&fixture.base, &many, &UserCommands::default())
        .unwrap();
    assert_eq!(flags.len(), 101);
    assert!(flags[100].detail.contains("150 more"), "{:?}", flags[100]);
}
