//! The command line's side of the control API: HTTP over the instance's Unix socket.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use masq_api::{
    Error, FlowPage, FlowQuery, MappingPage, ReleaseRequest, ReloadPlan, ReloadRequest, StatsView,
    Status,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

/// Asks one instance; a connection for each question.
#[derive(Debug)]
pub(crate) struct Client {
    instance: String,
    path: PathBuf,
}

impl Client {
    pub(crate) fn new(instance: &str, path: &Path) -> Self {
        Self { instance: instance.to_owned(), path: path.to_owned() }
    }

    pub(crate) async fn status(&self) -> Result<Status> {
        self.ask(Method::GET, "/v1/status", &()).await
    }

    pub(crate) async fn stats(&self) -> Result<StatsView> {
        self.ask(Method::GET, "/v1/stats", &()).await
    }

    pub(crate) async fn flows(&self, query: &FlowQuery) -> Result<FlowPage> {
        self.ask(Method::GET, &with_query("/v1/flows", query)?, &()).await
    }

    pub(crate) async fn mappings(&self, query: &FlowQuery) -> Result<MappingPage> {
        self.ask(Method::GET, &with_query("/v1/mappings", query)?, &()).await
    }

    pub(crate) async fn reload(&self, request: ReloadRequest) -> Result<ReloadPlan> {
        self.ask(Method::POST, "/v1/reload", &request).await
    }

    pub(crate) async fn release(&self, request: ReleaseRequest) -> Result<Status> {
        self.ask(Method::POST, "/v1/release", &request).await
    }

    pub(crate) async fn stop(&self) -> Result<Status> {
        self.ask(Method::POST, "/v1/stop", &()).await
    }

    /// Whether a daemon answers on the socket.
    pub(crate) async fn is_running(&self) -> bool {
        UnixStream::connect(&self.path).await.is_ok()
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &(impl Serialize + Sync),
    ) -> Result<T> {
        let stream = UnixStream::connect(&self.path).await.map_err(|error| self.absent(error))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .context("the control socket does not speak HTTP")?;
        let connection = tokio::spawn(connection);
        let body = if method == Method::POST {
            serde_json::to_vec(body).context("cannot encode the request")?
        } else {
            Vec::new()
        };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, "masq")
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .context("cannot make the request")?;
        let lost = || format!("masq (instance {}) did not answer {path}", self.instance);
        let response = sender.send_request(request).await.with_context(lost)?;
        let status = response.status();
        let body = response.into_body().collect().await.with_context(lost)?.to_bytes();
        connection.abort();
        if status.is_success() {
            return serde_json::from_slice(&body).with_context(|| {
                format!(
                    "the answer to {path} is not understood: are masq and its daemon one version?"
                )
            });
        }
        match serde_json::from_slice::<Error>(&body) {
            Ok(error) => Err(anyhow!(error)),
            Err(_) => bail!("masq (instance {}) answered {path} with {status}", self.instance),
        }
    }

    /// Why nobody answers, and what to do.
    fn absent(&self, error: io::Error) -> anyhow::Error {
        let Self { instance, path } = self;
        let kind = error.kind();
        if matches!(kind, io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) {
            return anyhow!(
                "masq is not running (instance {instance}): nobody listens on {}\n\
                 start it with `masq run --inside IF --outside IF` or \
                 `masq run --config /etc/masq/masq.toml`{}",
                path.display(),
                others(path),
            );
        }
        if kind == io::ErrorKind::PermissionDenied {
            return anyhow!(
                "no permission for {}: run this as root, or as a member of the socket's group",
                path.display()
            );
        }
        anyhow!(error).context(format!("cannot connect to {}", path.display()))
    }
}

/// Names instances whose sockets are there, since a forgotten --instance is the usual mistake.
fn others(path: &Path) -> String {
    let Some(entries) = path.parent().and_then(|directory| directory.read_dir().ok()) else {
        return String::new();
    };
    let mut names: Vec<_> = entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|other| other != path && other.extension().is_some_and(|end| end == "sock"))
        .filter_map(|other| Some(other.file_stem()?.to_string_lossy().into_owned()))
        .collect();
    names.sort();
    if names.is_empty() {
        return String::new();
    }
    format!("\nthere are other instances: --instance {}", names.join(", --instance "))
}

fn with_query(path: &str, query: &FlowQuery) -> Result<String> {
    // Every value of the query is a word, a number or an address, so little needs escaping.
    let value = serde_json::to_value(query).context("cannot encode the query")?;
    let pairs = value.as_object().into_iter().flatten().map(|(key, value)| {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        format!("{key}={}", escape(&value))
    });
    let pairs: Vec<_> = pairs.collect();
    Ok(if pairs.is_empty() { path.to_owned() } else { format!("{path}?{}", pairs.join("&")) })
}

/// RFC 3986 percent-encoding of everything but unreserved characters.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use core::net::IpAddr;
    use core::sync::atomic::Ordering;
    use std::sync::Arc;

    use super::*;
    use crate::control::gateway::fake::Fake;
    use crate::control::routes;
    use crate::control::socket::Socket;

    /// A daemon of canned answers on a socket of its own, and a client of it.
    fn daemon(name: &str) -> (Client, Arc<Fake>, Socket) {
        let path = std::env::temp_dir()
            .join(format!("masq-client-{}-{name}", std::process::id()))
            .join("test.sock");
        let socket = Socket::bind("test", &path).unwrap();
        let listener = socket.listener.try_clone().unwrap();
        let listener = tokio::net::UnixListener::from_std(listener).unwrap();
        let gateway = Arc::new(Fake::default());
        let router = routes::router(Arc::<Fake>::clone(&gateway));
        tokio::spawn(async move { axum::serve(listener, router).await });
        (Client::new("test", &path), gateway, socket)
    }

    #[tokio::test]
    async fn questions_and_answers() {
        let (client, gateway, _socket) = daemon("answers");
        assert_eq!(client.status().await.unwrap().instance, "test");
        assert_eq!(client.stats().await.unwrap().table.sessions, 3);
        let query = FlowQuery {
            after: Some(1),
            inside: Some(IpAddr::from([192, 168, 1, 3])),
            ..FlowQuery::default()
        };
        let page = client.flows(&query).await.unwrap();
        assert_eq!((page.flows[0].slot, page.next), (1, Some(2)));
        assert!(client.mappings(&FlowQuery::default()).await.unwrap().mappings.is_empty());
        client.stop().await.unwrap();
        assert!(gateway.stopped.load(Ordering::Acquire));
    }

    #[tokio::test]
    async fn a_refusal_carries_its_reason() {
        let (client, _gateway, _socket) = daemon("refusal");
        assert!(!client.reload(ReloadRequest { dry_run: true }).await.unwrap().applied);
        let error = client.reload(ReloadRequest { dry_run: false }).await.unwrap_err();
        assert_eq!(error.to_string(), "masq.toml:1:1: no\nnothing was changed");
        let error = client.ask::<Status>(Method::GET, "/v1/nothing", &()).await.unwrap_err();
        assert!(error.to_string().starts_with("there is no such page"), "{error}");
        let error = client.ask::<Status>(Method::GET, "/v1/flows?colour=red", &()).await;
        assert!(error.unwrap_err().to_string().contains("colour"));
    }

    #[tokio::test]
    async fn without_a_daemon_the_message_says_how_to_start_one() {
        let client = Client::new("absent", Path::new("/nonexistent/absent.sock"));
        let error = client.status().await.unwrap_err().to_string();
        assert!(error.starts_with("masq is not running (instance absent)"), "{error}");
        assert!(error.contains("masq run --inside IF --outside IF"), "{error}");
    }

    #[test]
    fn a_query_is_escaped() {
        let query = FlowQuery { state: Some("a b&c".into()), ..FlowQuery::default() };
        assert_eq!(with_query("/x", &query).unwrap(), "/x?state=a%20b%26c");
        assert_eq!(with_query("/x", &FlowQuery::default()).unwrap(), "/x");
    }
}
