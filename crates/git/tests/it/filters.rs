//! Paths with a `filter=`: no filter runs here, so nothing of ours writes to them.

use crate::support::{Fixture, write};
use domain::CommitId;
use git::{Refused, UserAttributes};

/// What is refused between two commits: the path and the filter.
fn refused(fixture: &Fixture, base: &CommitId, commit: &CommitId) -> Option<(String, String)> {
    let user = UserAttributes::of(&fixture.user.path).unwrap();
    match fixture.hub.check(base, commit, &user) {
        Ok(()) => None,
        Err(Refused::Filtered { path, filter }) => Some((path.to_string(), filter)),
        Err(other) => panic!("{other}"),
    }
}

fn crypt(path: &str) -> Option<(String, String)> {
    Some((path.to_owned(), "git-crypt".to_owned()))
}

/// A repository with an attribute file, and a commit on it.
fn written(attributes: &str, path: &str) -> Option<(String, String)> {
    let fixture = Fixture::with(|user| {
        user.write(".gitattributes", attributes);
        user.write("README.md", "hello\n");
    });
    let commit = fixture.commit_on(&fixture.base, |user| user.write(path, "password\n"));
    refused(&fixture, &fixture.base, &commit)
}

#[test]
fn path_with_a_filter_is_refused_in_every_attribute_form() {
    for attributes in [
        "secret.txt filter=git-crypt diff=git-crypt\n",
        "*.txt filter=git-crypt\n",
        "[attr]crypt filter=git-crypt diff=git-crypt\n*.txt crypt\n",
        "[attr]inner filter=git-crypt\n[attr]outer inner\nsecret.* outer\n",
        "\"secret.txt\" filter=git-crypt\n",
        "* filter=git-crypt\n.gitattributes !filter\n",
        "*.txt -filter\nsecret.txt filter=git-crypt\n",
        "s?cret.[t]xt filter=git-crypt\r\n",
    ] {
        assert_eq!(written(attributes, "secret.txt"), crypt("secret.txt"), "{attributes:?}");
    }
    assert_eq!(written("deep/** filter=git-crypt\n", "deep/er/x"), crypt("deep/er/x"));
    for attributes in [
        "",
        "*.txt filter=git-crypt\nsecret.txt -filter\n",
        "*.txt filter=git-crypt\nsecret.txt !filter\n",
        "*.md filter=git-crypt\n",
        "secret.txt filter\n",
        "secret.txt text diff=filter ident\n",
    ] {
        assert_eq!(written(attributes, "secret.txt"), None, "{attributes:?}");
    }
}

#[test]
fn attributes_before_and_after_count_and_so_do_the_users_own() {
    let fixture = Fixture::with(|user| {
        user.write(".gitattributes", "secrets/** filter=git-crypt\n");
        user.write("secrets/key", "encrypted");
        user.write("vault/.gitattributes", "* filter=git-crypt\n.gitattributes !filter\n");
    });
    // Taking the attribute away does not make it clear text that may be committed.
    let commit = fixture.commit_on(&fixture.base, |user| {
        user.write(".gitattributes", "\n");
        user.write("secrets/key", "password\n");
    });
    assert_eq!(refused(&fixture, &fixture.base, &commit), crypt("secrets/key"));
    // Adding one beside the file.
    let commit = fixture.commit_on(&fixture.base, |user| {
        user.write("new/.gitattributes", "*.bin filter=lfs\n");
        user.write("new/a.bin", "large");
    });
    assert_eq!(
        refused(&fixture, &fixture.base, &commit),
        Some(("new/a.bin".into(), "lfs".into()))
    );
    let commit = fixture.commit_on(&fixture.base, |user| user.write("vault/deep/x", "password\n"));
    assert_eq!(refused(&fixture, &fixture.base, &commit), crypt("vault/deep/x"));

    // What is as it was, gone, empty or elsewhere is not written.
    let commit = fixture.commit_on(&fixture.base, |user| user.write("src/x", "x\n"));
    assert_eq!(refused(&fixture, &fixture.base, &commit), None);
    let commit = fixture.commit_on(&fixture.base, |user| user.write("secrets/empty", ""));
    assert_eq!(refused(&fixture, &fixture.base, &commit), None);
    let commit = fixture.commit_on(&fixture.base, |user| user.git(&["rm", "-q", "secrets/key"]).clear());
    assert_eq!(refused(&fixture, &fixture.base, &commit), None);
    let commit = fixture.commit_on(&fixture.base, |user| {
        user.git(&["mv", "secrets/key", "secrets/renamed"]);
        user.git(&["update-index", "--chmod=+x", "secrets/renamed"]);
    });
    assert_eq!(refused(&fixture, &fixture.base, &commit), None);
    // A copy of what is clear text is no move.
    let commit = fixture.commit_on(&fixture.base, |user| {
        let text = user.read("vault/.gitattributes");
        user.write("secrets/copy", text);
    });
    assert_eq!(refused(&fixture, &fixture.base, &commit), crypt("secrets/copy"));

    // The user's own attributes go before those of the tree.
    let own = fixture.user.path.join(".git/info/attributes");
    write(&own, "src/** filter=git-crypt\n");
    let commit = fixture.commit_on(&fixture.base, |user| user.write("src/x", "password\n"));
    assert_eq!(refused(&fixture, &fixture.base, &commit), crypt("src/x"));
    write(&own, "* -filter\n");
    let commit = fixture.commit_on(&fixture.base, |user| user.write("vault/x", "x\n"));
    assert_eq!(refused(&fixture, &fixture.base, &commit), None);
    std::fs::remove_file(&own).unwrap();
    let everywhere = fixture.directory.path().join("everywhere");
    write(&everywhere, "*.key filter=git-crypt\n");
    fixture
        .user
        .git(&["config", "core.attributesFile", everywhere.to_str().unwrap()]);
    let commit = fixture.commit_on(&fixture.base, |user| user.write("a/b.key", "password\n"));
    assert_eq!(refused(&fixture, &fixture.base, &commit), crypt("a/b.key"));
}
