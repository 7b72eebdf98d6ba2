//! Owns a proxy before a server that gives each connection so many bytes a second, as registries do.

use std::{
    io::{self, Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

/// Bytes that a connection gets at a time.
const PIECE_BYTES: usize = 64 << 10;
/// How late a connection may be and still get its rate: threads wake up late on a busy machine.
const CATCH_UP: Duration = Duration::from_millis(50);

/// Starts the proxy before `server` and returns its `127.0.0.1:PORT`. The proxy ends with this process.
pub(crate) fn limit(server: &str, bytes_a_second: u64) -> io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    let server = server.to_owned();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let server = server.clone();
            thread::spawn(move || serve(client, &server, bytes_a_second));
        }
    });
    Ok(address)
}

/// Connects `client` with the server until one of them ends.
fn serve(mut client: TcpStream, server: &str, bytes_a_second: u64) -> io::Result<()> {
    let mut server = TcpStream::connect(server)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut requests, mut to_server) = (client.try_clone()?, server.try_clone()?);
    thread::spawn(move || {
        // The server ends the connection when it hears no more.
        let _ended = io::copy(&mut requests, &mut to_server);
        let _already_closed = to_server.shutdown(Shutdown::Write);
    });
    let mut piece = vec![0; PIECE_BYTES];
    let mut free_from = Instant::now();
    loop {
        let read = server.read(&mut piece)?;
        if read == 0 {
            return client.shutdown(Shutdown::Both);
        }
        // A connection that was late may catch up; what it did not use while it was idle is lost.
        let now = Instant::now();
        free_from = free_from.max(now.checked_sub(CATCH_UP).unwrap_or(now)) + time_of(read, bytes_a_second);
        client.write_all(&piece[..read])?;
        thread::sleep(free_from.saturating_duration_since(Instant::now()));
    }
}

fn time_of(bytes: usize, bytes_a_second: u64) -> Duration {
    Duration::from_nanos(bytes as u64 * 1_000_000_000 / bytes_a_second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_connection_gets_its_rate_and_all_bytes() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap().to_string();
        thread::spawn(move || {
            for client in server.incoming().flatten() {
                thread::spawn(move || (&client).write_all(&[7; 1 << 20]).unwrap());
            }
        });
        let proxy = limit(&address, 4 << 20).unwrap();
        let begun = Instant::now();
        let read = |_| {
            let mut client = TcpStream::connect(&proxy).unwrap();
            thread::spawn(move || {
                let mut bytes = Vec::new();
                client.read_to_end(&mut bytes).map(|_| bytes)
            })
        };
        let clients: Vec<_> = (0..4).map(read).collect();
        for client in clients {
            assert_eq!(client.join().unwrap().unwrap(), [7; 1 << 20]);
        }
        // The last piece is not waited for by the client.
        assert!(begun.elapsed() >= Duration::from_millis(230), "{:?}", begun.elapsed());
    }
}
