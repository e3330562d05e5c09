//! Merges of all runs, and decisions about merges that wait for a person: as JSON, or as forms of the pages.

use crate::{
    body, convert, pages,
    problem::{self, Refusal},
    state::App,
};
use api::{
    DecidedMerge, MergeDetail, MergeSummaries, PathDecision, Problem, RejectRequest, ResolveRequest, ReturnRequest,
};
use axum::{
    Json,
    extract::{Path, Query, Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use domain::{
    MergeId,
    merge::{Choice, MergeState},
};
use engine::AnswerError;
use serde::Deserialize;
use std::collections::BTreeMap;
use utoipa::IntoParams;

/// The decision that withdraws an earlier one and lets the layers try again.
const LAYERS: &str = "layers";
/// A resolution holds whole files, and escaping can double the length of a text.
const BODY_BYTES: usize = 8 * engine::ANSWER_BYTES;

/// Which merges to list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// Only merges in this state, such as `waiting`.
    state: Option<String>,
    /// The most merges to return, up to 200; 50 by default.
    limit: Option<u32>,
}

/// List merges
///
/// Merges of all runs, newest first. A merge in the state `waiting` waits for a person.
#[utoipa::path(
    get,
    path = "/merges",
    operation_id = "list_all_merges",
    tag = "Merges",
    params(ListQuery),
    responses(
        (status = 200, body = MergeSummaries, description = "The merges."),
        (status = 400, body = Problem, content_type = "application/problem+json", description = "A parameter can't be used.")
    )
)]
pub(crate) async fn list(State(app): State<App>, request: Request) -> Result<Response, Refusal> {
    let invalid = |field: &str, value: &str, detail: String, hint: String| {
        let problem = Problem::new(400, "invalid-value", "A value can't be used", detail);
        Refusal::from(problem.field(field).value(value).hint(hint))
    };
    let query = Query::<ListQuery>::try_from_uri(request.uri()).map_err(|error| {
        let found = request.uri().query().unwrap_or_default();
        invalid(
            "query",
            found,
            error.body_text(),
            "expected one of: state, limit".into(),
        )
    })?;
    let state = match query.state.as_deref() {
        Some(text) => Some(MergeState::parse(text).ok_or_else(|| {
            let known = MergeState::ALL.map(MergeState::as_str).join(", ");
            invalid(
                "state",
                text,
                "there is no such state of a merge".into(),
                format!("expected one of: {known}"),
            )
        })?),
        None => None,
    };
    let limit = super::runs::page(query.limit)?;
    let merges = app.engine.views().merge_lines(state, limit).await?;
    if pages::wanted(request.headers()) {
        return Ok(pages::html(pages::merges(&merges, state)));
    }
    let merges = merges.into_iter().map(convert::merge_summary).collect();
    Ok(Json(MergeSummaries { merges }).into_response())
}

/// Show a merge
///
/// With its last conflict: the three versions of each path, the hunks, and every decision. A browser gets a page on which
/// a merge that waits can be decided.
#[utoipa::path(
    get,
    path = "/merges/{id}",
    operation_id = "show_merge",
    tag = "Merges",
    params(("id" = i64, Path, description = "The merge's number.")),
    responses(
        (status = 200, body = MergeDetail, description = "The merge."),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "There is no such merge.")
    )
)]
pub(crate) async fn show(
    State(app): State<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let merge = merge_id(&id)?;
    if pages::wanted(&headers) {
        return page(&app, merge, None).await;
    }
    Ok(Json(detail(&app, merge).await?).into_response())
}

/// Decide conflicts of a merge that waits for a person
///
/// Returns the merge to the queue at once. A decision applies to the shown versions, and its result goes through the gate.
/// The decision `layers` withdraws an earlier one and lets the layers try again. A path that is left out keeps its earlier
/// decision, or goes through the layers. Without `tip`, the decision is about the current conflict.
#[utoipa::path(
    post,
    path = "/merges/{id}/resolution",
    operation_id = "resolve_merge",
    tag = "Merges",
    params(("id" = i64, Path, description = "The merge's number.")),
    request_body = ResolveRequest,
    responses(
        (status = 202, body = DecidedMerge, description = "The merge is in the queue again."),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "There is no such merge."),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "The merge does not wait for a person, or it has another conflict by now."),
        (status = 422, body = Problem, content_type = "application/problem+json", description = "A path or a content can't be used; nothing was changed.")
    )
)]
pub(crate) async fn resolve(
    State(app): State<App>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let merge = merge_id(&id)?;
    if !body::is_form(request.headers()) {
        let new: ResolveRequest = body::json(request, BODY_BYTES, &app.settings).await?;
        // An unknown merge is reported before an invalid decision.
        detail(&app, merge).await?;
        decide(&app, merge, new).await?;
        return accepted(&app, merge).await;
    }
    let new = resolution_of(body::form(request, BODY_BYTES, &app.settings).await?);
    let typed = new.clone();
    match decide(&app, merge, new).await {
        Ok(()) => Ok(see(merge)),
        Err(refusal) => page(&app, merge, Some((refusal, typed))).await,
    }
}

/// Return the work of a merge to its worker
///
/// With a note, for another attempt. This does not count as a failure. Only for a merge that waits for a person.
#[utoipa::path(
    post,
    path = "/merges/{id}/return",
    operation_id = "return_merge",
    tag = "Merges",
    params(("id" = i64, Path, description = "The merge's number.")),
    request_body = ReturnRequest,
    responses(
        (status = 202, body = DecidedMerge, description = "The task is ready for another attempt."),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "There is no such merge."),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "The merge does not wait for a person.")
    )
)]
pub(crate) async fn send_back(
    State(app): State<App>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let merge = merge_id(&id)?;
    if !body::is_form(request.headers()) {
        let work: ReturnRequest = body::json(request, app.settings.body_bytes, &app.settings).await?;
        let by = work.by.unwrap_or_default();
        app.engine.send_merge_back(merge, &work.note, &by).await?;
        return accepted(&app, merge).await;
    }
    let note = field(body::form(request, BODY_BYTES, &app.settings).await?, "note");
    let sent = app.engine.send_merge_back(merge, &note, "").await;
    answered_by_form(&app, merge, sent).await
}

/// Reject the work of a merge
///
/// Its task fails with the given reason, and tasks that depend on it are cancelled. Only for a merge that waits for a person.
#[utoipa::path(
    post,
    path = "/merges/{id}/reject",
    operation_id = "reject_merge",
    tag = "Merges",
    params(("id" = i64, Path, description = "The merge's number.")),
    request_body = RejectRequest,
    responses(
        (status = 202, body = DecidedMerge, description = "The task failed."),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "There is no such merge."),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "The merge does not wait for a person.")
    )
)]
pub(crate) async fn reject(
    State(app): State<App>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let merge = merge_id(&id)?;
    if !body::is_form(request.headers()) {
        let work: RejectRequest = body::json(request, app.settings.body_bytes, &app.settings).await?;
        let by = work.by.unwrap_or_default();
        app.engine.give_merge_up(merge, &work.reason, &by).await?;
        return accepted(&app, merge).await;
    }
    let reason = field(body::form(request, BODY_BYTES, &app.settings).await?, "reason");
    let given_up = app.engine.give_merge_up(merge, &reason, "").await;
    answered_by_form(&app, merge, given_up).await
}

async fn decide(app: &App, merge: MergeId, new: ResolveRequest) -> Result<(), Refusal> {
    let choices = new.paths.into_iter().map(choice).collect::<Result<Vec<_>, _>>()?;
    let by = new.by.unwrap_or_default();
    Ok(app
        .engine
        .resolve_merge(merge, choices, new.tip.as_deref(), &by)
        .await?)
}

fn choice(answer: PathDecision) -> Result<(String, Option<Choice>), Refusal> {
    if answer.decision == LAYERS && answer.content.is_none() {
        return Ok((answer.path, None));
    }
    let content = answer.content.map(String::into_bytes);
    match Choice::parse(&answer.decision, content) {
        Some(choice) => Ok((answer.path, Some(choice))),
        None => Err(Problem::new(
            422,
            "invalid-value",
            "A value can't be used",
            format!("{} can't be decided like that", answer.path),
        )
        .field("paths.decision")
        .value(answer.decision)
        .hint("expected one of: ours, theirs, delete or layers without content, or content with it")
        .into()),
    }
}

async fn detail(app: &App, merge: MergeId) -> Result<MergeDetail, Refusal> {
    let (run, view) = app
        .engine
        .views()
        .merge(merge)
        .await?
        .ok_or_else(|| unknown(&merge.to_string()))?;
    let conflict = app.engine.open_conflict(merge).await?;
    Ok(convert::merge_detail(run, view, conflict))
}

/// The page of a merge; after a form with an error, with that error and the typed values.
async fn page(app: &App, merge: MergeId, refused: Option<(Refusal, ResolveRequest)>) -> Result<Response, Refusal> {
    let detail = detail(app, merge).await?;
    let run = app.engine.views().run(detail.run).await?;
    let last_event = run.map_or(0, |run| run.last_event);
    let (refusal, typed) = refused.unzip();
    let status = refusal.as_ref().map(|refusal| refusal.0.status);
    let typed = typed.unwrap_or_default().paths;
    let typed: BTreeMap<String, PathDecision> = typed.into_iter().map(|own| (own.path.clone(), own)).collect();
    let problem = refusal.map(|refusal| refusal.0);
    let mut response = pages::html(pages::merge(&detail, last_event, problem.as_deref(), &typed));
    if let Some(status) = status.and_then(|status| StatusCode::from_u16(status).ok()) {
        *response.status_mut() = status;
    }
    Ok(response)
}

async fn answered_by_form(app: &App, merge: MergeId, done: Result<(), AnswerError>) -> Result<Response, Refusal> {
    match done {
        Ok(()) => Ok(see(merge)),
        Err(error) => page(app, merge, Some((error.into(), ResolveRequest::default()))).await,
    }
}

/// Redirects a browser to the page after a form.
fn see(merge: MergeId) -> Response {
    (StatusCode::SEE_OTHER, [(header::LOCATION, format!("/merges/{merge}"))]).into_response()
}

async fn accepted(app: &App, merge: MergeId) -> Result<Response, Refusal> {
    let (run, view) = app
        .engine
        .views()
        .merge(merge)
        .await?
        .ok_or_else(|| unknown(&merge.to_string()))?;
    let answered = DecidedMerge {
        id: merge.0,
        run,
        run_short: run.short(),
        state: view.state,
    };
    Ok((StatusCode::ACCEPTED, Json(answered)).into_response())
}

/// The fields of a page's form: for each path, numbered, its name, the decision and the text.
fn resolution_of(fields: Vec<(String, String)>) -> ResolveRequest {
    let mut fields: BTreeMap<String, String> = fields.into_iter().collect();
    let mut paths = Vec::new();
    for number in 0..fields.len() {
        let mut take = |name: &str| fields.remove(&format!("{name}.{number}")).unwrap_or_default();
        let (path, decision, text, line_end) = (take("path"), take("decision"), take("content"), take("line_end"));
        if path.is_empty() || decision.is_empty() {
            continue;
        }
        // Browsers send every line end as CR LF, whatever the file has.
        let text = text.replace("\r\n", "\n");
        let text = match line_end.as_str() {
            "crlf" => text.replace('\n', "\r\n"),
            _ => text,
        };
        let content = (decision == "content").then_some(text);
        paths.push(PathDecision {
            path,
            decision,
            content,
        });
    }
    ResolveRequest {
        paths,
        tip: fields.remove("tip").filter(|tip| !tip.is_empty()),
        by: None,
    }
}

fn field(fields: Vec<(String, String)>, name: &str) -> String {
    let own = fields.into_iter().find(|(own, _)| own == name);
    own.map(|(_, value)| value.replace("\r\n", "\n")).unwrap_or_default()
}

fn merge_id(text: &str) -> Result<MergeId, Refusal> {
    text.parse().map(MergeId).map_err(|_| unknown(text))
}

fn unknown(merge: &str) -> Refusal {
    problem::unknown_merge(merge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn form_keeps_line_ends_of_each_file() {
        let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let form = resolution_of(vec![
            field("tip", "abc"),
            field("path.0", "a"),
            field("decision.0", "content"),
            field("content.0", "1\r\n2\r\n"),
            field("path.1", "b"),
            field("decision.1", "content"),
            field("content.1", "1\r\n"),
            field("line_end.1", "crlf"),
            field("path.2", "c"),
            field("decision.2", "ours"),
            field("content.2", "left alone"),
            field("path.3", "d"),
            field("decision.3", "layers"),
        ]);
        let seen: Vec<_> = form
            .paths
            .iter()
            .map(|own| (own.path.as_str(), own.content.as_deref()))
            .collect();
        assert_eq!(
            seen,
            [("a", Some("1\n2\n")), ("b", Some("1\r\n")), ("c", None), ("d", None)]
        );
        assert_eq!(form.paths[3].decision, LAYERS);
        assert_eq!(form.tip.as_deref(), Some("abc"));
    }
}
