//! Owns two proxies: one as companies have them, which leads names to addresses by `CONNECT` only, and one that cuts
//! connections.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};

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

/// A running proxy before one server, on the level of TCP, that cuts connections.
#[derive(Debug)]
pub struct CuttingProxy {
    addr: SocketAddr,
    cuts: Cuts,
    _server: ServerGuard,
}

/// After how many bytes of a client the next connections are cut.
type Cuts = Arc<Mutex<VecDeque<u64>>>;

impl CuttingProxy {
    /// Cuts the first connection over which a client sends `cuts[0]` bytes, then the first one with `cuts[1]` bytes, and
    /// so on. The server gets all bytes up to the cut.
    pub fn start(server: SocketAddr, cuts: &[u64]) -> Self {
        let cuts: Cuts = Arc::new(Mutex::new(cuts.iter().copied().collect()));
        let bound = server::bind(0);
        let (addr, left) = (bound.addr, Arc::clone(&cuts));
        let guard = server::serve_connections(bound, move |stream| pass(stream, server, Arc::clone(&left)));
        Self { addr, cuts, _server: guard }
    }

    /// `127.0.0.1:<port>`.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// How many cuts are still to come.
    pub fn cuts_left(&self) -> usize {
        self.cuts.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

async fn pass(mut inside: TcpStream, server: SocketAddr, cuts: Cuts) {
    let Ok(mut outside) = TcpStream::connect(server).await else { return };
    let (from_client, mut to_client) = inside.split();
    let (mut from_server, to_server) = outside.split();
    // Whichever ends first ends both.
    tokio::select! {
        () = pass_until_cut(from_client, to_server, &cuts) => {}
        _ = tokio::io::copy(&mut from_server, &mut to_client) => {}
    }
}

async fn pass_until_cut(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, cuts: &Cuts) {
    let (mut passed, mut buffer) = (0, vec![0; 64 << 10]);
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let (pass, cut) = until_cut(cuts, passed, read);
        if to.write_all(&buffer[..pass]).await.is_err() || cut {
            return;
        }
        passed += pass as u64;
    }
}

/// Returns how many of `read` bytes may pass after `passed` ones, and whether the connection ends there.
fn until_cut(cuts: &Cuts, passed: u64, read: usize) -> (usize, bool) {
    let mut cuts = cuts.lock().unwrap_or_else(PoisonError::into_inner);
    let left = cuts.front().map(|cut| usize::try_from(cut.saturating_sub(passed)).unwrap_or(usize::MAX));
    match left {
        Some(left) if left <= read => {
            cuts.pop_front();
            (left, true)
        }
        _ => (read, false),
    }
}
