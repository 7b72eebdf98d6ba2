//! Debian's nginx on a free port before a registry: with TLS and a token server, with TLS for clients that have a
//! certificate, or with a cap on requests.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use modelcar_testkit::{Identity, PrivateCa};
use tempfile::TempDir;

use crate::{files, parts::command};

const PATIENCE: Duration = Duration::from_mins(1);
/// Lets the registry name nginx in its answers.
const PASS_HOST: &str = "proxy_set_header Host $http_host;";

/// A running nginx; it goes away when dropped.
#[derive(Debug)]
pub(crate) struct Nginx {
    address: SocketAddr,
    process: Child,
    _files: TempDir,
}

impl Nginx {
    /// Starts on `address`, as `identity`, before `registry`, with the token server at `/v2/token` as Artifact Registry
    /// has it; `None` when another process has taken the port.
    pub(crate) fn try_start(
        address: SocketAddr,
        identity: &Identity,
        registry: SocketAddr,
        token_server: SocketAddr,
    ) -> Option<Self> {
        let files = TempDir::new().unwrap();
        fs::write(files.path().join("server.crt"), &identity.certificate).unwrap();
        fs::write(files.path().join("server.key"), &identity.key).unwrap();
        let server = format!(
            "listen {address} ssl; ssl_certificate server.crt; ssl_certificate_key server.key;
             {PASS_HOST} client_max_body_size 0; proxy_http_version 1.1; proxy_request_buffering off;
             proxy_set_header X-Forwarded-Proto $scheme;
             location = /v2/token {{ proxy_pass http://{token_server}/token; }}"
        );
        Self::serve(address, files, &server, registry)
    }

    /// Starts on a free port before `registry` and refuses requests of more than `cap`, as nginx writes sizes.
    pub(crate) fn capped(registry: SocketAddr, cap: &str) -> Self {
        Self::plain(registry, "127.0.0.1:0", &format!("{PASS_HOST} client_max_body_size {cap};"))
    }

    /// Starts on a free port of `[::1]`, with room for header lines of 1 KiB.
    pub(crate) fn small(registry: SocketAddr) -> Self {
        let buffers = "client_header_buffer_size 1k; large_client_header_buffers 4 1k;";
        Self::plain(registry, "[::1]:0", &format!("{PASS_HOST} {buffers} client_max_body_size 0;"))
    }

    /// Starts on a free port; the registry does not hear the name by which it was asked, and names itself in answers.
    pub(crate) fn nameless(registry: SocketAddr) -> Self {
        Self::plain(registry, "127.0.0.1:0", "client_max_body_size 0;")
    }

    fn plain(registry: SocketAddr, place: &str, settings: &str) -> Self {
        let start = |_try| {
            let address = TcpListener::bind(place).unwrap().local_addr().unwrap();
            Self::serve(address, TempDir::new().unwrap(), &format!("listen {address}; {settings}"), registry)
        };
        (0..5).find_map(start).expect("nginx answers")
    }

    /// Starts on a free port before `registry`, with TLS, for clients that have a certificate of `clients` alone.
    pub(crate) fn for_clients(registry: SocketAddr, identity: &Identity, clients: &PrivateCa) -> Self {
        let start = |_try| {
            let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let files = TempDir::new().unwrap();
            fs::write(files.path().join("server.crt"), &identity.certificate).unwrap();
            fs::write(files.path().join("server.key"), &identity.key).unwrap();
            fs::write(files.path().join("clients.crt"), clients.pem()).unwrap();
            let server = format!(
                "listen {address} ssl; ssl_certificate server.crt; ssl_certificate_key server.key;
                 ssl_client_certificate clients.crt; ssl_verify_client on;
                 {PASS_HOST} client_max_body_size 0; proxy_http_version 1.1; proxy_request_buffering off;
                 proxy_set_header X-Forwarded-Proto $scheme;"
            );
            Self::serve(address, files, &server, registry)
        };
        (0..5).find_map(start).expect("nginx answers")
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    fn serve(address: SocketAddr, files: TempDir, server: &str, registry: SocketAddr) -> Option<Self> {
        let user = if files::is_root() { "user root;" } else { "" };
        let config = format!(
            "daemon off; {user} pid nginx.pid; error_log error.log; events {{}}
            http {{
              access_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
              uwsgi_temp_path uwsgi; scgi_temp_path scgi;
              server {{
                {server}
                location / {{ proxy_pass http://{registry}; }}
              }}
            }}"
        );
        fs::write(files.path().join("nginx.conf"), config).unwrap();
        let mut serve = command("nginx");
        serve.arg("-p").arg(files.path()).args(["-c", "nginx.conf", "-e", "error.log"]).stderr(Stdio::null());
        let mut nginx = Self { address, process: serve.spawn().unwrap(), _files: files };
        nginx.wait().then_some(nginx)
    }

    fn wait(&mut self) -> bool {
        let start = Instant::now();
        while start.elapsed() < PATIENCE && matches!(self.process.try_wait(), Ok(None)) {
            if TcpStream::connect(self.address).is_ok() {
                return true;
            }
            thread::sleep(Duration::from_millis(20));
        }
        false
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // SIGTERM, so that it ends its workers; it may be gone already.
        command("kill").arg(self.process.id().to_string()).status().ok();
        self.process.wait().ok();
    }
}
