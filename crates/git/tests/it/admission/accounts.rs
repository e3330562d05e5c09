//! What another account owns, or could put another thing in the place of.

use super::{Machine, as_root, permit};
use git::{NotAdmitted, WorkspaceError};
use std::{
    fs,
    os::unix::fs::{chown, symlink},
};

#[test]
fn directories_that_every_account_can_write_are_refused() {
    let machine = Machine::new();
    machine.repository("home/ann/open/repository");
    permit(&machine.at("home/ann/open"), 0o777);
    for path in ["home/ann/open/repository", "home/ann/open/new", "home/ann/open"] {
        let refused = machine.refused(machine.at(path));
        assert!(matches!(refused, NotAdmitted::OpenToAll { .. }), "{path}: {refused}");
    }
    permit(&machine.at("home/ann/open"), 0o1777);
    assert!(machine.admit(machine.at("home/ann/open/repository")).is_ok());
    // What all share is no workspace itself.
    assert!(matches!(
        machine.refused(machine.at("home/ann/open")),
        NotAdmitted::OpenToAll { .. }
    ));
    permit(&machine.at("home/ann/open/repository"), 0o777);
    assert!(matches!(
        machine.refused(machine.at("home/ann/open/repository")),
        NotAdmitted::OpenToAll { .. }
    ));
}

#[test]
fn directories_and_links_of_other_accounts_are_refused() {
    if !as_root() {
        return;
    }
    let machine = Machine::new();
    const OTHER: Option<u32> = Some(4_242);
    let give = |path: &str| chown(machine.at(path), OTHER, OTHER).unwrap();
    // A link in the directory that all share.
    fs::create_dir(machine.at("home/ann/target")).unwrap();
    symlink(machine.at("home/ann/target"), machine.at("tmp/link")).unwrap();
    std::os::unix::fs::lchown(machine.at("tmp/link"), OTHER, OTHER).unwrap();
    for path in ["tmp/link", "tmp/link/new"] {
        let refused = machine.refused(machine.at(path));
        assert!(
            matches!(refused, NotAdmitted::LinkOfAnother { owner: 4_242, .. }),
            "{path}: {refused}"
        );
    }
    // A directory, and what lies below one.
    fs::create_dir(machine.at("tmp/theirs")).unwrap();
    machine.repository("tmp/theirs/repository");
    give("tmp/theirs");
    assert!(matches!(
        machine.refused(machine.at("tmp/theirs")),
        NotAdmitted::Workspace(WorkspaceError::OwnedByAnother { owner: Some(4_242), .. })
    ));
    for path in ["tmp/theirs/new", "tmp/theirs/repository"] {
        let refused = machine.refused(machine.at(path));
        assert!(
            matches!(refused, NotAdmitted::BelowAnother { owner: 4_242, .. }),
            "{path}: {refused}"
        );
        assert!(refused.hint().contains("safe.directory"));
    }
    // A repository whose git directory is theirs.
    machine.repository("home/ann/work/given");
    give("home/ann/work/given/.git");
    let refused = machine.refused(machine.at("home/ann/work/given"));
    assert!(refused.to_string().contains("owned by another user"), "{refused}");
}
