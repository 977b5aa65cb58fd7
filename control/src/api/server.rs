//! The server: one thread, one runtime, a socket.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path as UrlPath, Query, State};
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::oneshot;

use super::problem::{MEDIA_TYPE, Problem};
use super::socket::{Listener, SocketError};
use super::{Answer, Caller, Request};
use crate::config::{Change, Subject, Verb};
use crate::report::{Kind, Report};

/// The largest body of a request: the name of a file, or one tunnel or route.
const BODY_BYTES_MAX: usize = 1 << 16;

/// How long a stop waits for answers that are on their way.
const STOP_LIMIT: Duration = Duration::from_secs(1);

/// The running API. Dropping it stops it and removes the socket.
#[derive(Debug)]
pub struct Server {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens on `path`; requests go to the other end of `caller`.
    pub fn start(path: &Path, caller: Caller) -> Result<Self, SocketError> {
        let failed = |what| move |error| SocketError::System { path: path.to_owned(), what, error };
        let listener = Listener::bind(path)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map_err(failed("start the API"))?;
        let (stop, stopped) = oneshot::channel();
        let serve = move || {
            runtime.block_on(serve(listener, caller, stopped));
            runtime.shutdown_timeout(STOP_LIMIT);
        };
        let thread = thread::Builder::new()
            .name("adit-api".to_owned())
            .spawn(serve)
            .map_err(failed("start the API"))?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn serve(listener: Listener, caller: Caller, stopped: oneshot::Receiver<()>) {
    let Listener { listener, name } = listener;
    let listener = match tokio::net::UnixListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "the API can't take its socket");
            return;
        }
    };
    tokio::select! {
        result = axum::serve(listener, router(caller)).into_future() => {
            if let Err(error) = result {
                tracing::error!(%error, "the API ended");
            }
        }
        // The sender is never used, only dropped.
        _ = stopped => {}
    }
    drop(name);
}

fn router(caller: Caller) -> Router {
    let mut router = Router::new()
        .route("/v1/apply", post(apply))
        .route("/v1/clear/counters", post(clear_counters))
        .route("/v1/clear/counters/{*name}", post(clear_counters))
        .route("/v1/clear/neighbors", post(clear_neighbors))
        .route("/v1/clear/neighbors/{*name}", post(clear_neighbors))
        .route("/v1/clear/pmtu", post(clear_paths))
        .route("/v1/clear/pmtu/{*name}", post(clear_paths))
        .route("/v1/clear/fdb", post(clear_stations))
        .route("/v1/clear/fdb/{*name}", post(clear_stations));
    for kind in Kind::ALL {
        let show = move |state, name, query, method| show(kind, state, name, query, method);
        let word = kind.word();
        let mut named = get(show);
        if let Some(subject) = subject_of(kind) {
            let change = move |state, name, query, method, body| {
                change(subject, state, name, query, method, body)
            };
            named = named.put(change).patch(change).delete(change);
        }
        router = router
            .route(&format!("/v1/{word}"), get(show))
            .route(&format!("/v1/{word}/{{*name}}"), named);
    }
    for word in ["plan", "confirm", "rollback"] {
        router = router.route(&format!("/v1/{word}"), any(not_yet));
    }
    router
        .fallback(no_such_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(caller)
}

type Name = Option<UrlPath<String>>;

/// What can be changed entry by entry, by the name in the path and the metric of the query.
fn subject_of(kind: Kind) -> Option<fn(String, Option<u32>) -> Subject> {
    match kind {
        Kind::Tunnels => Some(|name, _| Subject::Tunnel(name)),
        Kind::Routes => Some(Subject::Route),
        _ => None,
    }
}

/// The query of a change of a route.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    metric: Option<u32>,
}

async fn change(
    subject: fn(String, Option<u32>) -> Subject,
    State(caller): State<Caller>,
    UrlPath(name): UrlPath<String>,
    which: Result<Query<Which>, axum::extract::rejection::QueryRejection>,
    method: Method,
    body: Bytes,
) -> Response {
    let Query(which) = match which {
        Ok(which) => which,
        Err(error) => return Problem::malformed(error.body_text()).into_response(),
    };
    let entry = match method {
        Method::DELETE => Ok(Value::Null),
        _ => serde_json::from_slice(&body),
    };
    let verb = match (entry, method) {
        (Err(error), _) => {
            let detail = format!("the body is not JSON: {error}");
            return Problem::malformed(detail).into_response();
        }
        (Ok(_), Method::DELETE) => Verb::Remove,
        (Ok(entry), Method::PATCH) => Verb::Patch(entry),
        (Ok(entry), _) => Verb::Put(entry),
    };
    let change = Change { subject: subject(name, which.metric), verb };
    answer(&caller, Request::Change(change)).await
}

async fn show(
    kind: Kind,
    State(caller): State<Caller>,
    name: Name,
    Query(query): Query<HashMap<String, String>>,
    method: Method,
) -> Response {
    if matches!(kind, Kind::Events) {
        return Problem::unsupported(&format!("{method} /v1/{kind}")).into_response();
    }
    let name = name.map(|UrlPath(name)| name);
    let request = Request::Show { kind, name: name.clone() };
    let report = match caller.call(request).await {
        Ok(Answer::Report(report)) => report,
        Ok(_) => return Problem::stopping().into_response(),
        Err(problem) => return problem.into_response(),
    };
    let selected = match &name {
        Some(name) => report.select(name),
        None => Some(report),
    };
    match (selected, name) {
        (Some(Report::Latency(latency)), _)
            if query.get("buckets").is_none_or(|word| word != "yes") =>
        {
            Json(Report::Latency(latency.without_buckets())).into_response()
        }
        (Some(report), _) => Json(report).into_response(),
        (None, name) => Problem::no_such(kind, &name.unwrap_or_default()).into_response(),
    }
}

/// The body of `POST /v1/apply`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Apply {
    path: PathBuf,
}

async fn apply(
    State(caller): State<Caller>,
    body: Result<Json<Apply>, axum::extract::rejection::JsonRejection>,
) -> Response {
    let path = match body {
        Ok(Json(Apply { path })) => path,
        Err(error) => {
            return Problem::malformed(error.body_text()).into_response();
        }
    };
    if !path.is_absolute() {
        let detail = format!("path: {} is not absolute", path.display());
        return Problem::malformed(detail).into_response();
    }
    answer(&caller, Request::Apply { path }).await
}

async fn clear_counters(State(caller): State<Caller>, name: Name) -> Response {
    let name = name.map(|UrlPath(name)| name);
    answer(&caller, Request::ClearCounters { name }).await
}

async fn clear_neighbors(State(caller): State<Caller>, name: Name) -> Response {
    let name = name.map(|UrlPath(name)| name);
    answer(&caller, Request::ClearNeighbors { name }).await
}

async fn clear_paths(State(caller): State<Caller>, name: Name) -> Response {
    let name = name.map(|UrlPath(name)| name);
    answer(&caller, Request::ClearPaths { name }).await
}

async fn clear_stations(State(caller): State<Caller>, name: Name) -> Response {
    let name = name.map(|UrlPath(name)| name);
    answer(&caller, Request::ClearStations { name }).await
}

async fn answer(caller: &Caller, request: Request) -> Response {
    match caller.call(request).await {
        Ok(Answer::Report(report)) => Json(report).into_response(),
        //= RFC 9110 §9.3.4: that something was made which was not there is told as 201.
        Ok(Answer::Applied(applied)) if applied.is_new => {
            (StatusCode::CREATED, Json(applied)).into_response()
        }
        Ok(Answer::Applied(applied)) => Json(applied).into_response(),
        Ok(Answer::Cleared(cleared)) => Json(cleared).into_response(),
        Err(problem) => problem.into_response(),
    }
}

async fn not_yet(method: Method, uri: Uri) -> Problem {
    Problem::unsupported(&format!("{method} {}", uri.path()))
}

async fn no_such_path(uri: Uri) -> Problem {
    Problem::no_such_path(uri.path())
}

async fn wrong_method(method: Method, uri: Uri) -> Problem {
    let detail = format!("{method} is not what {} is for", uri.path());
    Problem::new(405, "wrong method", detail)
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, [(header::CONTENT_TYPE, MEDIA_TYPE)], Json(self)).into_response()
    }
}
