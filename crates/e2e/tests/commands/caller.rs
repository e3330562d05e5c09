//! A person in a shell: calls the program by a path that has to be quoted, and types what it prints.

use crate::said;
use domain::RunId;
use e2e::{Product, binary, directory};
use sim_llm::Scenario;
use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};
use tempfile::TempDir;

/// The program lies below a directory with a quote and a space, and so does the configuration; both and the data
/// directory have to be in what is printed.
pub(crate) struct Caller {
    pub(crate) product: Product,
    program: PathBuf,
    configuration: PathBuf,
    /// Where commands are called.
    pub(crate) here: PathBuf,
    _directory: TempDir,
}

impl Caller {
    /// A server with these settings, and a shell beside it.
    pub(crate) async fn new(scenario: Scenario, settings: &str) -> Self {
        let directory = directory();
        let own = directory.path().join("it's here");
        let here = own.join("work");
        std::fs::create_dir_all(&here).unwrap();
        let program = own.join("orchestrator");
        std::os::unix::fs::symlink(binary(), &program).unwrap();
        let configuration = own.join("own.toml");
        std::fs::write(&configuration, format!("[engine]\nworkers = 2\n{settings}")).unwrap();
        let environment = [("ORCHESTRATOR_CONFIG", configuration.to_str().unwrap())];
        Self {
            product: Product::start_with(scenario, &environment).await,
            program,
            configuration,
            here,
            _directory: directory,
        }
    }

    /// Calls the program with the flags of the data directory and the configuration.
    pub(crate) fn call(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .arg("--data-dir")
            .arg(self.product.data_dir())
            .arg("--config")
            .arg(&self.configuration);
        self.run(command)
    }

    /// Types a command.
    pub(crate) fn type_in(&self, command: &str) -> Output {
        let mut shell = Command::new("sh");
        shell.args(["-c", command]);
        self.run(shell)
    }

    fn run(&self, mut command: Command) -> Output {
        command
            .current_dir(&self.here)
            .env_remove("DATABASE_URL")
            .env("OPENAI_API_KEY", "sk-test-0123456789abcdef")
            .env("OPENAI_BASE_URL", self.product.model.base_url())
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// Types each command below `Next`; what they printed.
    pub(crate) fn follow_up(&self, printed: &Output) -> Vec<(String, String)> {
        let text = said(printed);
        assert!(printed.status.success(), "{text}");
        let next = text.split("\nNext\n").nth(1).expect("next commands");
        let commands: Vec<&str> = next.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        assert!(!commands.is_empty(), "{text}");
        let run = |command: &&str| {
            let output = self.type_in(command);
            assert!(output.status.success(), "{command}: {}", said(&output));
            let printed = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(!printed.trim().is_empty(), "{command} printed nothing");
            ((*command).to_owned(), printed)
        };
        commands.iter().map(run).collect()
    }

    /// The newest run.
    pub(crate) async fn newest(&self) -> RunId {
        let page = self.product.client.runs(None, None, 1).await.unwrap();
        page.runs[0].id
    }

    /// Paths of this test, as they are printed, with stand-ins.
    pub(crate) fn paths(&self) -> [(String, &'static str); 4] {
        let product = self.product.directory.path().display().to_string();
        [
            (self.program_in_shell(), "orchestrator"),
            (quoted(&self.configuration), "[config]"),
            (self.here.display().to_string(), "[here]"),
            (product, "[directory]"),
        ]
    }

    /// Every command of this program that a text holds, each once.
    pub(crate) fn commands_in(&self, text: &str) -> Vec<String> {
        let program = self.program_in_shell();
        let mut commands = Vec::new();
        for line in text.lines() {
            let mut parts = line.split(&program);
            let mut before = parts.next().unwrap_or_default();
            for arguments in parts {
                // One in the middle of a sentence stands in backticks; any other has the rest of the line.
                let arguments = match before.ends_with('`') {
                    true => arguments.split('`').next().unwrap_or_default(),
                    false => arguments,
                };
                let command = format!("{program}{}", arguments.trim_end());
                if !commands.contains(&command) {
                    commands.push(command);
                }
                before = arguments;
            }
        }
        commands
    }

    /// Fails where a text names a command of the program by its bare name: that may be another program, or none.
    pub(crate) fn assert_no_bare_command(&self, text: &str) {
        let rest = text.replace(&self.program_in_shell(), "");
        let words: Vec<&str> = rest
            .split(|letter: char| letter.is_whitespace() || letter == '`')
            .collect();
        for pair in words.windows(2) {
            let is_command = pair[0] == "orchestrator" && SUBCOMMANDS.contains(&pair[1]);
            assert!(!is_command, "{} {} in: {text}", pair[0], pair[1]);
        }
    }

    fn program_in_shell(&self) -> String {
        quoted(&self.program)
    }
}

const SUBCOMMANDS: [&str; 13] = [
    "run", "demo", "serve", "runs", "show", "follow", "logs", "diff", "merges", "cancel", "deliver", "clean", "doctor",
];

fn quoted(path: &Path) -> String {
    shlex::try_quote(path.to_str().unwrap()).unwrap().into_owned()
}
