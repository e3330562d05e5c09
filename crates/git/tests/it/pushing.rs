use crate::support::{Fixture, UserRepository, git_in, make_executable, stamp, write};
use domain::CommitId;
use git::{PushAccess, PushError, PushRejection, Pushed, Remote};
use std::{fs, path::PathBuf};

struct Pushing {
    fixture: Fixture,
    remote_path: PathBuf,
    remote: Remote,
}

impl Pushing {
    fn new() -> Self {
        let fixture = Fixture::new();
        let remote_path = fixture.directory.path().join("remote.git");
        let made = git_in(fixture.directory.path(), &["init", "-q", "--bare", "remote.git"]);
        assert!(made.status.success());
        let address = format!("file://{}", remote_path.display());
        let remote = Remote::new(&address, PushAccess::default()).unwrap();
        Self {
            fixture,
            remote_path,
            remote,
        }
    }

    /// A commit on top of another one, in the hub alone.
    fn next(&self, parent: &CommitId, name: &str) -> CommitId {
        let hub = &self.fixture.hub;
        let tree = hub.tree_of(parent).unwrap();
        hub.commit_tree(&tree, std::slice::from_ref(parent), &stamp(name))
            .unwrap()
    }

    fn push(&self, expected: Option<&CommitId>, commit: &CommitId) -> Result<Pushed, PushError> {
        self.fixture.hub.push(&self.remote, "result/one", expected, commit)
    }

    fn tip(&self) -> Option<CommitId> {
        self.fixture.hub.remote_tip(&self.remote, "result/one").unwrap()
    }
}

#[test]
fn a_branch_is_created_then_goes_forward_and_again_is_fine() {
    let pushing = Pushing::new();
    let base = pushing.fixture.base.clone();
    let next = pushing.next(&base, "next");
    assert_eq!(pushing.tip(), None);
    assert_eq!(pushing.push(None, &base).unwrap(), Pushed::Created);
    assert_eq!(pushing.push(None, &base).unwrap(), Pushed::Already);
    assert_eq!(pushing.tip(), Some(base.clone()));
    assert_eq!(pushing.push(Some(&base), &next).unwrap(), Pushed::Updated);
    // A crash after the push repeats it with the value that was recorded before.
    assert_eq!(pushing.push(Some(&base), &next).unwrap(), Pushed::Already);
    assert_eq!(pushing.tip(), Some(next));
}

#[test]
fn a_branch_that_someone_else_moved_is_left_alone() {
    let pushing = Pushing::new();
    let base = pushing.fixture.base.clone();
    assert_eq!(pushing.push(None, &base).unwrap(), Pushed::Created);

    let other = UserRepository::init(&pushing.fixture.directory.path().join("other"));
    other.git(&["fetch", "-q", pushing.remote.address(), "result/one"]);
    other.git(&["checkout", "-q", "-b", "result/one", "FETCH_HEAD"]);
    other.write("theirs.txt", "theirs\n");
    let theirs = other.commit("theirs");
    other.git(&["push", "-q", pushing.remote.address(), "result/one"]);

    let next = pushing.next(&base, "next");
    let moved = |expected: Option<&CommitId>| {
        Pushed::Rejected(PushRejection::Moved {
            expected: expected.cloned(),
            found: Some(theirs.clone()),
        })
    };
    assert_eq!(pushing.push(Some(&base), &next).unwrap(), moved(Some(&base)));
    assert_eq!(pushing.push(None, &next).unwrap(), moved(None));
    // Even a caller that expects it there can't take their commit away.
    assert_eq!(
        pushing.push(Some(&theirs), &next).unwrap(),
        Pushed::Rejected(PushRejection::NotForward { found: theirs.clone() })
    );
    assert_eq!(pushing.tip(), Some(theirs));
}

#[test]
fn a_branch_that_someone_deleted_is_not_made_again() {
    let pushing = Pushing::new();
    let base = pushing.fixture.base.clone();
    pushing.push(None, &base).unwrap();
    git_in(&pushing.remote_path, &["update-ref", "-d", "refs/heads/result/one"]);
    let next = pushing.next(&base, "next");
    assert_eq!(
        pushing.push(Some(&base), &next).unwrap(),
        Pushed::Rejected(PushRejection::Moved {
            expected: Some(base),
            found: None
        })
    );
    assert_eq!(pushing.tip(), None);
}

#[test]
fn message_of_the_remotes_hook_is_reported() {
    let pushing = Pushing::new();
    let hook = pushing.remote_path.join("hooks/pre-receive");
    write(&hook, "#!/bin/sh\necho 'reviews are needed' >&2\nexit 1\n");
    make_executable(&hook);
    let pushed = pushing.push(None, &pushing.fixture.base).unwrap();
    let Pushed::Rejected(PushRejection::ByRemote { said }) = &pushed else {
        panic!("{pushed:?}")
    };
    assert!(said.contains("reviews are needed"), "{said}");
    assert_eq!(pushing.tip(), None);
}

#[test]
fn no_hook_helper_or_configuration_of_ours_or_the_users_runs() {
    let pushing = Pushing::new();
    let hub = pushing.fixture.hub.path().to_owned();
    let marker = pushing.fixture.directory.path().join("ran");
    let script = format!("#!/bin/sh\ntouch {}\n", marker.display());
    for hook in ["pre-push", "reference-transaction"] {
        write(&hub.join("hooks").join(hook), &script);
        make_executable(&hub.join("hooks").join(hook));
    }
    let config = fs::read_to_string(hub.join("config")).unwrap();
    let rewritten = format!(
        "{config}[credential]\n\thelper = \"!touch {0}\"\n[core]\n\tfsmonitor = touch {0}\n\tsshCommand = touch {0}\n",
        marker.display()
    );
    fs::write(hub.join("config"), rewritten).unwrap();
    assert_eq!(pushing.push(None, &pushing.fixture.base).unwrap(), Pushed::Created);
    assert!(!marker.exists());
}

#[test]
fn missing_remote_and_bad_branch_are_reported() {
    let pushing = Pushing::new();
    let nowhere = pushing.fixture.directory.path().join("nowhere.git");
    let nowhere = Remote::new(nowhere.to_str().unwrap(), PushAccess::default()).unwrap();
    let hub = &pushing.fixture.hub;
    let base = &pushing.fixture.base;
    let failed = hub.push(&nowhere, "b", None, base).unwrap_err();
    assert!(matches!(failed, PushError::Unreachable { .. }), "{failed}");
    for branch in ["-x", "a..b", "", "a b"] {
        let failed = hub.push(&pushing.remote, branch, None, base).unwrap_err();
        assert!(matches!(failed, PushError::BadBranch { .. }), "{failed}");
    }
}
