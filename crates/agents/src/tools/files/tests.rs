//! No path leads out of the worktree, and writing keeps what it should.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use tempfile::TempDir;

use super::super::policy::PathGlobs;
use super::write::Written;
use super::*;

struct Fixture {
    outer: TempDir,
    files: Files,
}

/// A worktree beside a directory with a secret, and an output directory.
fn fixture() -> Fixture {
    let outer = tempfile::tempdir().unwrap();
    for directory in ["wt/src", "out", "beside"] {
        fs::create_dir_all(outer.path().join(directory)).unwrap();
    }
    fs::write(outer.path().join("wt/src/a.txt"), "inside").unwrap();
    fs::write(outer.path().join("wt/.git"), "gitdir: x").unwrap();
    fs::write(outer.path().join("beside/secret"), "secret").unwrap();
    fs::write(outer.path().join("out/shell-0001.txt"), "long").unwrap();
    let files = Files::open(&outer.path().join("wt"), &outer.path().join("out")).unwrap();
    Fixture { outer, files }
}

impl Fixture {
    fn path(&self, relative: &str) -> PathBuf {
        self.outer.path().join(relative)
    }

    fn read(&self, path: &str) -> Result<String, String> {
        let read = self.files.locate(path).and_then(|place| place.read(1000));
        read.map(|content| String::from_utf8(content).unwrap())
            .map_err(|error| error.to_string())
    }

    fn write(&self, path: &str) -> Result<Written, String> {
        self.files
            .write(path, b"new", &WritePolicy::All)
            .map_err(|error| error.to_string())
    }

    fn by_steps(self) -> Self {
        let Files { worktree, outputs } = self.files;
        Self {
            files: Files {
                worktree: worktree.by_steps(),
                outputs,
            },
            ..self
        }
    }
}

#[test]
fn paths_may_be_relative_absolute_or_contain_dots() {
    let fixture = fixture();
    let absolute = fixture.path("wt/src/a.txt");
    for path in [
        "src/a.txt",
        "./src//a.txt",
        "src/../src/a.txt",
        absolute.to_str().unwrap(),
    ] {
        assert_eq!(fixture.read(path).as_deref(), Ok("inside"), "{path}");
    }
    assert_eq!(
        fixture
            .read(fixture.path("out/shell-0001.txt").to_str().unwrap())
            .as_deref(),
        Ok("long")
    );
}

#[test]
fn paths_out_of_the_worktree_are_refused_by_name() {
    let fixture = fixture();
    let beside = fixture.path("beside/secret");
    let sibling = fixture.path("wt2/x");
    for path in ["../beside/secret", "src/../../beside/secret", "/etc/passwd", "/", ".."] {
        for refusal in [fixture.read(path).unwrap_err(), fixture.write(path).unwrap_err()] {
            assert!(
                refusal.contains(&format!("`{path}` is outside the worktree")),
                "{refusal}"
            );
        }
    }
    for path in [beside, sibling] {
        assert!(fixture.read(path.to_str().unwrap()).unwrap_err().contains("outside"));
        assert!(fixture.write(path.to_str().unwrap()).unwrap_err().contains("outside"));
    }
}

#[test]
fn links_out_of_the_worktree_are_refused() {
    for fixture in [fixture(), fixture().by_steps()] {
        symlink("../beside/secret", fixture.path("wt/file")).unwrap();
        symlink("../beside", fixture.path("wt/directory")).unwrap();
        symlink(fixture.path("beside"), fixture.path("wt/absolute")).unwrap();
        symlink("/proc/self/root", fixture.path("wt/magic")).unwrap();
        for path in ["file", "directory/secret", "absolute/secret", "magic/etc/passwd"] {
            let refusal = fixture.read(path).unwrap_err();
            assert!(
                refusal.contains(&format!("`{path}` is outside the worktree")),
                "{refusal}"
            );
        }
        for path in [
            "file",
            "directory/secret",
            "directory/new",
            "absolute/new",
            "directory/deep/new",
        ] {
            let refusal = fixture.write(path).unwrap_err();
            assert!(refusal.contains(&format!("`{path}`")), "{refusal}");
        }
        assert_eq!(fs::read_to_string(fixture.path("beside/secret")).unwrap(), "secret");
        assert_eq!(fs::read_dir(fixture.path("beside")).unwrap().count(), 1);
    }
}

#[test]
fn links_inside_the_worktree_are_followed_and_stay() {
    let fixture = fixture();
    symlink("src/a.txt", fixture.path("wt/link")).unwrap();
    assert_eq!(fixture.read("link").as_deref(), Ok("inside"));
    assert_eq!(fixture.write("link"), Ok(Written::Replaced));
    assert!(fs::symlink_metadata(fixture.path("wt/link")).unwrap().is_symlink());
    assert_eq!(fs::read_to_string(fixture.path("wt/src/a.txt")).unwrap(), "new");
}

#[test]
fn git_is_refused_under_any_spelling_and_through_links() {
    let fixture = fixture();
    fs::create_dir_all(fixture.path("wt/sub/.git")).unwrap();
    symlink(".git", fixture.path("wt/alias")).unwrap();
    symlink("sub/.git", fixture.path("wt/nested")).unwrap();
    for path in [
        ".git",
        "src/../.git",
        "sub/.git/config",
        ".GIT/hooks/x",
        "alias",
        "nested/config",
        "nested/deep/x",
    ] {
        assert!(fixture.read(path).is_err(), "{path}");
        let refusal = fixture.write(path).unwrap_err();
        assert!(refusal.contains("belongs to git"), "{path}: {refusal}");
    }
    assert_eq!(fs::read_to_string(fixture.path("wt/.git")).unwrap(), "gitdir: x");
    assert_eq!(fs::read_dir(fixture.path("wt/sub/.git")).unwrap().count(), 0);
    assert_eq!(fixture.write(".gitignore"), Ok(Written::Created));
}

#[test]
fn unusual_names_are_accepted() {
    let fixture = fixture();
    for path in [
        "a b.txt",
        "-rf",
        "ä/ö.txt",
        "two\nlines",
        "$(x)`y`",
        "*",
        ".hidden/deep/er/file",
    ] {
        assert_eq!(fixture.write(path), Ok(Written::Created), "{path}");
        assert_eq!(fixture.read(path).as_deref(), Ok("new"));
        assert_eq!(fs::read_to_string(fixture.path("wt").join(path)).unwrap(), "new");
    }
    assert!(fixture.write("a\0b").unwrap_err().contains("NUL"));
    assert!(
        fixture
            .write(&"x".repeat(300))
            .unwrap_err()
            .contains("File name too long")
    );
}

#[test]
fn replaced_file_keeps_its_mode_and_leaves_no_temporary_file() {
    for fixture in [fixture(), fixture().by_steps()] {
        let script = fixture.path("wt/src/run.sh");
        fs::write(&script, "old").unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(fixture.write("src/run.sh"), Ok(Written::Replaced));
        assert_eq!(fs::metadata(&script).unwrap().permissions().mode() & 0o7777, 0o755);
        assert_eq!(fs::read_dir(fixture.path("wt/src")).unwrap().count(), 2);
    }
}

#[test]
fn special_files_are_refused_with_their_kind() {
    let fixture = fixture();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        fixture.path("wt/pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    symlink("nowhere", fixture.path("wt/dangling")).unwrap();
    assert!(fixture.read("src").unwrap_err().contains("is a directory"));
    assert!(fixture.write("src").unwrap_err().contains("is a directory"));
    assert!(fixture.write(".").unwrap_err().contains("is a directory"));
    assert!(fixture.read("pipe").unwrap_err().contains("pipe, socket or device"));
    assert!(fixture.write("pipe").unwrap_err().contains("pipe, socket or device"));
    assert!(
        fixture
            .read("missing")
            .unwrap_err()
            .contains("`missing` does not exist")
    );
    assert!(
        fixture
            .read("src/a.txt/b")
            .unwrap_err()
            .contains("is a file, not a directory")
    );
    assert!(
        fixture
            .write("src/a.txt/b")
            .unwrap_err()
            .contains("is a file, not a directory")
    );
    assert!(
        fixture
            .write("dangling")
            .unwrap_err()
            .contains("symbolic link to something")
    );
    assert!(
        fixture
            .write("dangling/x")
            .unwrap_err()
            .contains("symbolic link to something")
    );
}

#[test]
fn outputs_can_be_read_but_not_written() {
    let fixture = fixture();
    let path = fixture.path("out/shell-0001.txt");
    assert!(
        fixture
            .write(path.to_str().unwrap())
            .unwrap_err()
            .contains("only be read")
    );
}

#[test]
fn oversized_file_is_refused_with_its_size() {
    let fixture = fixture();
    fs::write(fixture.path("wt/big"), vec![b'x'; 1001]).unwrap();
    assert!(
        fixture
            .read("big")
            .unwrap_err()
            .contains("1001 bytes, more than the 1000")
    );
}

#[test]
fn write_policy_applies_to_the_target_of_a_link() {
    let fixture = fixture();
    let policy = WritePolicy::Only(PathGlobs::new(&["/tests/".to_owned()]).unwrap());
    fs::create_dir(fixture.path("wt/tests")).unwrap();
    symlink("../src", fixture.path("wt/tests/sources")).unwrap();
    let write = |path: &str| {
        fixture
            .files
            .write(path, b"x", &policy)
            .map_err(|error| error.to_string())
    };
    assert_eq!(write("tests/deep/a.rs"), Ok(Written::Created));
    for path in [
        "src/a.txt",
        "new.rs",
        "tests/sources/a.txt",
        "tests/sources/new.txt",
        "tests/../src/new",
    ] {
        assert!(
            write(path)
                .unwrap_err()
                .contains("may not be written by this worker. It may write: /tests/"),
            "{path}"
        );
    }
    assert!(!fixture.path("wt/src/new.txt").exists());
}
