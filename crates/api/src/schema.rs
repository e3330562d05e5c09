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
    one_of(RunState::NAMES)
}

pub(crate) fn task_state() -> utoipa::openapi::schema::Object {
    one_of(TaskState::NAMES)
}

pub(crate) fn merge_state() -> utoipa::openapi::schema::Object {
    one_of(MergeState::NAMES)
}

pub(crate) fn integrity_flag_kind() -> utoipa::openapi::schema::Object {
    one_of(IntegrityFlagKind::NAMES)
}

pub(crate) fn decision() -> utoipa::openapi::schema::Object {
    one_of(["ours", "theirs", "delete", "content", "layers"])
}

pub(crate) fn delivery_step() -> utoipa::openapi::schema::Object {
    one_of(DeliveryStep::NAMES)
}

pub(crate) fn delivery_result() -> utoipa::openapi::schema::Object {
    one_of(DeliveryResult::NAMES)
}

pub(crate) fn reason_code() -> utoipa::openapi::schema::Object {
    one_of(ReasonCode::NAMES)
}

pub(crate) fn check_source() -> utoipa::openapi::schema::Object {
    one_of(CheckSource::NAMES)
}
