//! Tests that a tier works on this host before anything relies on it, with advice if it does not.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use crate::bubblewrap::Features;
use crate::cgroup::{Groups, Host, JobLimits};
use crate::identity::Identity;
use crate::job::check_grant;
use crate::landlock::{assess, not_enforced};
use crate::launch::Launcher;
use crate::properties::{Proof, Property};
use crate::report::NO_SANDBOX;
use crate::seccomp::Filters;
use crate::toolchains::Toolchains;
use crate::{Exit, Isolation, Job, Sandbox, SandboxError, Settings, State, Tier};

const PROBE_TIME: Duration = Duration::from_secs(20);

impl Sandbox {
    /// Creates a sandbox of this tier, after running a real command in it.
    ///
    /// # Errors
    /// When the tier does not work on this host; the text says what to install or enable. It never falls back silently.
    pub async fn probe(tier: Tier, settings: Settings) -> Result<Self, SandboxError> {
        for path in &settings.extra_read_only {
            check_grant(path).map_err(|reason| SandboxError::BadGrant {
                path: path.clone(),
                reason,
            })?;
        }
        let isolation = match tier {
            Tier::Bubblewrap => {
                let features = bubblewrap_features(settings.bubblewrap.clone()).await?;
                let filters = Filters::compile(features.many_filters).map_err(|reason| SandboxError::Refused {
                    output: format!("the system call filter can't be compiled: {reason}"),
                    advice: "The sandbox works on x86-64, ARM (64 bits) and RISC-V (64 bits).".to_owned(),
                })?;
                Isolation::Bubblewrap(features, Identity::choose(&settings)?, filters)
            }
            Tier::None => Isolation::None {
                home: Some(tempfile::tempdir().map_err(SandboxError::system("creating a home directory"))?),
            },
        };
        let toolchains = Toolchains::detect(&settings);
        let groups = {
            let host = Host::read();
            Arc::new(Groups::open(JobLimits::of(&settings, &host), &host))
        };
        let (launcher, landlock) = match &isolation {
            Isolation::Bubblewrap(_, identity, _) => match Launcher::choose(&settings, identity) {
                Ok(launcher) => (Some(launcher), not_enforced("not tested yet")),
                Err(landlock) => (None, landlock),
            },
            Isolation::None { .. } => (None, not_enforced(NO_SANDBOX)),
        };
        let mut sandbox = Self {
            isolation,
            settings,
            toolchains,
            properties: Vec::new(),
            launcher,
            landlock,
            groups,
            trees: Arc::default(),
        };
        match tier {
            Tier::Bubblewrap => sandbox.prove().await?,
            Tier::None => sandbox.run_trivial_command().await?,
        }
        for found in sandbox.enforcement() {
            telemetry::sandbox::enforced(found.property.name(), found.state == State::Enforced);
        }
        Ok(sandbox)
    }

    /// A sandbox that runs no command, for a process that only reads. Nothing of the host is probed or changed.
    #[must_use]
    pub fn unavailable() -> Self {
        Self {
            isolation: Isolation::None { home: None },
            settings: Settings::default(),
            toolchains: Toolchains::default(),
            properties: Vec::new(),
            launcher: None,
            landlock: not_enforced(NO_SANDBOX),
            groups: Arc::new(Groups::unused()),
            trees: Arc::default(),
        }
    }

    /// Tests the sandbox with Landlock, and without it if that fails.
    async fn prove(&mut self) -> Result<(), SandboxError> {
        let proof = match self.proven().await {
            Err(SandboxError::Refused { output, .. } | SandboxError::Leaks { failures: output })
                if self.launcher.is_some() =>
            {
                self.launcher = None;
                self.landlock = not_enforced(format!("the sandbox does not work under it: {output}"));
                self.proven().await?
            }
            proof => proof?,
        };
        if self.launcher.is_some() {
            self.landlock = assess(&proof.not_stopped_by_landlock);
        }
        self.properties = proof.properties;
        Ok(())
    }

    /// What the probe saw, if all required properties hold.
    async fn proven(&self) -> Result<Proof, SandboxError> {
        let proof = self.check_properties().await.map_err(|error| match error {
            SandboxError::Setup { output } => refused(output, &Kernel::read()),
            other => other,
        })?;
        let failures: Vec<String> = proof.properties.iter().filter_map(Property::failure).collect();
        if failures.is_empty() {
            Ok(proof)
        } else {
            Err(SandboxError::Leaks {
                failures: failures.join("; "),
            })
        }
    }

    async fn run_trivial_command(&self) -> Result<(), SandboxError> {
        let worktree =
            tempfile::tempdir().map_err(SandboxError::system("creating a directory to test the sandbox in"))?;
        let mut job = Job::shell("touch here && exit 0", worktree.path().to_owned());
        job.time_limit = PROBE_TIME;
        let finished = match self.run(job).await {
            Ok(finished) => finished,
            Err(SandboxError::Setup { output }) => return Err(refused(output, &Kernel::read())),
            Err(other) => return Err(other),
        };
        match finished.exit {
            Exit::Code(0) => Ok(()),
            exit => {
                let output = format!(
                    "a trivial command ended with {exit:?} in it: {}",
                    finished.output_head_tail
                );
                Err(refused(output, &Kernel::read()))
            }
        }
    }
}

/// Asks bubblewrap for its version and features.
async fn bubblewrap_features(program: PathBuf) -> Result<Features, SandboxError> {
    let ask = move || -> Result<Features, SandboxError> {
        let answer = |argument: &str| {
            let output = Command::new(&program).arg(argument).stdin(Stdio::null()).output();
            output
                .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
                .map_err(|source| match source.kind() {
                    io::ErrorKind::NotFound => SandboxError::Missing {
                        program: program.clone(),
                    },
                    _ => SandboxError::System {
                        doing: "starting bubblewrap to ask for its version",
                        source,
                    },
                })
        };
        let (version, help) = (answer("--version")?, answer("--help")?);
        Ok(Features::parse(program.clone(), &version, &help))
    };
    tokio::task::spawn_blocking(ask)
        .await
        .map_err(|error| SandboxError::System {
            doing: "asking bubblewrap for its version",
            source: error.into(),
        })?
}

fn refused(output: String, kernel: &Kernel) -> SandboxError {
    let advice = kernel.advice(&output);
    SandboxError::Refused { output, advice }
}

/// The kernel settings that can forbid namespaces to ordinary users; `None` if the kernel lacks the setting.
#[derive(Default)]
struct Kernel {
    unprivileged_userns_clone: Option<String>,
    max_user_namespaces: Option<String>,
    apparmor_restrict: Option<String>,
}

impl Kernel {
    fn read() -> Self {
        let switch = |name: &str| {
            fs::read_to_string(format!("/proc/sys/{name}"))
                .ok()
                .map(|text| text.trim().to_owned())
        };
        Self {
            unprivileged_userns_clone: switch("kernel/unprivileged_userns_clone"),
            max_user_namespaces: switch("user/max_user_namespaces"),
            apparmor_restrict: switch("kernel/apparmor_restrict_unprivileged_userns"),
        }
    }

    fn advice(&self, output: &str) -> String {
        if self.unprivileged_userns_clone.as_deref() == Some("0") {
            return "Unprivileged user namespaces are disabled: `sudo sysctl -w \
                    kernel.unprivileged_userns_clone=1` enables them."
                .to_owned();
        }
        if self.max_user_namespaces.as_deref() == Some("0") {
            return "User namespaces are disabled: `sudo sysctl -w user.max_user_namespaces=15000` enables them."
                .to_owned();
        }
        if self.apparmor_restrict.as_deref() == Some("1") {
            return "AppArmor forbids user namespaces to ordinary users (the default on Ubuntu since 23.10): \
                    add an AppArmor profile with `userns,` for bwrap, or `sudo sysctl -w \
                    kernel.apparmor_restrict_unprivileged_userns=0`."
                .to_owned();
        }
        if output.contains("mount proc") {
            return "The kernel does not allow mounting /proc, as in most containers: start the container with \
                    `--security-opt systempaths=unconfined --security-opt seccomp=unconfined` (or `--privileged`)."
                .to_owned();
        }
        if output.contains("namespace") || output.contains("Operation not permitted") {
            return "Namespaces are not allowed here: in a container, start it with `--security-opt \
                    seccomp=unconfined --security-opt apparmor=unconfined`; elsewhere, enable unprivileged user \
                    namespaces."
                .to_owned();
        }
        "Run `bwrap --ro-bind / / true` by hand to see whether bubblewrap itself works.".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advice(kernel: Kernel, output: &str) -> String {
        refused(output.to_owned(), &kernel).to_string()
    }

    #[test]
    fn apparmor_is_named_as_the_cause() {
        let kernel = Kernel {
            apparmor_restrict: Some("1".to_owned()),
            ..Kernel::default()
        };
        let text = advice(kernel, "bwrap: setting up uid map: Permission denied");
        assert!(
            text.contains("kernel.apparmor_restrict_unprivileged_userns=0"),
            "{text}"
        );
        assert!(
            text.contains("setting up uid map") && text.contains("--sandbox none"),
            "{text}"
        );
    }

    #[test]
    fn disabled_namespaces_are_named_with_their_sysctl() {
        let kernel = Kernel {
            unprivileged_userns_clone: Some("0".to_owned()),
            ..Kernel::default()
        };
        assert!(advice(kernel, "bwrap: No permissions").contains("kernel.unprivileged_userns_clone=1"));
        let kernel = Kernel {
            max_user_namespaces: Some("0".to_owned()),
            ..Kernel::default()
        };
        assert!(advice(kernel, "bwrap: No space left").contains("user.max_user_namespaces"));
    }

    #[test]
    fn container_without_proc_mounts_gets_its_options() {
        let text = advice(
            Kernel::default(),
            "bwrap: Can't mount proc on /newroot/proc: Operation not permitted",
        );
        assert!(text.contains("systempaths=unconfined"), "{text}");
    }
}
