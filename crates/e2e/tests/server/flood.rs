//! Idle and slow connections, more than there are file descriptors.

use e2e::{TIMEOUT, directory, eventually};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::Value;
use sqlx::{PgPool, Row};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::Child,
    task::JoinSet,
};

const IDLE: usize = 1_010;
/// The number of connections of each kind.
const SLOW: usize = 10;
/// The pause between single bytes.
const PACE: Duration = Duration::from_millis(100);

/// A server with this limit of open files.
struct Limited {
    directory: tempfile::TempDir,
    server: Child,
    address: String,
}

impl Limited {
    async fn start(files: u32, configuration: &str) -> Self {
        let directory = directory();
        std::fs::create_dir(directory.path().join("data")).unwrap();
        std::fs::write(directory.path().join("data/orchestrator.toml"), configuration).unwrap();
        let limit = format!("--nofile={files}:{files}");
        let log = std::fs::File::create(directory.path().join("server.log")).unwrap();
        let server = e2e::server(
            &["prlimit", &limit],
            &data_dir(directory.path()),
            "http://127.0.0.1:9/v1",
        )
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap();
        let data_dir = data_dir(directory.path());
        let address = eventually("the server is ready", || e2e::ready(&data_dir)).await;
        Self {
            directory,
            server,
            address,
        }
    }

    fn peer(&self) -> SocketAddr {
        self.address.strip_prefix("http://").unwrap().parse().unwrap()
    }

    fn open_files(&self) -> usize {
        let pid = self.server.id().unwrap();
        std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
    }

    async fn database(&self) -> PgPool {
        e2e::database_of(&data_dir(self.directory.path())).await
    }

    async fn get(&self, path: &str) -> (u16, String) {
        // A new connection each time, because the flood competes for connections.
        let client = reqwest::Client::builder().pool_max_idle_per_host(0).build().unwrap();
        let answer = client.get(format!("{}{path}", self.address)).timeout(TIMEOUT).send();
        let answer = answer.await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    async fn metric(&self, name: &str) -> f64 {
        let (_, text) = self.get("/metrics").await;
        let sample = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
        sample.unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
    }
}

fn data_dir(directory: &Path) -> PathBuf {
    directory.join("data")
}

impl Drop for Limited {
    fn drop(&mut self) {
        e2e::stop_database(&data_dir(self.directory.path()));
    }
}

async fn lease(database: &PgPool) -> f64 {
    let row = sqlx::query("select extract(epoch from expires_at)::float8 as at from process");
    row.fetch_one(database).await.unwrap().get("at")
}

/// The connections of the flood, until they are dropped.
async fn flood(peer: SocketAddr) -> (Vec<TcpStream>, JoinSet<()>) {
    let mut idle = Vec::new();
    for _ in 0..IDLE {
        idle.push(TcpStream::connect(peer).await.unwrap());
    }
    let mut slow = JoinSet::new();
    for _ in 0..SLOW {
        // A head, a byte at a time.
        slow.spawn(drip(
            peer,
            b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ".to_vec(),
        ));
        // A body, a byte at a time.
        let head =
            "POST /runs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 4000\r\n\r\n";
        slow.spawn(drip(peer, head.as_bytes().to_vec()));
        // Data that is not HTTP.
        idle.push(sent(peer, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03").await);
        // Half closed in the middle of a head.
        let mut half = sent(peer, b"GET /runs HTTP/1.1\r\nHo").await;
        half.shutdown().await.unwrap_or_default();
        idle.push(half);
        // Many requests whose responses are never read.
        let asked = b"GET /openapi.json HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".repeat(200);
        idle.push(sent(peer, &asked).await);
    }
    (idle, slow)
}

async fn sent(peer: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(peer).await.unwrap();
    // The server may close it before everything is sent.
    stream.write_all(bytes).await.unwrap_or_default();
    stream
}

/// Sends a start and then single bytes, until the connection is closed.
async fn drip(peer: SocketAddr, beginning: Vec<u8>) {
    let mut stream = TcpStream::connect(peer).await.unwrap();
    if stream.write_all(&beginning).await.is_err() {
        return;
    }
    while stream.write_all(b"x").await.is_ok() {
        tokio::time::sleep(PACE).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_and_slow_connections_do_not_block_others() {
    let before = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: before.maximum,
        maximum: before.maximum,
    };
    setrlimit(Resource::Nofile, raised).unwrap();
    if before.maximum.is_some_and(|most| most < 2_048) {
        println!("skipped: this account may not open as many files as the flood needs");
        return;
    }
    let server = Limited::start(1_024, "").await;
    let database = server.database().await;
    let files_before = server.open_files();

    let (idle, slow) = flood(server.peer()).await;
    for _ in 0..20 {
        assert_eq!(server.get("/healthz").await.0, 200);
    }
    assert_eq!(server.get("/runs").await.0, 200, "the database is asked");
    let files = server.open_files();
    assert!(files < 800, "{files} of 1,024 files are open");
    // The heartbeat continues without retries.
    let first = lease(&database).await;
    eventually("the heartbeat is recorded", || async {
        (lease(&database).await > first).then_some(())
    })
    .await;
    assert_eq!(server.get("/healthz").await.0, 200);
    let log = std::fs::read_to_string(server.directory.path().join("server.log")).unwrap();
    assert!(!log.contains("heartbeat"), "{log}");
    assert_eq!(log.matches("limit of connections reached").count(), 1, "{log}");
    assert!(
        server
            .metric("http_connections_closed_early_total{reason=\"evicted\"}")
            .await
            > 0.0
    );

    drop((idle, slow));
    eventually("its connections are closed", || async {
        (server.metric("http_connections").await <= 1.0).then_some(())
    })
    .await;
    eventually("its files are closed", || async {
        // The pool of the database may have grown meanwhile.
        (server.open_files() <= files_before + 24).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_connections_are_closed() {
    let configuration = "[server]\nheader_timeout_s = 1\nbody_timeout_s = 1\nidle_timeout_s = 1\n";
    let server = Limited::start(1_024, configuration).await;
    let until_closed = async |bytes: &[u8]| {
        let mut stream = sent(server.peer(), bytes).await;
        let mut answer = Vec::new();
        let read = tokio::time::timeout(TIMEOUT, stream.read_to_end(&mut answer)).await;
        read.expect("the server closes the connection").unwrap_or_default();
        String::from_utf8_lossy(&answer).into_owned()
    };
    assert_eq!(until_closed(b"").await, "", "nothing was asked");
    assert_eq!(until_closed(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n").await, "");
    let kept = until_closed(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").await;
    assert!(kept.starts_with("HTTP/1.1 200"), "{kept}");
    let body =
        b"POST /clean HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{";
    let slow = until_closed(body).await;
    assert!(slow.starts_with("HTTP/1.1 408"), "{slow}");
    let problem: Value = serde_json::from_str(slow.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!(problem["type"], "urn:agent-orchestrator:problem:slow-body");
}
