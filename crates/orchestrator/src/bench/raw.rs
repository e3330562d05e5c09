//! The raw limit: `pgbench` claims and completes rows of a minimal queue in the same private server.

use serde::Serialize;
use std::{
    path::{Path, PathBuf},
    process::Command,
};
use store::embedded::{self, DataDirLock, Running};

const SCHEMA: &str = include_str!("../../bench/raw_schema.sql");
const CLAIM: &str = include_str!("../../bench/raw_claim.sql");
const SECONDS: &str = "3";

/// Milliseconds per row, claim and completion together.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct RawQueue {
    pub(crate) one_client_ms: f64,
    /// Wall time over rows, as with tasks side by side.
    pub(crate) eight_clients_ms: f64,
}

/// Measures in the private server of a data directory that no other process uses; an error has the reason.
pub(super) async fn measure(data_dir: &Path) -> Result<RawQueue, String> {
    let data_dir = data_dir.to_owned();
    let measured = tokio::task::spawn_blocking(move || -> Result<RawQueue, String> {
        let lock = DataDirLock::take(&data_dir).map_err(|error| error.to_string())?;
        let running =
            embedded::start(lock.data_dir(), &embedded::Settings::default()).map_err(|error| error.to_string())?;
        let figures = in_server(&running);
        running.stop().map_err(|error| error.to_string())?;
        figures
    });
    measured.await.map_err(|error| error.to_string())?
}

fn in_server(running: &Running) -> Result<RawQueue, String> {
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    let write = |name: &str, text: &str| -> Result<PathBuf, String> {
        let path = directory.path().join(name);
        std::fs::write(&path, text)
            .map_err(|error| error.to_string())
            .map(|()| path)
    };
    let (schema, claim) = (write("schema.sql", SCHEMA)?, write("claim.sql", CLAIM)?);
    let mut made = client(running, "psql");
    made.args(["--quiet", "--no-psqlrc", "--set=ON_ERROR_STOP=1", "--file"])
        .arg(schema);
    output(made)?;
    let clients = |clients: u32| -> Result<f64, String> {
        let mut command = client(running, "pgbench");
        let number = clients.to_string();
        command.args([
            "--no-vacuum",
            "--protocol=prepared",
            "--time",
            SECONDS,
            "--client",
            &number,
            "--jobs",
            "2",
        ]);
        command.arg("--file").arg(&claim);
        rate(&output(command)?).map(|per_second| 1_000.0 / per_second)
    };
    Ok(RawQueue {
        one_client_ms: clients(1)?,
        eight_clients_ms: clients(8)?,
    })
}

fn client(running: &Running, program: &str) -> Command {
    let options = &running.options;
    let mut command = Command::new(running.binaries().join(program));
    command
        .env("PGUSER", options.get_username())
        .env("PGDATABASE", options.get_database().unwrap_or("postgres"));
    command.env("PGPORT", options.get_port().to_string());
    if let Some(socket) = options.get_socket() {
        command.env("PGHOST", socket);
    }
    command
}

fn output(mut command: Command) -> Result<String, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

/// `tps = 5123.4 (without initial connection time)`
fn rate(text: &str) -> Result<f64, String> {
    let line = text.lines().find_map(|line| line.strip_prefix("tps = "));
    let number = line
        .and_then(|line| line.split_whitespace().next())
        .and_then(|number| number.parse::<f64>().ok());
    number
        .filter(|rate| *rate > 0.0)
        .ok_or_else(|| format!("pgbench printed no rate: {}", text.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_is_read_from_pgbench_output() {
        assert_eq!(
            rate("latency average = 0.2 ms\ntps = 512.5 (without initial connection time)\n"),
            Ok(512.5)
        );
        assert!(rate("nothing").is_err());
    }
}
