//! Owns the fake registry's record of requests.

use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::request::Parts;

use crate::server::Reply;

/// One request as the fake registry saw it.
#[derive(Clone, Debug)]
pub struct RegistryRequest {
    /// Position in order of arrival.
    pub order: usize,
    /// `registry`, or `storage` for redirected downloads.
    pub server: &'static str,
    /// HTTP method.
    pub method: String,
    /// Percent-encoded path.
    pub path: String,
    /// Raw query, empty when absent.
    pub query: String,
    /// `Content-Length` header.
    pub content_length: Option<u64>,
    /// Whether the body came with `Transfer-Encoding: chunked`.
    pub chunked: bool,
    /// `Content-Range` header.
    pub content_range: Option<String>,
    /// `Content-Type` header.
    pub content_type: Option<String>,
    /// `Range` header.
    pub range: Option<String>,
    /// `User-Agent` header.
    pub user_agent: Option<String>,
    /// Scheme of the `Authorization` header, such as `Bearer`.
    pub authorization: Option<String>,
    /// Status answered; 0 while pending or when the connection was dropped instead.
    pub status: u16,
    /// Request body bytes received.
    pub body_bytes_received: u64,
    /// Whether an upload or manifest body was read to its proper end.
    pub body_complete: bool,
}

#[derive(Debug)]
pub(super) struct Entry {
    request: RegistryRequest,
    status: AtomicU16,
    received: AtomicU64,
    complete: AtomicBool,
}

impl Entry {
    pub(super) fn add(&self, bytes: u64) {
        self.received.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn body_done(&self) {
        self.complete.store(true, Ordering::Relaxed);
    }

    pub(super) fn finish(&self, answer: Reply) -> Reply {
        self.status.store(answer.status().as_u16(), Ordering::Relaxed);
        answer
    }
}

#[derive(Debug, Default)]
pub(super) struct Log(Mutex<Vec<Arc<Entry>>>);

impl Log {
    pub(super) fn start(&self, server: &'static str, parts: &Parts) -> Arc<Entry> {
        let header = |name: &str| {
            let value = parts.headers.get(name)?;
            Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let request = RegistryRequest {
            order: entries.len(),
            server,
            method: parts.method.to_string(),
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            content_length: header("content-length").and_then(|text| text.parse().ok()),
            chunked: header("transfer-encoding").is_some_and(|text| text.contains("chunked")),
            content_range: header("content-range"),
            content_type: header("content-type"),
            range: header("range"),
            user_agent: header("user-agent"),
            authorization: header("authorization").map(|text| text.split(' ').next().unwrap_or_default().to_owned()),
            status: 0,
            body_bytes_received: 0,
            body_complete: false,
        };
        let entry = Arc::new(Entry {
            request,
            status: AtomicU16::new(0),
            received: AtomicU64::new(0),
            complete: AtomicBool::new(false),
        });
        entries.push(Arc::clone(&entry));
        entry
    }

    pub(super) fn snapshot(&self) -> Vec<RegistryRequest> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let current = entries.iter().map(|entry| RegistryRequest {
            status: entry.status.load(Ordering::Relaxed),
            body_bytes_received: entry.received.load(Ordering::Relaxed),
            body_complete: entry.complete.load(Ordering::Relaxed),
            ..entry.request.clone()
        });
        current.collect()
    }

    pub(super) fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    pub(super) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
