//! What all operations share in the OpenAPI document: schemas of parameters, common error responses.

use crate::settings::Settings;
use api::Problem;
use domain::{merge::MergeState, run::RunState};
use utoipa::openapi::{
    ContentBuilder, ObjectBuilder, OpenApi, Ref, RefOr, Response, Schema, SecurityRequirement,
    path::{Operation, Parameter, ParameterIn},
    schema::{KnownFormat, SchemaFormat, Type},
};

/// A run's id, or the last digits of one.
const RUN_ID: &str = "^([0-9A-Fa-f]{4,32}|[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})$";
/// Visible characters of ASCII, with spaces between them.
const KEY: &str = "^[!-~]([ -~]{0,253}[!-~])?$";

/// The settings of this server that the document shows.
pub(crate) struct Instance<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) providers: Vec<String>,
}

/// Completes every operation of the document.
pub(crate) fn complete(document: &mut OpenApi) {
    for (path, method, operation) in operations(document) {
        for parameter in parameters(operation) {
            if let Some(schema) = parameter_schema(path, parameter) {
                parameter.schema = Some(RefOr::T(schema));
            }
        }
        let takes_body = operation.request_body.is_some();
        let mut add = |status: &str, text: &str| {
            let responses = &mut operation.responses.responses;
            responses.entry(status.to_owned()).or_insert_with(|| problem(text));
        };
        add(
            "400",
            "The request can't be read, or a parameter is unknown or invalid.",
        );
        add("401", "A token is needed.");
        add("403", "The request names another host, or comes from another site.");
        add("500", "The server failed; see its log.");
        add("503", "The server is busy or its database is unavailable; try again.");
        if takes_body {
            add("408", "The body did not arrive in time.");
            add("413", "The body is too large.");
            add("415", "The body is not JSON.");
            add("422", "A field or a value can't be used.");
        }
        if method == "post" && path == "/runs" {
            add("429", "The limit of unfinished runs (`limits.open_runs`) is reached.");
        }
    }
}

/// Adds what is specific to this server: its token and its providers.
pub(crate) fn instance(document: &mut OpenApi, instance: Instance<'_>) {
    document.security = instance
        .settings
        .token
        .as_ref()
        .map(|_| vec![SecurityRequirement::new("token", Vec::<String>::new())]);
    for (path, _, operation) in operations(document) {
        if path == "/healthz" || instance.settings.token.is_none() {
            operation.security = (path == "/healthz").then(Vec::new);
        }
    }
    let choice = document
        .components
        .as_mut()
        .and_then(|components| components.schemas.get_mut("ModelChoice"));
    if let Some(RefOr::T(Schema::Object(choice))) = choice {
        let providers = ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some("The provider's name in the server's configuration."))
            .enum_values(Some(instance.providers));
        choice
            .properties
            .insert("provider".to_owned(), RefOr::T(providers.into()));
    }
}

/// All operations with path and method.
pub(crate) fn operations(document: &mut OpenApi) -> impl Iterator<Item = (&str, &'static str, &mut Operation)> {
    document.paths.paths.iter_mut().flat_map(|(path, item)| {
        let of_path = [("get", item.get.as_mut()), ("post", item.post.as_mut())];
        of_path
            .into_iter()
            .filter_map(move |(method, operation)| Some((path.as_str(), method, operation?)))
    })
}

/// The parameters of an operation; the document defines all of them inline.
pub(crate) fn parameters(operation: &mut Operation) -> impl Iterator<Item = &mut Parameter> {
    let all = operation.parameters.iter_mut().flatten();
    all.filter_map(|parameter| match parameter {
        RefOr::T(parameter) => Some(parameter),
        RefOr::Ref(_) => None,
    })
}

fn problem(text: &str) -> RefOr<Response> {
    let mut response = Response::new(text);
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem")));
    response
        .content
        .insert(Problem::MEDIA_TYPE.to_owned(), content.build().into());
    RefOr::T(response)
}

fn parameter_schema(path: &str, parameter: &Parameter) -> Option<Schema> {
    let text = || ObjectBuilder::new().schema_type(Type::String);
    let number = |format, least: i64| {
        ObjectBuilder::new()
            .schema_type(Type::Integer)
            .format(Some(SchemaFormat::KnownFormat(format)))
            .minimum(Some(least))
    };
    let schema = match (parameter.name.as_str(), &parameter.parameter_in) {
        ("id", ParameterIn::Path) if path.starts_with("/merges") => {
            number(KnownFormat::Int64, 1).maximum(Some(i64::MAX))
        }
        ("id", ParameterIn::Path) | ("before", ParameterIn::Query) => text().pattern(Some(RUN_ID)),
        ("key", ParameterIn::Path) => text().min_length(Some(1)).max_length(Some(255)),
        ("Idempotency-Key", ParameterIn::Header) => text().min_length(Some(1)).max_length(Some(255)).pattern(Some(KEY)),
        ("Last-Event-ID", ParameterIn::Header) | ("after", ParameterIn::Query) => number(KnownFormat::Int64, 0),
        ("limit", ParameterIn::Query) => number(KnownFormat::Int32, 1).maximum(Some(200)),
        ("state", ParameterIn::Query) if path.starts_with("/merges") => {
            text().enum_values(Some(MergeState::ALL.map(MergeState::as_str)))
        }
        ("state", ParameterIn::Query) => text().enum_values(Some(RunState::ALL.map(RunState::as_str))),
        _ => return None,
    };
    Some(schema.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use utoipa::openapi::Required;

    #[test]
    fn every_parameter_has_a_schema() {
        let mut document = crate::openapi();
        for (path, method, operation) in operations(&mut document) {
            assert!(operation.responses.responses.contains_key("503"), "{method} {path}");
            for parameter in parameters(operation) {
                assert!(
                    parameter_schema(path, parameter).is_some(),
                    "{method} {path}: {}",
                    parameter.name
                );
                let is_required = parameter.required == Required::True;
                assert_eq!(
                    is_required,
                    parameter.parameter_in == ParameterIn::Path,
                    "{}",
                    parameter.name
                );
            }
        }
        let text = serde_json::to_string(&document).unwrap();
        assert!(text.contains("#/components/schemas/Problem"), "{text}");
    }
}
