//! Whether a server works in a cluster's directory: asked of the system and of the server, never guessed.

use std::{
    fs,
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

/// The file of the socket within its directory.
pub(super) const SOCKET: &str = ".s.PGSQL.5432";
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// The protocol's SSLRequest: a length of 8 and a number that is no version.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// Whether the server of this very directory is alive and answers.
pub(super) fn is_up(cluster: &Path, sockets: &Path) -> bool {
    let Some(pid) = recorded_pid(cluster) else {
        return false;
    };
    // A pid is used again sooner or later; the server's working directory tells whether this one is it.
    let is_ours = !has_process_list() || works_in(&process(pid), cluster);
    is_ours && answers(sockets)
}

/// Removes what a killed server left behind, if no process at all works in the directory.
///
/// A pid file that names an unrelated live process, as after a reboot, keeps the server from starting. Backends
/// that outlived their server still count: the directory is theirs until they are gone.
pub(super) fn remove_stale_files(cluster: &Path, sockets: &Path) {
    let Ok(processes) = fs::read_dir("/proc") else {
        return;
    };
    if processes.flatten().any(|entry| works_in(&entry.path(), cluster)) {
        return;
    }
    let stale = [
        cluster.join("postmaster.pid"),
        sockets.join(format!("{SOCKET}.lock")),
        sockets.join(SOCKET),
    ];
    for path in stale {
        match fs::remove_file(&path) {
            Ok(()) => {
                tracing::debug!(path = %path.display(), "removed a file of a server that is gone")
            }
            // Absent as a rule; anything else shows when the server is started.
            Err(_) => continue,
        }
    }
}

fn recorded_pid(cluster: &Path) -> Option<u32> {
    let text = fs::read_to_string(cluster.join("postmaster.pid")).ok()?;
    text.lines().next()?.trim().parse().ok()
}

fn has_process_list() -> bool {
    Path::new("/proc/self/cwd").exists()
}

fn process(pid: u32) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}"))
}

fn works_in(process: &Path, directory: &Path) -> bool {
    fs::read_link(process.join("cwd")).is_ok_and(|found| found == directory)
}

/// Whether a live server answers on the socket. A bare connect may end in the backlog of a dying one.
fn answers(sockets: &Path) -> bool {
    let ask = || -> std::io::Result<u8> {
        let mut stream = UnixStream::connect(sockets.join(SOCKET))?;
        stream.set_read_timeout(Some(ANSWER_WITHIN))?;
        stream.set_write_timeout(Some(ANSWER_WITHIN))?;
        stream.write_all(&SSL_REQUEST)?;
        let mut answer = [0];
        stream.read_exact(&mut answer)?;
        Ok(answer[0])
    };
    matches!(ask(), Ok(b'N' | b'S'))
}
