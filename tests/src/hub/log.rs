//! Owns the fake Hub's record of requests.

use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::request::Parts;

use crate::server::Reply;

/// Which listener got a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HubServer {
    /// The Hub itself.
    Hub,
    /// The content delivery network behind it.
    Cdn,
}

impl HubServer {
    /// The name used in fault rules.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hub => "hub",
            Self::Cdn => "cdn",
        }
    }
}

/// One request as the fake Hub saw it.
#[derive(Clone, Debug)]
pub struct LoggedRequest {
    /// Listener.
    pub server: HubServer,
    /// HTTP method.
    pub method: String,
    /// Percent-encoded path.
    pub path: String,
    /// Raw query, empty when absent.
    pub query: String,
    /// `Range` header.
    pub range: Option<String>,
    /// Whether an `Authorization` header came along.
    pub authorization: bool,
    /// `User-Agent` header.
    pub user_agent: Option<String>,
    /// Status answered; 0 while pending or when the connection was dropped instead.
    pub status: u16,
    /// File bytes sent so far.
    pub body_bytes_sent: u64,
}

#[derive(Debug)]
pub(super) struct Entry {
    request: LoggedRequest,
    status: AtomicU16,
    pub(super) body_bytes_sent: Arc<AtomicU64>,
}

impl Entry {
    pub(super) fn finish(&self, answer: Reply) -> Reply {
        self.status.store(answer.status().as_u16(), Ordering::Relaxed);
        answer
    }
}

#[derive(Debug, Default)]
pub(super) struct Log(Mutex<Vec<Arc<Entry>>>);

impl Log {
    pub(super) fn start(&self, server: HubServer, parts: &Parts) -> Arc<Entry> {
        let header = |name: &str| {
            let value = parts.headers.get(name)?;
            Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let request = LoggedRequest {
            server,
            method: parts.method.to_string(),
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            range: header("range"),
            authorization: parts.headers.contains_key("authorization"),
            user_agent: header("user-agent"),
            status: 0,
            body_bytes_sent: 0,
        };
        let status = AtomicU16::new(0);
        let entry = Arc::new(Entry { request, status, body_bytes_sent: Arc::default() });
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&entry));
        entry
    }

    pub(super) fn snapshot(&self) -> Vec<LoggedRequest> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let current = entries.iter().map(|entry| LoggedRequest {
            status: entry.status.load(Ordering::Relaxed),
            body_bytes_sent: entry.body_bytes_sent.load(Ordering::Relaxed),
            ..entry.request.clone()
        });
        current.collect()
    }

    pub(super) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
