//! Reads the sectioned report that the probe's command prints.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// Lines by section.
#[derive(Debug, Default)]
pub(crate) struct Report {
    sections: BTreeMap<String, Vec<String>>,
}

impl Report {
    pub(crate) fn read(output: &str) -> Self {
        let mut report = Self::default();
        let mut section = String::new();
        for line in output.lines().filter(|line| !line.is_empty()) {
            if let Some(name) = line.strip_prefix("==") {
                section = name.to_owned();
                report.sections.entry(section.clone()).or_default();
            } else {
                report
                    .sections
                    .entry(section.clone())
                    .or_default()
                    .push(line.to_owned());
            }
        }
        report
    }

    /// Whether the command reached its last section.
    pub(crate) fn is_whole(&self) -> bool {
        self.sections.contains_key("end")
    }

    pub(crate) fn lines(&self, section: &str) -> &[String] {
        self.sections.get(section).map(Vec::as_slice).unwrap_or_default()
    }

    /// A value of `/proc/self/status`.
    pub(crate) fn status(&self, name: &str) -> &str {
        let mut lines = self.lines("status").iter();
        lines
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .map(str::trim)
            .unwrap_or("missing")
    }

    /// Mount points that are not read-only.
    pub(crate) fn writable_mounts(&self) -> Vec<PathBuf> {
        let lines = self.lines("mounts").iter();
        lines
            .filter_map(|line| {
                let mut fields = line.split(' ').skip(4);
                let (point, options) = (fields.next()?, fields.next()?);
                let writable = options.split(',').any(|option| option == "rw");
                writable.then(|| PathBuf::from(point.replace("\\040", " ")))
            })
            .collect()
    }

    /// A network interface other than loopback, if there is one.
    pub(crate) fn interfaces_beside_loopback(&self) -> Option<String> {
        // The table starts with two header lines.
        let mut names = self
            .lines("network")
            .iter()
            .skip(2)
            .filter_map(|line| line.split_once(':'));
        names
            .find(|(name, _)| name.trim() != "lo")
            .map(|(name, _)| format!("there is an interface `{}`", name.trim()))
    }

    /// A descriptor other than standard input and output and the one that lists them, if there is one.
    pub(crate) fn foreign_files(&self) -> Option<String> {
        let links = self.lines("files").iter().filter_map(|line| line.split_once(" -> "));
        let mut targets = links.map(|(_, target)| target);
        targets
            .find(|target| !(*target == "/dev/null" || target.starts_with("pipe:") || target.starts_with("/proc/")))
            .map(|target| format!("it has {target} open"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(text: &str) -> Report {
        Report::read(text)
    }

    #[test]
    fn truncated_report_is_incomplete() {
        assert!(!report("==status\nNoNewPrivs:\t1\n==mounts\n").is_whole());
        assert!(report("==status\n==end\n").is_whole());
    }

    #[test]
    fn missing_status_has_no_value() {
        let report = report("==status\nSeccomp:\t2\nSeccomp_filters:\t3\n");
        assert_eq!(
            (report.status("Seccomp"), report.status("NoNewPrivs")),
            ("2", "missing")
        );
    }

    #[test]
    fn writable_mount_is_found_by_its_own_options() {
        let text =
            "==mounts\n1 0 0:1 / /usr ro,nosuid - ext4 /dev/x rw\n2 0 0:1 / /a\\040b rw,nodev - ext4 /dev/x ro\n";
        assert_eq!(report(text).writable_mounts(), [PathBuf::from("/a b")]);
    }

    #[test]
    fn foreign_interfaces_and_files_are_named() {
        let head = "==network\nInter-| Receive\n face |bytes\n";
        assert_eq!(
            report(&format!("{head}    lo: 0 0\n")).interfaces_beside_loopback(),
            None
        );
        let found = report(&format!("{head}    lo: 0\n  eth0: 7\n")).interfaces_beside_loopback();
        assert!(found.unwrap().contains("eth0"));
        let files = "==files\ntotal 0\nlr-x 1 w w 64 0 -> /dev/null\nlr-x 1 w w 64 3 -> /root/secret\n";
        assert!(report(files).foreign_files().unwrap().contains("/root/secret"));
    }
}
