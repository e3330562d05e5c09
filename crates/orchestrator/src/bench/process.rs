//! CPU and memory of an idle process and its database, from `/proc`.

use serde::Serialize;
use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

/// Use over a few idle seconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Idle {
    /// Of one core.
    pub(crate) serve_cpu_percent: f64,
    pub(crate) serve_memory_mib: f64,
    /// Of one core, all processes of the private database together.
    pub(crate) postgres_cpu_percent: f64,
    /// Without the memory they share.
    pub(crate) postgres_memory_mib: f64,
}

/// Measures a server and the database in its data directory; `None` where `/proc` lacks the figures.
pub(super) async fn idle(server: u32, data_dir: &Path, during: Duration) -> Option<Idle> {
    let postmaster = fs::read_to_string(data_dir.join("postgres/postmaster.pid")).ok()?;
    let postmaster: u32 = postmaster.lines().next()?.trim().parse().ok()?;
    // Work of the start has ended by then.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let begun = Instant::now();
    let (server_before, postgres_before) = (cpu_ns(server)?, family_cpu_ns(postmaster));
    tokio::time::sleep(during).await;
    let elapsed_ns = begun.elapsed().as_nanos() as f64;
    let percent = |before: u64, after: u64| after.saturating_sub(before) as f64 / elapsed_ns * 100.0;
    Some(Idle {
        serve_cpu_percent: percent(server_before, cpu_ns(server)?),
        serve_memory_mib: memory_mib(server, "Rss:")?,
        postgres_cpu_percent: percent(postgres_before, family_cpu_ns(postmaster)),
        postgres_memory_mib: family(postmaster)
            .into_iter()
            .filter_map(|pid| memory_mib(pid, "Pss:"))
            .sum(),
    })
}

/// Nanoseconds on a CPU, of all threads.
fn cpu_ns(pid: u32) -> Option<u64> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let on_cpu = threads.flatten().filter_map(|thread| {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    });
    Some(on_cpu.sum())
}

fn family_cpu_ns(parent: u32) -> u64 {
    family(parent).into_iter().filter_map(cpu_ns).sum()
}

/// A process and its children.
fn family(parent: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let children = pids.filter(|pid| parent_of(*pid) == Some(parent));
    children.chain([parent]).collect()
}

fn parent_of(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in parentheses and may hold anything.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

fn memory_mib(pid: u32, line: &str) -> Option<f64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = rollup.lines().find_map(|text| text.strip_prefix(line))?;
    line.split_whitespace()
        .next()?
        .parse::<f64>()
        .ok()
        .map(|kib| kib / 1024.0)
}
