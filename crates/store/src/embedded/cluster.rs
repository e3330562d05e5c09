//! One cluster: made once, started, found again, stopped.

use super::{Durability, Settings, account::Account, binaries, error::EmbeddedError, presence};
use sha2::{Digest, Sha256};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use std::{
    fs::{self, DirBuilder},
    io::{Read, Seek, SeekFrom},
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

const USER: &str = "orchestrator";
/// How long a server that was just killed may stand in the way of the next one.
const START_TIMEOUT: Duration = Duration::from_secs(20);
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(100);
/// The longest directory a socket fits in: an address holds 104 bytes on some systems, file name included.
const SOCKET_DIRECTORY_BYTES: usize = 80;
/// A log beyond this is put aside at the next start.
const LOG_BYTES: u64 = 16 << 20;
/// How much of the log an error quotes.
const QUOTED_BYTES: u64 = 4 << 10;

#[derive(Debug)]
pub(super) struct Cluster {
    directory: PathBuf,
    sockets: PathBuf,
    binaries: PathBuf,
    account: Account,
    durability: Durability,
    max_connections: u32,
}

impl Cluster {
    /// The cluster of a data directory, made if it is not there yet.
    pub(super) fn open(
        data_dir: &Path,
        directory: PathBuf,
        account: Account,
        settings: &Settings,
    ) -> Result<Self, EmbeddedError> {
        let version = fs::read_to_string(directory.join("PG_VERSION")).ok();
        let binaries = binaries::find(
            settings.binaries.as_deref(),
            version.as_deref().map(str::trim),
            &directory,
        )?;
        let cluster = Self {
            sockets: socket_directory(data_dir),
            directory,
            binaries,
            account,
            durability: settings.durability,
            max_connections: settings.max_connections,
        };
        cluster.make_socket_directory()?;
        if version.is_none() {
            cluster.make()?;
        }
        Ok(cluster)
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(super) fn binaries(&self) -> &Path {
        &self.binaries
    }

    pub(super) fn options(&self) -> PgConnectOptions {
        options(&self.sockets)
    }

    /// Finds the server running or starts it; `true` where it was started here.
    pub(super) fn ensure_running(&self) -> Result<bool, EmbeddedError> {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            if presence::is_up(&self.directory, &self.sockets) {
                return Ok(false);
            }
            match self.start() {
                Ok(()) => return Ok(true),
                Err(error @ EmbeddedError::DiskFull { .. }) => return Err(error),
                Err(error) if Instant::now() >= deadline => return Err(error),
                // A killed server may linger as a zombie, or its backends may not have noticed yet.
                Err(_) => sleep(TRY_AGAIN_AFTER),
            }
        }
    }

    pub(super) fn stop(&self) -> Result<(), EmbeddedError> {
        let mut command = self.command("pg_ctl");
        command
            .args(["stop", "-s", "-w", "-t", "60", "-m", "fast", "-D"])
            .arg(&self.directory);
        self.run("pg_ctl stop", command)
    }

    /// Makes the cluster beside its place and renames it: a half-made one is never taken for a whole one.
    fn make(&self) -> Result<(), EmbeddedError> {
        let name = format!("postgres.new-{}", std::process::id());
        let beside = self.directory.with_file_name(name);
        if beside.exists() {
            fs::remove_dir_all(&beside).map_err(|source| EmbeddedError::directory("remove", &beside, source))?;
        }
        self.make_directory(&beside)?;
        let mut command = self.command("initdb");
        command.arg("-D").arg(&beside).args([
            "-U",
            USER,
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
            "--data-checksums",
        ]);
        if self.durability == Durability::None {
            command.arg("--no-sync");
        }
        let made = self.run("initdb", command).and_then(|()| {
            fs::rename(&beside, &self.directory).map_err(|source| EmbeddedError::directory("rename", &beside, source))
        });
        if made.is_err() {
            // The first failure is the one to tell; what can't be removed is overwritten next time.
            drop(fs::remove_dir_all(&beside));
        }
        made
    }

    fn start(&self) -> Result<(), EmbeddedError> {
        presence::remove_stale_files(&self.directory, &self.sockets);
        let log = self.directory.join("server.log");
        let quoted_from = put_aside(&log);
        let mut command = self.command("pg_ctl");
        command
            .args(["start", "-s", "-w", "-t", "120", "-D"])
            .arg(&self.directory)
            .arg("-l")
            .arg(&log)
            .arg("-o")
            .arg(self.server_options())
            // The server inherits these for its whole life: whoever reads a pipe of ours would wait for its end.
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let status = command
            .status()
            .map_err(|source| EmbeddedError::directory("run", &self.binaries.join("pg_ctl"), source))?;
        if status.success() {
            return Ok(());
        }
        let detail = format!(
            "the server did not start; {} says:\n{}",
            log.display(),
            tail(&log, quoted_from)
        );
        Err(EmbeddedError::program("pg_ctl start", &self.directory, &detail))
    }

    fn server_options(&self) -> String {
        let mut options = format!(
            "-c listen_addresses= -c unix_socket_directories='{}' -c unix_socket_permissions=0700 \
             -c max_connections={} -c shared_buffers=64MB -c logging_collector=off \
             -c client_connection_check_interval=2s",
            self.sockets.display(),
            self.max_connections
        );
        if self.durability == Durability::None {
            options.push_str(" -c fsync=off -c synchronous_commit=off -c full_page_writes=off");
        }
        options
    }

    /// A program of PostgreSQL, run as the account and without any setting of the caller's environment.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.binaries.join(program));
        command.current_dir("/").stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PG") {
                command.env_remove(name);
            }
        }
        command.env("LC_ALL", "C");
        self.account.apply(&mut command);
        command
    }

    fn run(&self, program: &'static str, mut command: Command) -> Result<(), EmbeddedError> {
        let output = command
            .output()
            .map_err(|source| EmbeddedError::directory("run", &self.binaries.join(program), source))?;
        if output.status.success() {
            return Ok(());
        }
        // What went well is told on the standard output, and is of no interest now.
        let said = match output.stderr.is_empty() {
            true => output.stdout,
            false => output.stderr,
        };
        Err(EmbeddedError::program(
            program,
            &self.directory,
            &String::from_utf8_lossy(&said),
        ))
    }

    fn make_socket_directory(&self) -> Result<(), EmbeddedError> {
        if !self.sockets.exists() {
            return self.make_directory(&self.sockets);
        }
        let found = fs::symlink_metadata(&self.sockets)
            .map_err(|source| EmbeddedError::directory("read", &self.sockets, source))?;
        let ours = [0, self.account.uid()].contains(&found.uid());
        if !found.is_dir() || !ours {
            return Err(EmbeddedError::NotOurs {
                path: self.sockets.clone(),
                owner: found.uid(),
            });
        }
        fs::set_permissions(&self.sockets, fs::Permissions::from_mode(0o700))
            .map_err(|source| EmbeddedError::directory("change the mode of", &self.sockets, source))?;
        self.account.own(&self.sockets)
    }

    fn make_directory(&self, path: &Path) -> Result<(), EmbeddedError> {
        DirBuilder::new()
            .mode(0o700)
            .create(path)
            .map_err(|source| EmbeddedError::directory("make", path, source))?;
        self.account.own(path)
    }
}

/// How to connect to the server of a data directory, in its canonical form, if it is up.
pub(super) fn find_running(data_dir: &Path) -> Option<PgConnectOptions> {
    let sockets = socket_directory(data_dir);
    presence::is_up(&data_dir.join("postgres"), &sockets).then(|| options(&sockets))
}

/// How to connect by the socket in a directory.
fn options(sockets: &Path) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .socket(sockets)
        .port(5432)
        .username(USER)
        .database("postgres")
        // A socket has no encryption, whatever PGSSLMODE asks of servers elsewhere.
        .ssl_mode(PgSslMode::Disable)
}

/// Beside the cluster, or under `/tmp` where that path is too long for a socket's address or holds what the
/// server's list of directories can't.
fn socket_directory(data_dir: &Path) -> PathBuf {
    let beside = data_dir.join("sockets");
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-".contains(byte);
    let bytes = beside.as_os_str().as_encoded_bytes();
    if bytes.len() <= SOCKET_DIRECTORY_BYTES && bytes.iter().all(plain) {
        return beside;
    }
    let digest = Sha256::digest(data_dir.as_os_str().as_encoded_bytes());
    let name: String = digest[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    Path::new("/tmp").join(format!("agent-orchestrator-{name}"))
}

/// Keeps the log from growing for ever; how long it is now.
fn put_aside(log: &Path) -> u64 {
    match fs::metadata(log) {
        Ok(found) if found.len() > LOG_BYTES => match fs::rename(log, log.with_extension("log.1")) {
            Ok(()) => 0,
            Err(_) => found.len(),
        },
        Ok(found) => found.len(),
        Err(_) => 0,
    }
}

/// What was added to the log since it had that length, or the end of it.
fn tail(log: &Path, from: u64) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = fs::File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(from.max(length.saturating_sub(QUOTED_BYTES))))?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        Ok(String::from_utf8_lossy(&text).trim().to_owned())
    };
    match read() {
        Ok(text) if !text.is_empty() => text,
        Ok(_) => "nothing".into(),
        Err(error) => format!("(it can't be read: {error})"),
    }
}
