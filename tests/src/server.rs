//! Owns the HTTP plumbing both fakes share: background runtime, accept loop, URL helpers.

use std::fmt;
use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, OnceLock};

use axum::body::Body;
use axum::http::{Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::task::{AbortHandle, JoinSet};

/// What a handler answers.
pub(crate) type Reply = Response<Body>;

/// A handler's wish to close the connection without an answer.
#[derive(Debug)]
pub(crate) struct Hangup;

impl fmt::Display for Hangup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("connection closed on purpose")
    }
}

impl std::error::Error for Hangup {}

/// A listening socket that has an address but no handler yet.
pub(crate) struct Bound {
    listener: TcpListener,
    /// Where it listens.
    pub(crate) addr: SocketAddr,
}

/// Binds the loopback interface; port 0 picks a free one.
pub(crate) fn bind(port: u16) -> Bound {
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("loopback port is free");
    listener.set_nonblocking(true).expect("socket can be non-blocking");
    let addr = listener.local_addr().expect("bound socket has an address");
    Bound { listener, addr }
}

/// Stops its server and closes all connections when dropped.
#[derive(Debug)]
pub(crate) struct ServerGuard(AbortHandle);

impl Drop for ServerGuard {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Serves HTTP/1.1 on the background runtime.
pub(crate) fn serve<S, F, Fut>(bound: Bound, state: Arc<S>, handler: F) -> ServerGuard
where
    S: Send + Sync + 'static,
    F: Fn(Arc<S>, Request<Incoming>) -> Fut + Copy + Send + 'static,
    Fut: Future<Output = Result<Reply, Hangup>> + Send + 'static,
{
    serve_connections(bound, move |stream| {
        let state = Arc::clone(&state);
        async move {
            let service = service_fn(move |request| handler(Arc::clone(&state), request));
            // Errors are broken connections, which tests cause on purpose.
            hyper::server::conn::http1::Builder::new()
                // Larger reads than the default cost a third less time on big uploads.
                .max_buf_size(2 << 20)
                .serve_connection(TokioIo::new(stream), service)
                .await
                .ok();
        }
    })
}

/// Serves connections on the background runtime, each with a future of its own.
pub(crate) fn serve_connections<F, Fut>(bound: Bound, connection: F) -> ServerGuard
where
    F: Fn(TcpStream) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let task = runtime().spawn(async move {
        let listener = tokio::net::TcpListener::from_std(bound.listener).expect("runtime takes the socket");
        let mut connections = JoinSet::new();
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            // Latency only; a socket that refuses the option still works.
            stream.set_nodelay(true).ok();
            connections.spawn(connection(stream));
            while connections.try_join_next().is_some() {}
        }
    });
    ServerGuard(task.abort_handle())
}

/// One runtime for all fakes, so that a test may block its own.
fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("testkit")
            .enable_all()
            .build()
            .expect("a runtime can be built")
    })
}

/// A reply with a text or JSON body.
pub(crate) fn reply(status: u16, content_type: &str, body: impl Into<Body>) -> Reply {
    let mut reply = Response::new(body.into());
    *reply.status_mut() = StatusCode::from_u16(status).expect("status code is valid");
    set_header(&mut reply, header::CONTENT_TYPE.as_str(), content_type);
    reply
}

/// A reply without a body.
pub(crate) fn empty(status: u16) -> Reply {
    let mut reply = Response::new(Body::empty());
    *reply.status_mut() = StatusCode::from_u16(status).expect("status code is valid");
    if status != 204 {
        set_header(&mut reply, "content-length", "0");
    }
    reply
}

/// Sets a header whose name and value the testkit controls.
pub(crate) fn set_header(reply: &mut Reply, name: &str, value: &str) {
    let name = header::HeaderName::try_from(name).expect("header name is valid");
    let value = header::HeaderValue::try_from(value).expect("header value is valid");
    reply.headers_mut().insert(name, value);
}

/// Percent-decodes, replacing what is not UTF-8.
pub(crate) fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// Percent-encodes a path, keeping its slashes.
pub(crate) fn encode_path(path: &str) -> String {
    const KEEP: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~');
    utf8_percent_encode(path, KEEP).to_string()
}

/// A decoded query string.
#[derive(Debug)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(crate) fn parse(query: &str) -> Self {
        let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(&name.replace('+', " ")), decode(&value.replace('+', " ")))
        });
        Self(pairs.collect())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| value != "false" && value != "0")
    }
}
