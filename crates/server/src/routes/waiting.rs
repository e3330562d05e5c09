//! Merges of all runs, and answering those that wait for a person: as documents, and by the forms of their pages.

use crate::{
    body, convert, pages,
    problem::{self, Refusal},
    state::App,
};
use api::{AnsweredMerge, MergeDetail, MergeLines, NewResolution, PathAnswer, Problem, RejectedWork, ReturnedWork};
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

/// The decision about a path that withdraws one: the layers are asked once more.
const LAYERS: &str = "layers";
/// A resolution holds whole files, each text up to twice as long as what it stands for.
const BODY_BYTES: usize = 8 * engine::ANSWER_BYTES;

/// Which merges to list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// Only merges that stand there, such as `waiting`.
    state: Option<String>,
    /// At most so many, up to 200.
    limit: Option<u32>,
}

/// List merges
///
/// Of all runs, newest first. Those in the state `waiting` wait for a person.
#[utoipa::path(
    get,
    path = "/merges",
    operation_id = "list_all_merges",
    tag = "Merges",
    params(ListQuery),
    responses(
        (status = 200, body = MergeLines, description = "The merges."),
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
        invalid("query", found, error.body_text(), "known are: state, limit".into())
    })?;
    let state = match query.state.as_deref() {
        Some(text) => Some(MergeState::parse(text).ok_or_else(|| {
            let known = MergeState::ALL.map(MergeState::as_str).join(", ");
            invalid(
                "state",
                text,
                "there is no such state of a merge".into(),
                format!("known are: {known}"),
            )
        })?),
        None => None,
    };
    let limit = super::runs::page(query.limit)?;
    let merges = app.engine.views().merge_lines(state, limit).await?;
    if pages::wanted(request.headers()) {
        return Ok(pages::html(pages::merges(&merges, state)));
    }
    let merges = merges.into_iter().map(convert::merge_line).collect();
    Ok(Json(MergeLines { merges }).into_response())
}

/// Show a merge
///
/// With the conflict it met last: the three versions of each path, the hunks, and who tried what. To a browser this is
/// a page on which a merge that waits can be answered.
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
/// The merge goes back into the queue at once. What is decided holds for the versions that were looked at, and goes
/// through the gate like everything else. A path with the decision `layers` goes through the layers once more, and what
/// was answered about it before is withdrawn; one that is left out keeps its answer, and goes through the layers where
/// it has none. Without `tip` the answer is for the conflict that waits now, whatever was looked at.
#[utoipa::path(
    post,
    path = "/merges/{id}/resolution",
    operation_id = "resolve_merge",
    tag = "Merges",
    params(("id" = i64, Path, description = "The merge's number.")),
    request_body = NewResolution,
    responses(
        (status = 202, body = AnsweredMerge, description = "It is in the queue again."),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "There is no such merge."),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "It does not wait for a person, or asks about another conflict by now."),
        (status = 422, body = Problem, content_type = "application/problem+json", description = "A path or a content can't be used; nothing has changed.")
    )
)]
pub(crate) async fn resolve(
    State(app): State<App>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let merge = merge_id(&id)?;
    if !body::is_form(request.headers()) {
        let new: NewResolution = body::json(request, BODY_BYTES, &app.settings).await?;
        // Whether there is such a merge comes before what can be decided about it.
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

/// Send the work of a merge that waits back to its worker
///
/// With a note, for one more try: it does not count as a failure.
#[utoipa::path(
    post,
    path = "/merges/{id}/return",
    operation_id = "return_merge",
    tag = "Merges",
    params(("id" = i64, Path, description = "The merge's number.")),
    request_body = ReturnedWork,
    responses(
        (status = 202, body = AnsweredMerge, description = "The task can be claimed again."),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "There is no such merge."),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "It does not wait for a person.")
    )
)]
pub(crate) async fn send_back(
    State(app): State<App>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let merge = merge_id(&id)?;
    if !body::is_form(request.headers()) {
        let work: ReturnedWork = body::json(request, app.settings.body_bytes, &app.settings).await?;
        let by = work.by.unwrap_or_default();
        app.engine.send_merge_back(merge, &work.note, &by).await?;
        return accepted(&app, merge).await;
    }
    let note = field(body::form(request, BODY_BYTES, &app.settings).await?, "note");
    let sent = app.engine.send_merge_back(merge, &note, "").await;
    answered_by_form(&app, merge, sent).await
}

/// Give up the work of a merge that waits
///
/// Its task fails for the reason given, and what depends on it is not done.
#[utoipa::path(
    post,
    path = "/merges/{id}/reject",
    operation_id = "reject_merge",
    tag = "Merges",
    params(("id" = i64, Path, description = "The merge's number.")),
    request_body = RejectedWork,
    responses(
        (status = 202, body = AnsweredMerge, description = "The task has failed."),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "There is no such merge."),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "It does not wait for a person.")
    )
)]
pub(crate) async fn reject(
    State(app): State<App>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let merge = merge_id(&id)?;
    if !body::is_form(request.headers()) {
        let work: RejectedWork = body::json(request, app.settings.body_bytes, &app.settings).await?;
        let by = work.by.unwrap_or_default();
        app.engine.give_merge_up(merge, &work.reason, &by).await?;
        return accepted(&app, merge).await;
    }
    let reason = field(body::form(request, BODY_BYTES, &app.settings).await?, "reason");
    let given_up = app.engine.give_merge_up(merge, &reason, "").await;
    answered_by_form(&app, merge, given_up).await
}

async fn decide(app: &App, merge: MergeId, new: NewResolution) -> Result<(), Refusal> {
    let choices = new.paths.into_iter().map(choice).collect::<Result<Vec<_>, _>>()?;
    let by = new.by.unwrap_or_default();
    Ok(app
        .engine
        .resolve_merge(merge, choices, new.tip.as_deref(), &by)
        .await?)
}

fn choice(answer: PathAnswer) -> Result<(String, Option<Choice>), Refusal> {
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
        .hint("it is ours, theirs, delete or layers, without a content, or content with one")
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

/// The page of a merge; after a form that could not be acted on, with what was wrong and what was typed.
async fn page(app: &App, merge: MergeId, refused: Option<(Refusal, NewResolution)>) -> Result<Response, Refusal> {
    let detail = detail(app, merge).await?;
    let run = app.engine.views().run(detail.run).await?;
    let last_event = run.map_or(0, |run| run.last_event);
    let (refusal, typed) = refused.unzip();
    let status = refusal.as_ref().map(|refusal| refusal.0.status);
    let typed = typed.unwrap_or_default().paths;
    let typed: BTreeMap<String, PathAnswer> = typed.into_iter().map(|own| (own.path.clone(), own)).collect();
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
        Err(error) => page(app, merge, Some((error.into(), NewResolution::default()))).await,
    }
}

/// Where a browser goes on after a form.
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
    let answered = AnsweredMerge {
        id: merge.0,
        run,
        run_short: run.short(),
        state: view.state,
    };
    Ok((StatusCode::ACCEPTED, Json(answered)).into_response())
}

/// The fields of a page's form: for each path, numbered, its name, the decision and the text.
fn resolution_of(fields: Vec<(String, String)>) -> NewResolution {
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
        paths.push(PathAnswer {
            path,
            decision,
            content,
        });
    }
    NewResolution {
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
    fn a_form_keeps_the_line_ends_of_each_file() {
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
