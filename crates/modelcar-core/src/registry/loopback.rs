//! Finds out whether a registry on this machine speaks TLS.

use std::{io, sync::Arc, time::Duration};

use rustls::{ClientConfig, ClientConnection, RootCertStore, pki_types::ServerName};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// Longest wait for the first byte of an answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// First byte of a record that holds an alert (RFC 8446, section 5.1).
const ALERT: u8 = 21;
/// First byte of a record that holds a part of the handshake.
const HANDSHAKE: u8 = 22;

/// Returns whether a server answers the beginning of a TLS handshake with TLS, or does not answer at all. The certificate
/// is not looked at: a bad one is an error of the first request.
///
/// A server that can't be reached, or closes the connection, does not speak TLS.
pub(super) async fn speaks_tls(host: &str, port: u16) -> bool {
    match timeout(PATIENCE, first_byte(host, port)).await {
        Ok(Ok(first)) => matches!(first, Some(ALERT | HANDSHAKE)),
        Ok(Err(_)) => false,
        // A login must not be sent in plain text before it is known that the server speaks plain HTTP.
        Err(_) => true,
    }
}

/// Returns the first byte of the answer to the beginning of a handshake; `None` when the server closes the connection.
async fn first_byte(host: &str, port: u16) -> io::Result<Option<u8>> {
    let greeting = greeting(host)?;
    let mut stream = TcpStream::connect((host, port)).await?;
    stream.write_all(&greeting).await?;
    let mut first = [0];
    let count = stream.read(&mut first).await?;
    Ok((count > 0).then_some(first[0]))
}

/// Makes the first message of a handshake, followed by empty lines: a server of plain HTTP that waits for the end of a
/// line then answers at once.
fn greeting(host: &str) -> io::Result<Vec<u8>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = builder.map_err(io::Error::other)?.with_root_certificates(RootCertStore::empty());
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let mut client = ClientConnection::new(Arc::new(config.with_no_client_auth()), name).map_err(io::Error::other)?;
    let mut bytes = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut bytes)?;
    }
    bytes.extend_from_slice(b"\r\n\r\n");
    Ok(bytes)
}
