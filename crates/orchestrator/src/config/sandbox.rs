//! Checks the limits of `[sandbox]`.

use super::SandboxSection;
use crate::failure::Failure;

/// With less, not even the shell of a command starts.
const LEAST_MEMORY_BYTES: u64 = 16 << 20;

/// Weights that the kernel accepts.
const WEIGHTS: std::ops::RangeInclusive<u64> = 1..=10_000;

impl SandboxSection {
    pub(super) fn check(&self) -> Result<(), Failure> {
        for (key, bytes) in [
            ("sandbox.memory_bytes", self.memory_bytes),
            ("sandbox.total_memory_bytes", self.total_memory_bytes),
        ] {
            if let Some(bytes) = bytes.filter(|bytes| *bytes < LEAST_MEMORY_BYTES) {
                return Err(
                    Failure::configuration(format!("{key} must be at least {LEAST_MEMORY_BYTES}"))
                        .with("found", bytes)
                        .hint("leave it out for a share of the machine's memory"),
                );
            }
        }
        for (key, count) in [
            ("sandbox.processes", self.processes),
            ("sandbox.worktree_bytes", self.worktree_bytes),
            ("sandbox.worktree_files", self.worktree_files),
        ] {
            if count == 0 {
                return Err(Failure::configuration(format!("{key} must be at least 1")).with("found", 0));
            }
        }
        if !WEIGHTS.contains(&self.cpu_weight) {
            return Err(
                Failure::configuration("sandbox.cpu_weight must be from 1 to 10000").with("found", self.cpu_weight)
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unusable_limits_are_refused_by_name() {
        let section = SandboxSection::default;
        assert!(section().check().is_ok());
        let refused = |section: SandboxSection| section.check().unwrap_err().problem;
        let tiny = SandboxSection {
            memory_bytes: Some(1),
            ..section()
        };
        assert!(refused(tiny).contains("sandbox.memory_bytes"));
        let heavy = SandboxSection {
            cpu_weight: 10_001,
            ..section()
        };
        assert!(refused(heavy).contains("sandbox.cpu_weight"));
        let none = SandboxSection {
            worktree_files: 0,
            ..section()
        };
        assert!(refused(none).contains("sandbox.worktree_files"));
    }
}
