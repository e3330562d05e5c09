//! How much memory jobs can share.

use std::fs;

use super::controller::{Controller, Version};
use super::host::Host;

/// The machine's memory, or less if the control groups of this process limit it.
pub(crate) fn machine_bytes(host: &Host) -> u64 {
    let machine = rustix::system::sysinfo();
    let total = (machine.totalram as u64).saturating_mul(u64::from(machine.mem_unit));
    let own = host.candidates(Controller::Memory);
    let limits = own.iter().filter_map(|place| {
        let name = match place.version {
            Version::One => "memory.limit_in_bytes",
            Version::Two => "memory.max",
        };
        fs::read_to_string(place.path.join(name)).ok()?.trim().parse().ok()
    });
    limits.fold(total, u64::min)
}
