//! Resource usage of the machine and this process.

use crate::catalogue::system::{
    CPU_PERCENT, DATA_USED, DISK_PERCENT, DISK_USED, MEMORY_PERCENT, MEMORY_USED, PROCESS_CPU, PROCESS_MAX_FILES,
    PROCESS_OPEN_FILES, PROCESS_RESIDENT, PROCESS_START, PROCESS_THREADS, PROCESS_VIRTUAL,
};
use std::{
    path::PathBuf,
    sync::{Mutex, OnceLock, PoisonError},
};
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

/// State between two observations: CPU usage is a difference.
#[derive(Debug)]
struct Observer {
    system: System,
    data_dir: PathBuf,
    cpu_milliseconds: u64,
}

static OBSERVER: OnceLock<Mutex<Observer>> = OnceLock::new();

/// Sets the measured file system and observes once. If the machine can't be observed, this is logged once and the gauges
/// stay at 0.
pub(crate) fn start(data_dir: PathBuf) {
    match System::new() {
        Ok(system) => {
            OBSERVER.get_or_init(|| {
                Mutex::new(Observer {
                    system,
                    data_dir,
                    cpu_milliseconds: 0,
                })
            });
            observe();
        }
        Err(error) => {
            tracing::warn!(%error, "can't observe CPUs and memory on this machine")
        }
    }
}

/// Observes CPUs, memory, disk and this process. The engine calls it every few seconds; it only reads files.
pub fn observe() {
    if let Some(observer) = OBSERVER.get() {
        let mut observer = observer.lock().unwrap_or_else(PoisonError::into_inner);
        observer.machine();
        observer.disk();
        observer.process();
    }
}

/// A part of the data directory takes this many bytes.
pub fn data_used(area: &str, bytes: u64) {
    DATA_USED.set(bytes as f64, [area]);
}

impl Observer {
    fn machine(&mut self) {
        self.system.refresh_cpu_usage();
        self.system.refresh_memory();
        CPU_PERCENT.set(f64::from(self.system.global_cpu_usage()), []);
        let total = self.system.total_memory();
        let used = total.saturating_sub(self.system.available_memory());
        MEMORY_USED.set(used as f64, []);
        MEMORY_PERCENT.set(percent(used, total), []);
    }

    /// Counts like `df`: blocks reserved for root are neither used nor free.
    fn disk(&self) {
        if let Ok(disk) = rustix::fs::statvfs(&self.data_dir) {
            let used_blocks = disk.f_blocks.saturating_sub(disk.f_bfree);
            DISK_USED.set(used_blocks as f64 * disk.f_frsize as f64, []);
            DISK_PERCENT.set(percent(used_blocks, used_blocks.saturating_add(disk.f_bavail)), []);
        }
    }

    fn process(&mut self) {
        let pid = Pid::from_u32(std::process::id());
        let what = ProcessRefreshKind::nothing().with_cpu().with_memory().with_tasks();
        self.system
            .refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), false, what);
        let Some(process) = self.system.process(pid) else {
            return;
        };
        PROCESS_RESIDENT.set(process.memory() as f64, []);
        PROCESS_VIRTUAL.set(process.virtual_memory() as f64, []);
        PROCESS_START.set(process.start_time() as f64, []);
        if let Some(files) = process.open_files() {
            PROCESS_OPEN_FILES.set(files as f64, []);
        }
        if let Some(files) = process.open_files_limit() {
            PROCESS_MAX_FILES.set(files as f64, []);
        }
        if let Some(threads) = process.tasks() {
            PROCESS_THREADS.set(threads.len() as f64, []);
        }
        let cpu_milliseconds = process.accumulated_cpu_time();
        let more = cpu_milliseconds.saturating_sub(self.cpu_milliseconds);
        PROCESS_CPU.add(more as f64 / 1000.0, []);
        self.cpu_milliseconds += more;
    }
}

fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        100.0 * part as f64 / whole as f64
    }
}
