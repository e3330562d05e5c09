//! The actions that a command tries under Landlock.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::process::Command;

/// Actions that nothing else in a sandbox stops.
pub(crate) const STOPPED: [&str; 2] = ["an empty entry of an overlay", "a signal to bubblewrap"];

/// Actions, and whether each succeeds.
pub(crate) fn actions() -> Vec<(&'static str, io::Result<()>)> {
    vec![
        (STOPPED[0], done(|| made(c"whiteout", libc::S_IFCHR))),
        (STOPPED[1], done(|| signal(1))),
        ("a pipe", done(|| made(c"fifo", libc::S_IFIFO | 0o600))),
        ("a move to another directory", done(move_a_file)),
        ("a move of a directory", done(move_a_directory)),
        ("a link in another directory", done(link_a_file)),
        ("a file without a name", done(unnamed_file)),
        ("a file in memory, opened by its descriptor", done(file_in_memory)),
        (
            "an emptied file",
            done(|| fs::write("emptied", "1").and_then(|()| fs::write("emptied", ""))),
        ),
        ("devices", done(devices)),
        ("a terminal", done(terminal)),
        (
            "shared memory",
            done(|| fs::write("/dev/shm/x", "x").and_then(|()| fs::remove_file("/dev/shm/x"))),
        ),
        (
            "a socket in a directory",
            done(|| talk(&SocketAddr::from_pathname("socket")?)),
        ),
        (
            "an abstract socket",
            done(|| talk(&SocketAddr::from_abstract_name("own")?)),
        ),
        (
            "a port of the loopback",
            done(|| TcpStream::connect(TcpListener::bind("127.0.0.1:0")?.local_addr()?).map(drop)),
        ),
        ("a signal to a child", done(signal_a_child)),
        ("a signal to all", done(|| signal(0))),
        (
            "own output by its path",
            done(|| fs::OpenOptions::new().append(true).open("/dev/stdout").map(drop)),
        ),
        (
            "a setting of its own process",
            done(|| fs::write("/proc/self/comm", "x")),
        ),
        ("a program in the worktree", done(run_a_copy)),
        (
            "a file of the system",
            done(|| fs::OpenOptions::new().append(true).open("/usr/bin/env").map(drop)),
        ),
    ]
}

fn done(action: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    action()
}

fn check(answer: libc::c_int) -> io::Result<()> {
    if answer < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

#[expect(unsafe_code, reason = "std does not have this call")]
fn made(name: &std::ffi::CStr, mode: libc::mode_t) -> io::Result<()> {
    // SAFETY: the name lives through the call.
    check(unsafe { libc::mknod(name.as_ptr(), mode, 0) })
}

#[expect(unsafe_code, reason = "std does not have this call")]
fn signal(process: libc::pid_t) -> io::Result<()> {
    // SAFETY: signal 0 is checked and not sent.
    check(unsafe { libc::kill(process, 0) })
}

fn move_a_file() -> io::Result<()> {
    fs::create_dir_all("from/deep")?;
    fs::create_dir_all("to")?;
    fs::write("from/deep/file", "x")?;
    fs::rename("from/deep/file", "to/file")
}

fn move_a_directory() -> io::Result<()> {
    fs::create_dir_all("here/directory/below")?;
    fs::create_dir_all("there")?;
    fs::rename("here/directory", "there/directory")
}

fn link_a_file() -> io::Result<()> {
    fs::create_dir_all("links")?;
    fs::write("linked", "x")?;
    fs::hard_link("linked", "links/linked")?;
    std::os::unix::fs::symlink("linked", "links/symbolic")
}

#[expect(unsafe_code, reason = "std does not have this call")]
fn unnamed_file() -> io::Result<()> {
    let file = fs::OpenOptions::new()
        .write(true)
        .custom_flags(libc::O_TMPFILE)
        .mode(0o600)
        .open(".")?;
    let path = std::ffi::CString::new(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
    // SAFETY: both paths live through the call.
    check(unsafe {
        libc::linkat(
            libc::AT_FDCWD,
            path.as_ptr(),
            libc::AT_FDCWD,
            c"named".as_ptr(),
            libc::AT_SYMLINK_FOLLOW,
        )
    })
}

#[expect(unsafe_code, reason = "std does not have this call")]
fn file_in_memory() -> io::Result<()> {
    // SAFETY: the name lives through the call, and nothing else has the descriptor.
    let file = unsafe {
        let descriptor = libc::memfd_create(c"memory".as_ptr(), 0);
        check(descriptor)?;
        fs::File::from_raw_fd(descriptor)
    };
    fs::write(format!("/proc/self/fd/{}", file.as_raw_fd()), "x")
}

fn devices() -> io::Result<()> {
    fs::write("/dev/null", "x")?;
    let mut byte = [0];
    fs::File::open("/dev/zero")?.read_exact(&mut byte)?;
    fs::File::open("/dev/urandom")?.read_exact(&mut byte)
}

#[expect(unsafe_code, reason = "std does not have these calls")]
fn terminal() -> io::Result<()> {
    let (mut ours, mut theirs) = (0, 0);
    // SAFETY: unused output pointers may be null; the descriptors are this function's own.
    unsafe {
        check(libc::openpty(
            &raw mut ours,
            &raw mut theirs,
            std::ptr::null_mut(),
            std::ptr::null(),
            std::ptr::null(),
        ))?;
        let size = libc::winsize {
            ws_row: 9,
            ws_col: 9,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        check(libc::ioctl(theirs, libc::TIOCSWINSZ, &raw const size))?;
        fs::File::from_raw_fd(theirs).write_all(b"x")?;
        drop(fs::File::from_raw_fd(ours));
    }
    Ok(())
}

fn talk(address: &SocketAddr) -> io::Result<()> {
    let _listener = UnixListener::bind_addr(address)?;
    UnixStream::connect_addr(address).map(drop)
}

fn signal_a_child() -> io::Result<()> {
    let mut child = Command::new("sleep").arg("100").spawn()?;
    child.kill()?;
    child.wait().map(drop)
}

fn run_a_copy() -> io::Result<()> {
    fs::copy("/usr/bin/true", "program")?;
    Command::new("./program").status().map(drop)
}
