//! The pull request. The operator's command looks for one first, so that after a crash an existing one is found.

use super::{Delivering, Ended, StepFailure, body, command};
use crate::{context::blocking, settings::ForgeCommand};
use command::HostCommand;
use domain::{delivery::DeliveryResult, plan::first_line};
use std::{fs, io, path::PathBuf};

/// The longest address that is accepted from an output.
const URL_BYTES: usize = 2_000;
/// Characters of a title.
const TITLE: usize = 120;
/// Characters shown of a failed command's output.
const SAID: usize = 600;

pub(super) async fn pull_request(delivering: &Delivering<'_>) -> Result<Ended, StepFailure> {
    let settings = delivering.context.delivery(&delivering.details.workspace_path);
    let Some(forge) = settings.and_then(|settings| settings.pull_request.clone()) else {
        return Ok(Ended::new(DeliveryResult::Skipped, "no forge command is configured"));
    };
    let text = body::text(delivering).await?;
    let place = Place::make(delivering, text).await.map_err(|error| {
        StepFailure::Transient(format!("could not make a directory for the forge command: {error}"))
    })?;
    let values = values(delivering, &forge, &place);
    let done = delivering.unless_stopped(find_or_create(&forge, &values, &place)).await;
    place.remove().await;
    done?
}

async fn find_or_create(forge: &ForgeCommand, values: &Values, place: &Place) -> Result<Ended, StepFailure> {
    if let Some(url) = find(forge, values, place).await? {
        let said = format!("the pull request exists already: {url}");
        return Ok(told(DeliveryResult::Already, said, Some(url)));
    }
    let printed = call("create", &forge.create, forge, values, place).await?;
    let url = match url_in(&printed) {
        Some(url) => Some(url),
        None => find(forge, values, place).await?,
    };
    let said = match &url {
        Some(url) => format!("created the pull request: {url}"),
        None => "a pull request is made; the command printed no address".to_owned(),
    };
    Ok(told(DeliveryResult::Created, said, url))
}

fn told(result: DeliveryResult, said: String, url: Option<String>) -> Ended {
    Ended { result, said, url }
}

async fn find(forge: &ForgeCommand, values: &Values, place: &Place) -> Result<Option<String>, StepFailure> {
    Ok(url_in(&call("find", &forge.find, forge, values, place).await?))
}

/// Runs one of the two, and returns what it printed.
async fn call(
    name: &str,
    words: &[String],
    forge: &ForgeCommand,
    values: &Values,
    place: &Place,
) -> Result<String, StepFailure> {
    let argv: Vec<String> = words.iter().map(|word| filled(word, values)).collect();
    let command = HostCommand {
        argv: &argv,
        environment: &forge.environment,
        directory: &place.directory,
        limit: forge.limit,
        output_bytes: forge.output_bytes,
    };
    let program = words.first().map_or("", String::as_str);
    let failed = |what: String| StepFailure::Transient(format!("the forge command ({name}: {program}) {what}"));
    let output = command::run(&command).await;
    let output = output.map_err(|error| failed(format!("could not run: {error}")))?;
    let output = output.ok_or_else(|| failed(format!("took longer than its {} s", forge.limit.as_secs())))?;
    if output.is_success {
        return Ok(output.stdout);
    }
    let printed = if output.stderr.trim().is_empty() {
        &output.stdout
    } else {
        &output.stderr
    };
    let printed: Vec<&str> = printed.split_whitespace().collect();
    // Masked before it is cut: a truncated secret is not recognised.
    let printed = telemetry::secrets::redact(&printed.join(" "));
    Err(failed(format!(
        "ended with {}: {}",
        output.status,
        first_line(&printed, SAID)
    )))
}

/// The values of the placeholders.
type Values = [(&'static str, String); 6];

fn values(delivering: &Delivering<'_>, forge: &ForgeCommand, place: &Place) -> Values {
    let details = delivering.details;
    let push = delivering.context.delivery(&details.workspace_path);
    let push = push.and_then(|settings| settings.push.as_ref());
    let branch = push.map_or(details.branch.clone(), |push| push.branch(&details.id, &details.branch));
    let base = forge.base.clone().or_else(|| details.base_branch.clone());
    [
        ("{branch}", branch),
        ("{base}", base.unwrap_or_default()),
        ("{title}", title(&details.objective)),
        ("{body_file}", place.body.display().to_string()),
        ("{commit}", delivering.commit.0.clone()),
        (
            "{remote}",
            push.map(|push| push.remote.address().to_owned()).unwrap_or_default(),
        ),
    ]
}

/// One line that no program parses as an option.
fn title(objective: &str) -> String {
    let line = first_line(&telemetry::secrets::redact(objective), TITLE);
    let line: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match line.trim().trim_start_matches('-').trim_start() {
        "" => "Work of a run".to_owned(),
        line => line.to_owned(),
    }
}

/// The word with its placeholders replaced from left to right. Replaced text is not searched again.
fn filled(word: &str, values: &Values) -> String {
    let (mut filled, mut rest) = (String::new(), word);
    while let Some(open) = rest.find('{') {
        filled.push_str(&rest[..open]);
        rest = &rest[open..];
        match values.iter().find(|(name, _)| rest.starts_with(name)) {
            Some((name, value)) => {
                filled.push_str(value);
                rest = &rest[name.len()..];
            }
            None => {
                filled.push('{');
                rest = &rest[1..];
            }
        }
    }
    filled + rest
}

/// The last address in an output, if it may be shown.
fn url_in(output: &str) -> Option<String> {
    let plain = |word: &&str| {
        let authority = word
            .split_once("://")
            .map(|(_, rest)| rest.split('/').next().unwrap_or_default());
        let is_web = word.starts_with("https://") || word.starts_with("http://");
        is_web && word.len() <= URL_BYTES && authority.is_some_and(|host| !host.is_empty() && !host.contains('@'))
    };
    let word = output.split_whitespace().rfind(plain)?;
    Some(telemetry::secrets::redact(
        word.trim_end_matches(['.', ',', ')', '>', '"', '\'']),
    ))
}

/// An empty directory for the command, with the body beside it. It is among the worktrees, which a start removes.
struct Place {
    root: PathBuf,
    directory: PathBuf,
    body: PathBuf,
}

impl Place {
    async fn make(delivering: &Delivering<'_>, text: String) -> io::Result<Self> {
        let root = delivering
            .context
            .layout
            .delivery(delivering.details.id, delivering.effect.fence);
        blocking(move || {
            let place = Self {
                directory: root.join("empty"),
                body: root.join("body.md"),
                root,
            };
            // An earlier try under the same fence may have left files.
            match fs::remove_dir_all(&place.root) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
            fs::create_dir_all(&place.directory)?;
            fs::write(&place.body, text)?;
            Ok(place)
        })
        .await
    }

    async fn remove(self) {
        if let Err(error) = blocking(move || fs::remove_dir_all(&self.root)).await {
            tracing::debug!(%error, "Could not remove the directory of a forge command; the next start does");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_is_not_looked_at_again() {
        let values: Values = [
            ("{branch}", "a/b".into()),
            ("{base}", "main".into()),
            ("{title}", "Add {commit} {x}".into()),
            ("{body_file}", "/b".into()),
            ("{commit}", "c0ffee".into()),
            ("{remote}", String::new()),
        ];
        assert_eq!(filled("--t={title}", &values), "--t=Add {commit} {x}");
        assert_eq!(filled("{{.url}} {branch}:{base}", &values), "{{.url}} a/b:main");
    }

    #[test]
    fn a_title_is_one_line_and_no_option() {
        assert_eq!(title("--web\nrm -rf"), "web");
        assert_eq!(title("Add\ta flag"), "Add a flag");
    }

    #[test]
    fn the_last_address_without_credentials_is_read() {
        let output = "Creating…\nhttps://forge.example/a/b/pull/7.\n";
        assert_eq!(url_in(output).unwrap(), "https://forge.example/a/b/pull/7");
        assert_eq!(url_in("https://me:hunter22@forge.example/x"), None);
        assert_eq!(url_in(" \n"), None);
    }
}
