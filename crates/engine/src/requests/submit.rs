//! Accepts a run: whatever is known to be wrong is reported now, before anything is spent.

use crate::{
    context::{Layout, blocking},
    engine::Engine,
    requests::{FieldProblem, NewRun, SubmitError, Submitted},
    settings::Duties,
};
use domain::{RunId, effect::Effect, event::Event, limits::OBJECTIVE_BYTES, plan::first_line, run::RunState};
use git::{NotAdmitted, Unversioned};
use llm::ModelRef;
use serde_json::{Value, json};
use std::path::PathBuf;
use store::run::{NewRunRow, Saved};
use telemetry::TraceContext;

/// The longest idempotency key, in bytes.
const KEY_BYTES: usize = 255;
/// The bytes of a path that an error repeats.
const PATH_BYTES: usize = 4_096;
/// The longest name of a provider or model, in characters.
const MODEL_CHARACTERS: usize = 255;
/// The longest check command, in bytes.
const CHECK_BYTES: usize = 8 << 10;

impl Engine {
    /// Saves and starts a run. Returns the earlier run for a repeated idempotency key.
    ///
    /// # Errors
    /// When a value can't be used, the key was used for another request, or the run can't be saved.
    pub async fn submit(&self, new: NewRun) -> Result<Submitted, SubmitError> {
        if self.context.drain.is_cancelled() {
            return Err(SubmitError::Unavailable(
                "the server is being stopped; submit the run again when it is back".into(),
            ));
        }
        if self.context.settings.duties == Duties::WithoutWorkspaces {
            return Err(SubmitError::Unavailable(
                "this is a remote worker without workspaces; submit the run to its server".into(),
            ));
        }
        self.check_disk().await?;
        check_texts(&new)?;
        let limits = new.limits.over(&self.context.settings.limits);
        check_limits(&limits)?;
        let capped = limits.cost_nanodollars.is_some();
        let director = self.model(
            "director_model",
            new.director.as_ref(),
            self.context.settings.director.as_ref(),
            capped,
        )?;
        let worker = self.model(
            "worker_model",
            new.worker.as_ref(),
            self.context.settings.worker.as_ref(),
            capped,
        )?;
        let workspace = self.workspace(&new).await?;
        let merging = self.context.merge_settings(&workspace.display().to_string());
        if let Some(second) = &merging.second_opinion {
            self.model("merge.second_opinion", None, Some(second), capped)?;
        }
        // Masked first, so that the same text is stored, shown and sent to models.
        let objective = telemetry::secrets::redact(&new.objective);
        let id = RunId::new();
        let request = request_document(&new, &objective, [&director, &worker]);
        let own = self.context.settings.workspaces.get(&workspace);
        let configured = own.and_then(|own| own.allow_integrity_flags);
        let row = NewRunRow {
            id,
            idempotency_key: new.idempotency_key.clone(),
            request: telemetry::secrets::redact_json(&request),
            allow_integrity_flags: new
                .allow_integrity_flags
                .or(configured)
                .unwrap_or(self.context.settings.allow_integrity_flags),
            hub: Layout::hub_name(&workspace),
            workspace_path: workspace.display().to_string(),
            objective,
            director: (director.provider, director.model),
            worker: (worker.provider, worker.model),
            check_requested: new.check,
            limits,
            branch: git::refs::branch(&id),
            trace: serde_json::to_value(TraceContext::generate()).map_err(internal)?,
        };
        self.save(row).await
    }

    /// Refuses a run that could not start for lack of disk space.
    async fn check_disk(&self) -> Result<(), SubmitError> {
        self.disk.measured().await;
        match self.disk.space().shortage() {
            Some(shortage) => Err(SubmitError::Unavailable(format!(
                "{shortage}; then submit the run again"
            ))),
            None => Ok(()),
        }
    }

    async fn save(&self, row: NewRunRow) -> Result<Submitted, SubmitError> {
        let mut tx = self.context.store.begin().await.map_err(internal)?;
        match tx.insert_run(&row).await.map_err(internal)? {
            Saved::New => {
                let event = Event::RunSubmitted {
                    objective: row.objective.clone(),
                };
                tx.append(row.id, &[(None, event)]).await.map_err(internal)?;
                tx.insert_effect(row.id, &Effect::Prepare).await.map_err(internal)?;
                tx.commit().await.map_err(internal)?;
                telemetry::run::started();
                self.context.wake.committed();
                Ok(Submitted {
                    id: row.id,
                    state: RunState::Planning,
                    created: true,
                })
            }
            Saved::Earlier { id, state, request } if request == row.request => Ok(Submitted {
                id,
                state,
                created: false,
            }),
            Saved::TooMany { open } => Err(SubmitError::TooManyRuns {
                open,
                limit: row.limits.open_runs,
            }),
            Saved::Earlier { id, .. } => Err(SubmitError::KeyReused {
                key: row.idempotency_key.unwrap_or_default(),
                run: id,
            }),
        }
    }

    /// The requested or configured model, if its provider is known and has its key, and it has a price if dollars are
    /// capped.
    fn model(
        &self,
        field: &'static str,
        requested: Option<&ModelRef>,
        configured: Option<&ModelRef>,
        capped: bool,
    ) -> Result<ModelRef, SubmitError> {
        let Some(model) = requested.or(configured) else {
            let problem = FieldProblem {
                field,
                value: "(none)".into(),
                message: "no model is named, and none is configured".into(),
                hint: format!(
                    "name provider and model in orch_config.{field} (such as openai and gpt-4.1), or set \
                     ORCHESTRATOR_{}, or models in the configuration",
                    field.to_uppercase()
                ),
            };
            return Err(SubmitError::Unusable(problem));
        };
        let is_name =
            |text: &str| !text.trim().is_empty() && text.chars().count() <= MODEL_CHARACTERS && !text.contains('\0');
        if !is_name(&model.model) || !is_name(&model.provider) {
            let problem = FieldProblem {
                field,
                value: first_line(&model.to_string(), 80),
                message: format!("provider and model name must have 1 to {MODEL_CHARACTERS} characters"),
                hint: "a model is named as provider and model_name, such as openai and gpt-4o".into(),
            };
            return Err(SubmitError::Invalid(problem));
        }
        self.context.models.check(model, capped).map_err(|error| {
            let (value, message) = (model.to_string(), error.to_string());
            let hint = "`orchestrator config` shows the configured providers; `orchestrator doctor` checks their keys";
            let problem = FieldProblem {
                field,
                value,
                message,
                hint: hint.to_owned(),
            };
            match error {
                llm::Error::UnknownProvider { .. } => SubmitError::Invalid(problem),
                _ => SubmitError::Unusable(problem),
            }
        })?;
        Ok(model.clone())
    }

    /// The canonical path of the workspace. Changes nothing there.
    async fn workspace(&self, new: &NewRun) -> Result<PathBuf, SubmitError> {
        let unversioned = match new.initialise {
            true => Unversioned::Initialised,
            false => Unversioned::Refused,
        };
        let (admission, asked) = (self.context.admission.clone(), new.workspace.clone());
        let admitted = blocking(move || admission.admit(&asked, unversioned)).await;
        let shown = || first_line(&new.workspace.display().to_string(), PATH_BYTES);
        admitted.map(|admitted| admitted.path).map_err(|refused| {
            let (field, value) = match &refused {
                NotAdmitted::NotEmpty { .. } => ("initialise", "false".to_owned()),
                _ => ("workspace_path", shown()),
            };
            let problem = FieldProblem {
                field,
                value,
                message: refused.to_string(),
                hint: refused.hint().to_owned(),
            };
            match refused {
                NotAdmitted::Relative { .. } | NotAdmitted::TooLong { .. } | NotAdmitted::Nul => {
                    SubmitError::Invalid(problem)
                }
                // The obstacle is on this machine and may be removed.
                _ => SubmitError::Unusable(problem),
            }
        })
    }
}

/// The request as it is stored and compared with a repeat. Fields that older runs do not have are included only if set.
fn request_document(new: &NewRun, objective: &str, [director, worker]: [&ModelRef; 2]) -> Value {
    let mut document = json!({
        "objective": objective, "workspace": new.workspace, "director": director, "worker": worker,
        "check": new.check, "limits": new.limits,
    });
    if let Some(allow) = new.allow_integrity_flags {
        document["allow_integrity_flags"] = json!(allow);
    }
    if new.initialise {
        document["initialise"] = json!(true);
    }
    document
}

fn check_texts(new: &NewRun) -> Result<(), SubmitError> {
    let invalid = |field, value: &str, message: String, hint: &str| {
        Err(SubmitError::Invalid(FieldProblem {
            field,
            value: first_line(value, 80),
            message,
            hint: hint.to_owned(),
        }))
    };
    if new.objective.trim().is_empty() {
        return invalid(
            "objective",
            &new.objective,
            "the objective is empty".into(),
            "describe the goal in words",
        );
    }
    if new.objective.len() > OBJECTIVE_BYTES {
        let message = format!(
            "the objective is {} bytes long; at most {OBJECTIVE_BYTES} are accepted",
            new.objective.len()
        );
        return invalid(
            "objective",
            &new.objective,
            message,
            "put the details into a file of the repository and name it",
        );
    }
    if new.objective.contains('\0') {
        return invalid(
            "objective",
            "",
            "the objective holds a NUL character".into(),
            "remove it",
        );
    }
    if let Some(key) = &new.idempotency_key
        && (key.is_empty() || key.len() > KEY_BYTES || !key.bytes().all(|byte| matches!(byte, b' '..=b'~')))
    {
        let message = format!("an idempotency key has 1 to {KEY_BYTES} characters of ASCII");
        return invalid("Idempotency-Key", key, message, "use a UUID");
    }
    if let Some(check) = &new.check
        && (check.trim().is_empty() || check.len() > CHECK_BYTES || check.contains('\0'))
    {
        let message = format!("a check command has 1 to {CHECK_BYTES} bytes");
        return invalid(
            "check",
            check,
            message,
            "name a shell command, or leave the field out for detection",
        );
    }
    if let Some(check) = &new.check {
        let masked = telemetry::secrets::redacted(check);
        if masked != check.as_str() {
            return invalid(
                "check",
                &masked,
                "the check command holds what looks like a secret, and it is stored and shown".into(),
                "let it read the secret from a file or a variable of its own",
            );
        }
    }
    Ok(())
}

fn check_limits(limits: &domain::limits::RunLimits) -> Result<(), SubmitError> {
    let at_least_one = [
        ("limits.active_tasks", u64::from(limits.active_tasks)),
        ("limits.tasks", u64::from(limits.tasks)),
        ("limits.failures", u64::from(limits.failures)),
        ("limits.turns", u64::from(limits.turns)),
        ("limits.run_s", limits.run_s),
        ("limits.gate_s", limits.gate_s),
    ];
    match at_least_one
        .into_iter()
        .find(|(_, value)| *value == 0 || *value > 1 << 31)
    {
        Some((field, value)) => Err(SubmitError::Invalid(FieldProblem {
            field,
            value: value.to_string(),
            message: "the limit is out of range".into(),
            hint: format!("give a number from 1 to {}", 1u64 << 31),
        })),
        None => Ok(()),
    }
}

fn internal(error: impl std::fmt::Display) -> SubmitError {
    SubmitError::Internal(error.to_string())
}
