//! Owns a proxy as companies have them: it leads names to addresses, by `CONNECT` only.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::TcpStream;

use crate::server::{self, ServerGuard};

/// Largest request that is read.
const REQUEST_MAX_BYTES: usize = 16 << 10;

/// A running proxy. Names that it does not know are refused, so nothing leaves the machine.
#[derive(Debug)]
pub struct ConnectProxy {
    addr: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    _server: ServerGuard,
}

impl ConnectProxy {
    /// Leads each `name:port` to an address; with `authorization` only those who send that `Proxy-Authorization`.
    pub fn start(names: &[(&str, SocketAddr)], authorization: Option<&str>) -> Self {
        let names: BTreeMap<String, SocketAddr> =
            names.iter().map(|(name, addr)| ((*name).to_owned(), *addr)).collect();
        let (names, asked) = (Arc::new(names), Arc::new(Mutex::new(Vec::new())));
        let wanted = authorization.map(|value| format!("proxy-authorization: {value}").to_lowercase());
        let bound = server::bind(0);
        let (addr, log) = (bound.addr, Arc::clone(&asked));
        let server = server::serve_connections(bound, move |stream| {
            let (names, log, wanted) = (Arc::clone(&names), Arc::clone(&log), wanted.clone());
            async move {
                let mut stream = stream;
                let Some(head) = read_head(&mut stream).await else { return };
                let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
                log.lock().unwrap_or_else(PoisonError::into_inner).push(target.clone());
                let let_in = wanted.is_none_or(|wanted| head.to_lowercase().contains(&wanted));
                let status = match (head.starts_with("CONNECT "), let_in, names.get(&target)) {
                    (false, ..) => "405 Method Not Allowed",
                    (_, false, _) => "407 Proxy Authentication Required",
                    (_, _, None) => "403 Forbidden",
                    (_, _, Some(addr)) => {
                        let Ok(mut outside) = TcpStream::connect(addr).await else { return };
                        if stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.is_ok() {
                            copy_bidirectional(&mut stream, &mut outside).await.ok();
                        }
                        return;
                    }
                };
                let refusal = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                stream.write_all(refusal.as_bytes()).await.ok();
            }
        });
        Self { addr, asked, _server: server }
    }

    /// `http://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// `127.0.0.1:<port>`.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What it was asked for, in order.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < REQUEST_MAX_BYTES {
        head.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}
