//! The machine and this process.

use super::{Area, Declaration};
use crate::{
    instrument::{Amount, Gauge},
    label::{Label, Values},
};

/// The area.
pub(super) static AREA: Area = Area {
    title: "System",
    metrics: &[
        &CPU_PERCENT,
        &MEMORY_PERCENT,
        &MEMORY_USED,
        &DISK_PERCENT,
        &DISK_USED,
        &DATA_USED,
        &PROCESS_CPU,
        &PROCESS_RESIDENT,
        &PROCESS_VIRTUAL,
        &PROCESS_OPEN_FILES,
        &PROCESS_MAX_FILES,
        &PROCESS_START,
        &PROCESS_THREADS,
        &BUILD_INFO,
    ],
};

pub(crate) static CPU_PERCENT: Gauge = Gauge::new(Declaration::new(
    "system.cpu",
    "%",
    "system_cpu_percent",
    "Utilisation of all CPUs.",
));
pub(crate) static MEMORY_PERCENT: Gauge = Gauge::new(Declaration::new(
    "system.memory",
    "%",
    "system_memory_percent",
    "Memory that is not available.",
));
pub(crate) static MEMORY_USED: Gauge = Gauge::new(Declaration::new(
    "system.memory.used",
    "By",
    "system_memory_used_bytes",
    "Memory that is not available, in bytes.",
));
pub(crate) static DISK_PERCENT: Gauge = Gauge::new(Declaration::new(
    "system.disk",
    "%",
    "system_disk_percent",
    "Use of the file system that holds the data directory.",
));
pub(crate) static DISK_USED: Gauge = Gauge::new(Declaration::new(
    "system.disk.used",
    "By",
    "system_disk_used_bytes",
    "Bytes used of the file system that holds the data directory.",
));

pub(crate) static DATA_USED: Gauge<1> = Gauge::new(
    Declaration::new(
        "disk.used",
        "By",
        "disk_used_bytes",
        "Disk usage of each part of the data directory at its last measurement.",
    )
    .labels(&[Label::fixed(
        "area",
        &["hubs", "worktrees", "outputs", "cache", "postgres"],
    )])
    .absent_at_start(),
);

pub(crate) static PROCESS_CPU: Amount = Amount::new(Declaration::new(
    "process.cpu",
    "s",
    "process_cpu_seconds_total",
    "CPU time of this process.",
));
pub(crate) static PROCESS_RESIDENT: Gauge = Gauge::new(
    Declaration::new(
        "process.resident_memory",
        "By",
        "process_resident_memory_bytes",
        "Resident memory of this process.",
    )
    .absent_at_start(),
);
pub(crate) static PROCESS_VIRTUAL: Gauge = Gauge::new(
    Declaration::new(
        "process.virtual_memory",
        "By",
        "process_virtual_memory_bytes",
        "Virtual memory of this process.",
    )
    .absent_at_start(),
);
pub(crate) static PROCESS_OPEN_FILES: Gauge = Gauge::new(
    Declaration::new(
        "process.open_fds",
        "{file}",
        "process_open_fds",
        "File descriptors open in this process.",
    )
    .absent_at_start(),
);
pub(crate) static PROCESS_MAX_FILES: Gauge = Gauge::new(
    Declaration::new(
        "process.max_fds",
        "{file}",
        "process_max_fds",
        "File descriptors that this process may open.",
    )
    .absent_at_start(),
);
pub(crate) static PROCESS_START: Gauge = Gauge::new(
    Declaration::new(
        "process.start_time",
        "s",
        "process_start_time_seconds",
        "When this process started, in seconds since 1970.",
    )
    .absent_at_start(),
);
pub(crate) static PROCESS_THREADS: Gauge = Gauge::new(
    Declaration::new(
        "process.threads",
        "{thread}",
        "process_threads",
        "Threads of this process.",
    )
    .absent_at_start(),
);

pub(crate) static BUILD_INFO: Gauge<2> = Gauge::new(
    Declaration::new(
        "build.info",
        "{build}",
        "build_info",
        "Always 1; its labels name the version and the environment.",
    )
    .labels(&[
        Label::of("version", Values::Bounded("the running version")),
        Label::of("environment", Values::Bounded("the configured environment")),
    ])
    .series_limit(10),
);
