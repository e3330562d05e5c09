//! What a command in a bubblewrap sandbox can and can't reach.

mod common;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use common::{run, sandbox, worktree};
use sandbox::{Access, HostEnvironment, Job, Sandbox, SandboxError, Settings, Tier};

#[tokio::test]
async fn network_is_unreachable() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let finished = run(&format!(
        "cat /proc/net/route; bash -c 'echo > /dev/tcp/127.0.0.1/{port}' && echo reached"
    ))
    .await;
    assert!(
        !finished.output_head_tail.contains("reached"),
        "{}",
        finished.output_head_tail
    );
    assert_eq!(
        finished
            .output_head_tail
            .lines()
            .filter(|line| line.contains("00000000"))
            .count(),
        0
    );
}

#[tokio::test]
async fn home_is_hidden_except_toolchains() {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir_all(home.path().join(".cargo/bin")).unwrap();
    fs::create_dir_all(home.path().join(".ssh")).unwrap();
    fs::write(home.path().join(".ssh/id"), "key").unwrap();
    fs::write(home.path().join(".cargo/credentials.toml"), "token").unwrap();
    let host = HostEnvironment {
        home: Some(home.path().to_owned()),
        ..HostEnvironment::default()
    };
    let sandbox = Sandbox::probe(
        Tier::Bubblewrap,
        Settings {
            host,
            ..Settings::default()
        },
    )
    .await
    .unwrap();
    let command = format!(
        "ls -A '{0}' '{0}/.cargo' /root 2>&1; echo HOME=$HOME; ls -A $HOME",
        home.path().display()
    );
    let directory = worktree();
    let finished = sandbox
        .run(Job::shell(&command, directory.path().to_owned()))
        .await
        .unwrap();
    let text = finished.output_head_tail;
    assert!(
        text.contains("HOME=/home/w") && text.contains(".cargo") && text.contains("bin"),
        "{text}"
    );
    assert!(!text.contains(".ssh") && !text.contains("credentials"), "{text}");
    assert!(text.contains("'/root': No such file"), "{text}");
}

#[tokio::test]
async fn environment_is_cleared() {
    let mut job = Job::shell("env", worktree().keep());
    job.env = vec![("CHOSEN".to_owned(), "a b=c".to_owned())];
    let variables = [("OPENAI_API_KEY".to_owned(), "sk-x".to_owned())].into();
    let host = HostEnvironment {
        variables,
        ..HostEnvironment::of_this_process()
    };
    let sandbox = Sandbox::probe(
        Tier::Bubblewrap,
        Settings {
            host,
            ..Settings::default()
        },
    )
    .await
    .unwrap();
    let directory = job.worktree.clone();
    let text = sandbox.run(job).await.unwrap().output_head_tail;
    fs::remove_dir_all(directory).unwrap();
    assert!(text.contains("CHOSEN=a b=c"), "{text}");
    assert!(
        !text.contains("OPENAI") && !text.contains("CARGO_MANIFEST_DIR") && !text.contains("NEXTEST"),
        "{text}"
    );
}

#[tokio::test]
async fn only_worktree_is_writable() {
    let directory = worktree();
    let command = "echo x > here; for f in /x /usr/x /etc/x /dev/x /home/x \"$PWD.x\"; do \
                   echo y > $f && echo wrote $f; done 2>/dev/null; echo z > /tmp/x && echo z > ~/x";
    let finished = sandbox()
        .await
        .run(Job::shell(command, directory.path().to_owned()))
        .await
        .unwrap();
    assert!(finished.succeeded(), "{}", finished.output_head_tail);
    assert_eq!(fs::read_to_string(directory.path().join("here")).unwrap(), "x\n");
    // The worktree's siblings are in the sandbox's own /tmp.
    assert!(!finished.output_head_tail.contains("wrote /usr") && !finished.output_head_tail.contains("wrote /etc"));
    assert!(!PathBuf::from(format!("{}.x", directory.path().display())).exists());
}

#[tokio::test]
async fn read_only_worktree_cannot_be_written() {
    let directory = worktree();
    let mut job = Job::shell("echo x > here", directory.path().to_owned());
    job.worktree_access = Access::ReadOnly;
    assert!(!sandbox().await.run(job).await.unwrap().succeeded());
    assert!(!directory.path().join("here").exists());
}

#[tokio::test]
async fn hub_and_git_file_cannot_be_changed() {
    let (directory, hub) = (worktree(), worktree());
    fs::write(directory.path().join(".git"), "gitdir: elsewhere\n").unwrap();
    fs::write(hub.path().join("HEAD"), "ref: refs/heads/main\n").unwrap();
    let command = format!(
        "cat '{0}/HEAD'; echo x > '{0}/HEAD'; touch '{0}/new'; rm -f .git; mv .git moved; echo y > .git; \
         echo z > other && mv other .git; ln -sf /tmp .git; cat .git",
        hub.path().display()
    );
    let mut job = Job::shell(&command, directory.path().to_owned());
    job.hub = Some(hub.path().to_owned());
    let text = sandbox().await.run(job).await.unwrap().output_head_tail;
    assert!(
        text.starts_with("ref: refs/heads/main\n") && text.ends_with("gitdir: elsewhere\n"),
        "{text}"
    );
    assert_eq!(
        fs::read_to_string(directory.path().join(".git")).unwrap(),
        "gitdir: elsewhere\n"
    );
    assert_eq!(
        fs::read_to_string(hub.path().join("HEAD")).unwrap(),
        "ref: refs/heads/main\n"
    );
    assert!(!hub.path().join("new").exists());
}

#[tokio::test]
async fn missing_bubblewrap_error_names_the_package() {
    let settings = Settings {
        bubblewrap: PathBuf::from("/nowhere/bwrap"),
        ..Settings::default()
    };
    let error = Sandbox::probe(Tier::Bubblewrap, settings).await.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, SandboxError::Missing { .. }), "{text}");
    for word in ["/nowhere/bwrap", "apt-get install bubblewrap", "--sandbox none"] {
        assert!(text.contains(word), "{text}");
    }
}

#[tokio::test]
async fn failing_bubblewrap_prevents_the_start() {
    let directory = worktree();
    let program = directory.path().join("bwrap");
    fs::write(
        &program,
        "#!/bin/sh\necho 'bwrap: setting up uid map: Permission denied' >&2\nexit 1\n",
    )
    .unwrap();
    fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let settings = Settings {
        bubblewrap: program,
        ..Settings::default()
    };
    let text = Sandbox::probe(Tier::Bubblewrap, settings)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        text.contains("setting up uid map") && text.contains("--sandbox none"),
        "{text}"
    );
}

#[tokio::test]
async fn missing_worktree_is_named() {
    let job = Job::shell("true", PathBuf::from("/nowhere/worktree"));
    let error = sandbox().await.run(job).await.unwrap_err();
    assert!(error.to_string().contains("/nowhere/worktree"), "{error}");
}

#[tokio::test]
async fn new_files_belong_to_the_server_user() {
    let directory = worktree();
    sandbox()
        .await
        .run(Job::shell("touch made", directory.path().to_owned()))
        .await
        .unwrap();
    let owner = |path: &Path| fs::metadata(path).unwrap().uid();
    assert_eq!(owner(&directory.path().join("made")), owner(directory.path()));
}
