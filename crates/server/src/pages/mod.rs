//! Pages: plain HTML that works without JavaScript. A small script refreshes the page of an unfinished run.

mod flags;
mod merge;
mod run;
mod runs;
mod words;

pub(crate) use merge::{merge, merges};
pub(crate) use run::run;
pub(crate) use runs::runs;

use axum::{
    http::{HeaderMap, HeaderValue, header},
    response::{Html, IntoResponse, Response},
};
use maud::{DOCTYPE, Markup, html};

pub(crate) const STYLE: &str = include_str!("style.css");
pub(crate) const SCRIPT: &str = include_str!("live.js");

/// Whether the client accepts HTML.
pub(crate) fn wanted(headers: &HeaderMap) -> bool {
    let accepted = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    accepted
        .split(',')
        .any(|part| part.split(';').next().unwrap_or_default().trim() == "text/html")
}

/// A page as a response. It loads nothing from other sites, and no other site may frame it.
pub(crate) fn html(page: Markup) -> Response {
    let mut response = Html(page.into_string()).into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; \
             base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
        ),
    );
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Not `no-referrer`: with that, browsers send no usable Origin with forms.
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::VARY, HeaderValue::from_static("Accept"));
    response
}

/// The frame of every page. `live` is the path of the event stream that refreshes it.
pub(crate) fn frame(title: &str, live: Option<&str>, content: Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · Agent Orchestrator" }
                link rel="icon" href="data:,";
                link rel="stylesheet" href="/assets/style.css";
                @if live.is_some() { script src="/assets/live.js" defer {} }
            }
            body {
                header {
                    a.home href="/" { "Agent Orchestrator" }
                    nav { a href="/" { "Runs" } a href="/merges?state=waiting" { "Waiting for you" } a href="/docs" { "API" } a href="/metrics" { "Metrics" } }
                }
                main data-live=[live] { (content) }
            }
        }
    }
}
