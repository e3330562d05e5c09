//! The limits of `[sandbox]` that numbers alone can't hold.

use super::SandboxSection;
use crate::failure::Failure;

/// Less, and not even the shell of a command starts.
const LEAST_MEMORY_BYTES: u64 = 16 << 20;

/// What the kernel takes.
const WEIGHTS: std::ops::RangeInclusive<u64> = 1..=10_000;

impl SandboxSection {
    pub(super) fn check(&self) -> Result<(), Failure> {
        for (key, bytes) in [
            ("sandbox.memory_bytes", self.memory_bytes),
            ("sandbox.total_memory_bytes", self.total_memory_bytes),
        ] {
            if let Some(bytes) = bytes.filter(|bytes| *bytes < LEAST_MEMORY_BYTES) {
                return Err(Failure::usage(format!("{key} must be at least {LEAST_MEMORY_BYTES}"))
                    .with("found", bytes)
                    .hint("leave it out for a share of the machine's memory"));
            }
        }
        for (key, count) in [
            ("sandbox.processes", self.processes),
            ("sandbox.worktree_bytes", self.worktree_bytes),
            ("sandbox.worktree_files", self.worktree_files),
        ] {
            if count == 0 {
                return Err(Failure::usage(format!("{key} must be at least 1")).with("found", 0));
            }
        }
        if !WEIGHTS.contains(&self.cpu_weight) {
            return Err(Failure::usage("sandbox.cpu_weight must be from 1 to 10000").with("found", self.cpu_weight));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_that_no_command_can_keep_are_refused_by_name() {
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
