//! A third-party OpenAI-compatible server: `@copilotkit/aimock`, in the version that
//! `crates/e2e/aimock/package.json` pins, playing that directory's fixtures strictly (a request without one is a 503).

use crate::eventually;
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::process::{Child, Command};

/// The package's name in the registry.
const PACKAGE: &str = "@copilotkit/aimock";
/// Time limit for fetching the package, which happens once per target directory.
const FETCH_LIMIT: Duration = Duration::from_secs(180);

/// A running aimock; dropping this stops it.
#[derive(Debug)]
pub struct Aimock {
    /// The base URL for the product: `http://127.0.0.1:…/v1`.
    pub base_url: String,
    address: String,
    _process: Child,
}

impl Aimock {
    /// Starts it, and fetches it first if necessary; prints a note and returns `None` without npm.
    pub async fn start(directory: &Path) -> Option<Self> {
        drop(rustls::crypto::ring::default_provider().install_default());
        let npm = Command::new("npm").arg("--version").output().await;
        if !npm.is_ok_and(|output| output.status.success()) {
            eprintln!("SKIPPED: there is no npm here, so the product was not run against {PACKAGE}");
            return None;
        }
        let program = installed().await.join("node_modules").join(PACKAGE).join("dist/cli.js");
        let said = directory.join("aimock.log");
        let log = std::fs::File::create(&said).expect("a file for aimock's log");
        let process = Command::new("node")
            .arg(program)
            .args([
                "--port",
                "0",
                "--strict",
                "--validate-on-load",
                "--journal-max",
                "0",
                "--fixtures",
            ])
            .arg(source().join("fixtures.json"))
            .env("AIMOCK_STRICT_TURN_INDEX", "1")
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle of the log"))
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .expect("node starts");
        let address = eventually("aimock listens", || async {
            let said = std::fs::read_to_string(&said).ok()?;
            let (_, address) = said.split_once("listening on ")?;
            let (address, _) = address.split_once('\n')?;
            Some(address.trim().to_owned())
        })
        .await;
        Some(Self {
            base_url: format!("{address}/v1"),
            address,
            _process: process,
        })
    }

    /// Every received request, oldest first: `body` as received, `response` with the status and the fixture.
    pub async fn journal(&self) -> Vec<Value> {
        let answer = reqwest::get(format!("{}/__aimock/journal", self.address))
            .await
            .expect("aimock answers");
        answer.json().await.expect("the journal is a JSON array")
    }
}

/// The directory with the pinned version and the fixtures.
fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("aimock")
}

/// The directory with the package: `target/aimock/<version>`, created by the first test that needs it.
async fn installed() -> PathBuf {
    let package = std::fs::read_to_string(source().join("package.json")).expect("package.json can be read");
    let package: Value = serde_json::from_str(&package).expect("package.json is JSON");
    let version = package["dependencies"][PACKAGE]
        .as_str()
        .expect("package.json pins the package")
        .to_owned();
    // target/<profile>/deps/<test> → target
    let test = std::env::current_exe().expect("the test has a path");
    let store = test
        .ancestors()
        .nth(3)
        .expect("the test lies in target/<profile>/deps")
        .join("aimock");
    let place = store.join(version);
    if !place.is_dir() {
        std::fs::create_dir_all(&store).expect("a directory under target");
        let beside = tempfile::tempdir_in(&store).expect("a directory to fetch into");
        fetch(beside.path(), &store.join("cache")).await;
        // A concurrent test may have installed the same package.
        if let Err(error) = std::fs::rename(beside.path(), &place) {
            assert!(place.is_dir(), "{} can't be made: {error}", place.display());
        }
    }
    place
}

async fn fetch(directory: &Path, cache: &Path) {
    std::fs::copy(source().join("package.json"), directory.join("package.json")).expect("package.json is copied");
    let npm = Command::new("npm")
        .current_dir(directory)
        .args([
            "install",
            "--no-audit",
            "--no-fund",
            "--no-package-lock",
            "--ignore-scripts",
            "--cache",
        ])
        .arg(cache)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(FETCH_LIMIT, npm)
        .await
        .unwrap_or_else(|_| panic!("npm did not fetch {PACKAGE} within {FETCH_LIMIT:?}"))
        .expect("npm starts");
    assert!(
        output.status.success(),
        "npm could not fetch {PACKAGE}, and where npm exists this test must run:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
}
