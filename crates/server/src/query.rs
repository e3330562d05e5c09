//! Query parameters: each is known to the operation and given once.

use crate::{describe, problem::Refusal};
use api::Problem;
use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::Response,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use utoipa::openapi::{OpenApi, path::ParameterIn};

/// The query parameters of each operation, by method and path.
#[derive(Debug)]
pub(crate) struct Parameters(BTreeMap<(&'static str, String), Vec<String>>);

impl Parameters {
    /// From the OpenAPI document. Operations for monitors accept any parameter.
    pub(crate) fn of(document: &mut OpenApi) -> Self {
        let operations = describe::operations(document);
        let checked = operations.filter(|(_, method, operation)| {
            let is_for_monitors = operation.tags.iter().flatten().any(|tag| tag == "Server");
            *method != "get" || !is_for_monitors
        });
        let named = checked.map(|(path, method, operation)| {
            let all = describe::parameters(operation);
            let own = all.filter(|parameter| parameter.parameter_in == ParameterIn::Query);
            let names = own.map(|parameter| parameter.name.clone()).collect();
            ((method, path.to_owned()), names)
        });
        Self(named.collect())
    }

    fn check(&self, method: &str, path: &str, query: &str) -> Result<(), Refusal> {
        let known = self
            .0
            .iter()
            .find(|((own, at), _)| own.eq_ignore_ascii_case(method) && at == path);
        let Some((_, known)) = known else { return Ok(()) };
        let mut seen = BTreeSet::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let refused = |detail: String, hint: String| {
                let problem = Problem::new(400, "invalid-value", "A parameter can't be used", detail);
                Refusal::from(problem.field(name.clone()).value(value.clone()).hint(hint))
            };
            if !known.iter().any(|own| *own == name) {
                let hint = match api::nearest(&name, known.iter().map(String::as_str)) {
                    Some(meant) => format!("did you mean {meant}?"),
                    None if known.is_empty() => "this operation takes no parameters".to_owned(),
                    None => format!("expected one of: {}", known.join(", ")),
                };
                return Err(refused(format!("there is no parameter {name}"), hint));
            }
            if value.contains('\0') {
                return Err(refused("the value contains a NUL character".into(), "remove it".into()));
            }
            if !seen.insert(name.clone()) {
                return Err(refused(
                    format!("the parameter {name} is given twice"),
                    "give it once".into(),
                ));
            }
        }
        Ok(())
    }
}

/// Rejects a request with an unknown or repeated parameter.
pub(crate) async fn check(
    State(parameters): State<Arc<Parameters>>,
    request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    if let (Some(route), Some(query)) = (request.extensions().get::<MatchedPath>(), request.uri().query()) {
        parameters.check(request.method().as_str(), route.as_str(), query)?;
    }
    Ok(next.run(request).await)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_and_repeated_parameters_are_rejected() {
        let parameters = Parameters::of(&mut crate::openapi());
        let refused = |path: &str, query: &str| {
            let error = parameters.check("GET", path, query).unwrap_err();
            (error.0.status, error.0.hint.unwrap_or_default())
        };
        assert!(parameters.check("GET", "/runs", "state=failed&limit=3").is_ok());
        assert!(parameters.check("GET", "/healthz", "verbose=1").is_ok());
        assert_eq!(refused("/runs", "stat=failed"), (400, "did you mean state?".into()));
        assert_eq!(refused("/runs", "limit=1&limit=1").0, 400);
        assert_eq!(refused("/runs", "before=%00").0, 400);
        assert_eq!(refused("/runs/{id}/tasks", "x=1").0, 400);
    }
}
