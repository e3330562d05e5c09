//! What the errors of lower parts mean to a person at a terminal.

use super::{Failure, Kind};
use api::ClientError;
use store::{
    connect,
    embedded::{EmbeddedError, LockError},
};

impl From<LockError> for Failure {
    fn from(error: LockError) -> Self {
        Self::of(Kind::Environment, error)
    }
}

impl From<EmbeddedError> for Failure {
    fn from(error: EmbeddedError) -> Self {
        Self::of(Kind::Environment, error)
    }
}

impl From<connect::OpenError> for Failure {
    fn from(error: connect::OpenError) -> Self {
        Self::of(Kind::Environment, error)
    }
}

impl From<server::BindError> for Failure {
    fn from(error: server::BindError) -> Self {
        Self::of(Kind::Environment, error)
    }
}

impl From<sandbox::SandboxError> for Failure {
    fn from(error: sandbox::SandboxError) -> Self {
        Self::of(Kind::Environment, error)
    }
}

impl From<engine::Error> for Failure {
    fn from(error: engine::Error) -> Self {
        Self::of(Kind::Environment, error)
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let Some(problem) = error.problem() else {
            return Self::of(Kind::Environment, error);
        };
        let mut failure = Self::new(kind(problem.status), &problem.detail);
        if let Some(field) = &problem.field {
            failure = failure.with("field", field);
        }
        if let Some(value) = &problem.value {
            failure = failure.with("found", value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        }
        failure.hint.clone_from(&problem.hint);
        failure.keep(error)
    }
}

/// What the status of an answer means.
const fn kind(status: u16) -> Kind {
    match status {
        404 => Kind::NotFound,
        409 => Kind::Conflict,
        // The server lacks something; the request is fine.
        502..=504 | 507 => Kind::Environment,
        500.. => Kind::Internal,
        _ => Kind::Usage,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::Problem;

    #[test]
    fn answer_of_a_server_keeps_its_words_and_its_kind() {
        let problem = |status| {
            let problem = Problem::new(status, "some-kind", "A title", "it is so")
                .value(5)
                .hint("do that");
            Failure::from(ClientError::Problem(Box::new(problem)))
        };
        let found = problem(404);
        assert_eq!((found.kind, found.problem.as_str()), (Kind::NotFound, "it is so"));
        assert_eq!(found.hint.as_deref(), Some("do that"));
        assert_eq!(found.details, [("found".to_owned(), "5".to_owned())]);
        let kinds = [422, 409, 503, 500].map(|status| problem(status).kind);
        assert_eq!(kinds, [Kind::Usage, Kind::Conflict, Kind::Environment, Kind::Internal]);
    }
}
