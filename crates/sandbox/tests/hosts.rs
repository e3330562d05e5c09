//! Root servers on hosts where sandboxes can't use another account, and servers that only look like root. This program
//! runs itself as such servers: they are the ignored tests.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod common;

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use common::worktree;
use rustix::mount::{MountFlags, MountPropagationFlags};
use rustix::thread::{CapabilitySet, UnshareFlags};
use sandbox::{Job, Sandbox, Settings, Tier};

const ORDINARY: u32 = 54_321;

#[tokio::test]
#[ignore = "run by the tests below, under another account"]
async fn run_server() {
    match Sandbox::probe(Tier::Bubblewrap, Settings::default()).await {
        Ok(sandbox) => {
            let directory = worktree();
            let job = Job::shell("echo made >made && cat made", directory.path().to_owned());
            println!(
                "> {} {}",
                sandbox.run(job).await.unwrap().output_head_tail.trim(),
                sandbox.describe()
            );
        }
        Err(error) => println!("> refused: {error}"),
    }
}

/// Runs the server after `prepare` in its process, and returns its output; `None` if it can't be prepared.
fn server(
    directory: &Path,
    temporary: &str,
    user: Option<u32>,
    prepare: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
) -> Option<String> {
    let program = directory.join("server");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let home = directory.join("home");
    fs::create_dir(&home).unwrap();
    let mut command = Command::new(&program);
    command
        .args(["--ignored", "--exact", "--nocapture", "run_server"])
        .current_dir("/")
        .env_clear()
        .envs([("PATH", "/usr/bin:/bin".as_ref()), ("HOME", home.as_os_str())])
        .env("TMPDIR", temporary);
    if let Some(user) = user {
        command.uid(user).gid(user);
    }
    #[expect(unsafe_code, reason = "std has no other way to do something between fork and exec")]
    // SAFETY: `prepare` makes system calls and allocates nothing.
    unsafe {
        command.pre_exec(prepare);
    }
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => {
            eprintln!("skipped: {error}");
            return None;
        }
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Some(text)
}

fn place() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    place
}

fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("skipped: needs root");
    }
    root
}

#[tokio::test]
async fn root_without_capabilities_is_rejected_with_alternatives() {
    if !is_root() {
        return;
    }
    let place = place();
    let prepare = || {
        Ok(rustix::thread::remove_capability_from_bounding_set(
            CapabilitySet::SYS_ADMIN,
        )?)
    };
    let Some(text) = server(place.path(), "/tmp", None, prepare) else {
        return;
    };
    for word in [
        "> refused: this server is root",
        "can't be copied",
        "ordinary user",
        "--privileged",
        "--sandbox none",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
}

#[tokio::test]
async fn root_on_file_system_without_id_mapping_is_rejected_by_name() {
    if !is_root() {
        return;
    }
    let place = place();
    // The sandbox is tested in the directory for temporary files; only the child sees the overlay there.
    let prepare = || {
        #[expect(unsafe_code, reason = "marked unsafe for the sake of another flag")]
        // SAFETY: only unsharing descriptors endangers other threads.
        unsafe {
            rustix::thread::unshare_unsafe(UnshareFlags::NEWNS)?;
        }
        rustix::mount::mount_change(c"/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
        rustix::mount::mount(c"none", c"/mnt", c"tmpfs", MountFlags::empty(), None)?;
        for directory in [c"/mnt/upper", c"/mnt/work"] {
            rustix::fs::mkdir(directory, rustix::fs::Mode::from_raw_mode(0o755))?;
        }
        let layers = c"lowerdir=/usr/share,upperdir=/mnt/upper,workdir=/mnt/work";
        Ok(rustix::mount::mount(
            c"none",
            c"/var/tmp",
            c"overlay",
            MountFlags::empty(),
            layers,
        )?)
    };
    let Some(text) = server(place.path(), "/var/tmp", None, prepare) else {
        return;
    };
    for word in [
        "> refused: this server is root",
        "(overlay)",
        "/var/tmp/",
        "data directory on ext4",
        "ordinary user",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
}

#[tokio::test]
async fn container_root_of_ordinary_user_is_that_user() {
    if !is_root() {
        return;
    }
    let place = place();
    let prepare = || {
        #[expect(unsafe_code, reason = "marked unsafe for the sake of another flag")]
        // SAFETY: as above.
        unsafe {
            rustix::thread::unshare_unsafe(UnshareFlags::NEWUSER)?;
        }
        for (path, text) in [
            (c"/proc/self/setgroups", "deny"),
            (c"/proc/self/uid_map", "0 54321 1"),
            (c"/proc/self/gid_map", "0 54321 1"),
        ] {
            let file = rustix::fs::open(path, rustix::fs::OFlags::WRONLY, rustix::fs::Mode::empty())?;
            rustix::io::write(file, text.as_bytes())?;
        }
        Ok(())
    };
    let Some(text) = server(place.path(), "/tmp", Some(ORDINARY), prepare) else {
        return;
    };
    assert!(
        text.contains("> made ") && text.contains("outside it is user 0"),
        "{text}"
    );
}
