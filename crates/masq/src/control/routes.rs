//! Paths to methods of [`Gateway`], and nothing else.

use std::sync::Arc;

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use masq_api::{Error, ErrorKind, FlowQuery, ReleaseRequest, ReloadRequest};
use serde::Serialize;

use super::Gateway;

type Shared = Arc<dyn Gateway>;

/// The whole API over one gateway.
pub(crate) fn router(gateway: Shared) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/flows", get(flows))
        .route("/v1/mappings", get(mappings))
        .route("/v1/stats", get(stats))
        .route("/v1/reload", post(reload))
        .route("/v1/release", post(release))
        .route("/v1/stop", post(stop))
        .fallback(not_found)
        .with_state(gateway)
}

async fn status(State(gateway): State<Shared>) -> Response {
    answer(move || gateway.status()).await
}

async fn flows(
    State(gateway): State<Shared>,
    query: Result<Query<FlowQuery>, QueryRejection>,
) -> Response {
    match query {
        Ok(Query(query)) => answer(move || gateway.flows(&query)).await,
        Err(rejection) => refuse(rejection.body_text()),
    }
}

async fn mappings(
    State(gateway): State<Shared>,
    query: Result<Query<FlowQuery>, QueryRejection>,
) -> Response {
    match query {
        Ok(Query(query)) => answer(move || gateway.mappings(&query)).await,
        Err(rejection) => refuse(rejection.body_text()),
    }
}

async fn stats(State(gateway): State<Shared>) -> Response {
    answer(move || gateway.stats()).await
}

async fn reload(
    State(gateway): State<Shared>,
    request: Result<Json<ReloadRequest>, JsonRejection>,
) -> Response {
    match request {
        Ok(Json(request)) => answer(move || gateway.reload(request)).await,
        Err(rejection) => refuse(rejection.body_text()),
    }
}

async fn release(
    State(gateway): State<Shared>,
    request: Result<Json<ReleaseRequest>, JsonRejection>,
) -> Response {
    match request {
        Ok(Json(request)) => answer(move || gateway.release(&request)).await,
        Err(rejection) => refuse(rejection.body_text()),
    }
}

async fn stop(State(gateway): State<Shared>) -> Response {
    answer(move || {
        let status = gateway.status();
        gateway.stop();
        status
    })
    .await
}

async fn not_found() -> Response {
    failure(Error {
        kind: ErrorKind::NotFound,
        message: "there is no such page".to_owned(),
        help: Some(
            "the API is under /v1: status, flows, mappings, stats, reload, \
                   release, stop"
                .to_owned(),
        ),
    })
}

/// Runs a call that may wait for the worker away from the control thread.
async fn answer<T: Serialize + Send + 'static>(
    call: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Response {
    match tokio::task::spawn_blocking(call).await {
        Ok(Ok(value)) => Json(value).into_response(),
        Ok(Err(error)) => failure(error),
        Err(lost) => failure(Error {
            kind: ErrorKind::Failed,
            message: format!("the request was lost: {lost}"),
            help: None,
        }),
    }
}

fn refuse(message: String) -> Response {
    failure(Error { kind: ErrorKind::Request, message, help: None })
}

fn failure(error: Error) -> Response {
    let status = match error.kind {
        ErrorKind::Configuration => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Request => StatusCode::BAD_REQUEST,
        ErrorKind::Failed | _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    (status, Json(error)).into_response()
}
