//! OpenAPI schemas of the domain's types.

use domain::{
    delivery::{DeliveryResult, DeliveryStep},
    integrity::IntegrityFlagKind,
    merge::MergeState,
    run::{CheckSource, ReasonCode, RunState},
    task::TaskState,
};
use utoipa::openapi::{ObjectBuilder, schema::Type};

fn one_of(names: impl IntoIterator<Item = &'static str>) -> utoipa::openapi::schema::Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(names))
        .build()
}

pub(crate) fn run_state() -> utoipa::openapi::schema::Object {
    one_of(RunState::ALL.map(RunState::as_str))
}

pub(crate) fn task_state() -> utoipa::openapi::schema::Object {
    one_of(TaskState::ALL.map(TaskState::as_str))
}

pub(crate) fn merge_state() -> utoipa::openapi::schema::Object {
    one_of(MergeState::ALL.map(MergeState::as_str))
}

pub(crate) fn integrity_flag_kind() -> utoipa::openapi::schema::Object {
    one_of(IntegrityFlagKind::NAMES)
}

pub(crate) fn decision() -> utoipa::openapi::schema::Object {
    one_of(["ours", "theirs", "delete", "content", "layers"])
}

pub(crate) fn delivery_step() -> utoipa::openapi::schema::Object {
    one_of(DeliveryStep::ALL.map(DeliveryStep::as_str))
}

pub(crate) fn delivery_result() -> utoipa::openapi::schema::Object {
    one_of(DeliveryResult::ALL.map(DeliveryResult::as_str))
}

pub(crate) fn reason_code() -> utoipa::openapi::schema::Object {
    use ReasonCode as Code;
    one_of(
        [
            Code::Workspace,
            Code::Plan,
            Code::Model,
            Code::Budget,
            Code::Limit,
            Code::Worker,
            Code::Gate,
            Code::Conflict,
            Code::Task,
            Code::Dependency,
            Code::Poison,
            Code::Moved,
            Code::Delivery,
            Code::Asked,
            Code::Internal,
        ]
        .map(Code::as_str),
    )
}

pub(crate) fn check_source() -> utoipa::openapi::schema::Object {
    one_of(
        [
            CheckSource::Request,
            CheckSource::Configuration,
            CheckSource::Detected,
            CheckSource::NotConfigured,
        ]
        .map(|source| match source {
            CheckSource::Request => "request",
            CheckSource::Configuration => "configuration",
            CheckSource::Detected => "detected",
            CheckSource::NotConfigured => "not_configured",
        }),
    )
}
