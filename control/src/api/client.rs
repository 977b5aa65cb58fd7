//! The client of the API, as the commands use it: one request at a time.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{Method, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use super::{APPLY_LIMIT, Applied, Cleared, Problem};
use crate::config::{Change, Subject, Verb};
use crate::report::Kind;

/// The server has limits of its own; this one is for a server that hangs altogether.
const REQUEST_LIMIT: Duration = APPLY_LIMIT.saturating_add(Duration::from_secs(10));

/// Why there is no answer, or not the one that was hoped for.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error("{}: no appliance answers here ({error}); is `adit run` running, and is this its api.socket?", path.display())]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// We may not.
    #[error("{}: permission denied; the socket is for its owner and group", path.display())]
    Forbidden {
        /// The socket.
        path: PathBuf,
    },
    /// The appliance refuses, and says why.
    #[error(transparent)]
    Refused(#[from] Box<Problem>),
    /// The conversation broke.
    #[error("{}: {what}", path.display())]
    Broken {
        /// The socket.
        path: PathBuf,
        /// How.
        what: String,
    },
}

/// Speaks to the appliance behind one socket.
#[derive(Debug, Clone)]
pub struct Client {
    path: PathBuf,
}

impl Client {
    /// For the appliance that listens on `path`. Nothing is tried yet.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// Asks for a report, which is JSON: a large one is better not read into a tree. With `buckets`, histograms
    /// come whole.
    pub fn show(
        &self,
        kind: Kind,
        name: Option<&str>,
        buckets: bool,
    ) -> Result<Bytes, ClientError> {
        let query = if buckets { "?buckets=yes" } else { "" };
        self.ask(Method::GET, &format!("/v1/{kind}{}{query}", segment(name)), None::<&()>)
    }

    /// Puts a configuration in force. `path` is absolute.
    pub fn apply(&self, path: &Path) -> Result<Applied, ClientError> {
        self.request(Method::POST, "/v1/apply", Some(&serde_json::json!({ "path": path })))
    }

    /// Changes one tunnel or route; returns when every worker runs the change.
    pub fn change(&self, change: &Change) -> Result<Applied, ClientError> {
        let (kind, name, query) = match &change.subject {
            Subject::Tunnel(name) => (Kind::Tunnels, name, String::new()),
            Subject::Route(to, None) => (Kind::Routes, to, String::new()),
            Subject::Route(to, Some(metric)) => (Kind::Routes, to, format!("?metric={metric}")),
        };
        let (method, entry) = match &change.verb {
            Verb::Put(entry) => (Method::PUT, Some(entry)),
            Verb::Patch(entry) => (Method::PATCH, Some(entry)),
            Verb::Remove => (Method::DELETE, None),
        };
        self.request(method, &format!("/v1/{kind}{}{query}", segment(Some(name))), entry)
    }

    /// Clears `counters` or `neighbors`.
    pub fn clear(&self, what: &str, name: Option<&str>) -> Result<Cleared, ClientError> {
        self.request(Method::POST, &format!("/v1/clear/{what}{}", segment(name)), None::<&()>)
    }

    fn request<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T, ClientError> {
        serde_json::from_slice(&self.ask(method, path, body)?)
            .map_err(|error| self.broken(format!("the answer is not understood: {error}")))
    }

    fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<Bytes, ClientError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map_err(|error| self.broken(error.to_string()))?;
        let body = match body {
            Some(body) => {
                serde_json::to_vec(body).map_err(|error| self.broken(error.to_string()))?
            }
            None => Vec::new(),
        };
        let exchange = self.exchange(method, path, body);
        let (status, answer) = runtime
            .block_on(async { tokio::time::timeout(REQUEST_LIMIT, exchange).await })
            .map_err(|_| {
                self.broken(format!("no answer within {} s", REQUEST_LIMIT.as_secs()))
            })??;
        if !status.is_success() {
            let problem: Problem = serde_json::from_slice(&answer)
                .map_err(|_| self.broken(format!("answered {status} without saying why")))?;
            return Err(ClientError::Refused(Box::new(problem)));
        }
        Ok(answer)
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<(StatusCode, Bytes), ClientError> {
        let stream = UnixStream::connect(&self.path).await.map_err(|error| {
            let path = self.path.clone();
            match error.kind() {
                io::ErrorKind::PermissionDenied => ClientError::Forbidden { path },
                _ => ClientError::Unreachable { path, error },
            }
        })?;
        let broken = |error: hyper::Error| self.broken(error.to_string());
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
        let (mut sender, connection) = handshake.await.map_err(broken)?;
        let connection = tokio::spawn(connection);
        let request = hyper::Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "adit")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| self.broken(error.to_string()))?;
        let response = sender.send_request(request).await.map_err(broken)?;
        let status = response.status();
        let answer = response.into_body().collect().await.map_err(broken)?.to_bytes();
        connection.abort();
        Ok((status, answer))
    }

    fn broken(&self, what: String) -> ClientError {
        ClientError::Broken { path: self.path.clone(), what }
    }
}

/// A name as a segment of a path; nothing where there is no name.
fn segment(name: Option<&str>) -> String {
    let Some(name) = name else { return String::new() };
    let encoded = name.bytes().map(|byte| {
        if byte.is_ascii_alphanumeric() || b"-._~:/".contains(&byte) {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    });
    std::iter::once("/".to_owned()).chain(encoded).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_the_way_through_a_path() {
        assert_eq!(segment(None), "");
        assert_eq!(segment(Some("10.2.0.0/16")), "/10.2.0.0/16");
        assert_eq!(segment(Some("2001:db8::/32")), "/2001:db8::/32");
        assert_eq!(segment(Some("a b?#%é")), "/a%20b%3F%23%25%C3%A9");
    }
}
