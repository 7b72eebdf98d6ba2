//! The open registry behind a slow line, for pulls that take a while.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    sync::OnceLock,
    thread,
    time::Duration,
};

use crate::{registry, wait::Result};

/// Bytes of one step, and its time: half a megabyte a second.
const STEP: (usize, Duration) = (16 << 10, Duration::from_millis(32));

static STARTED: OnceLock<std::result::Result<(), String>> = OnceLock::new();

/// Starts the slow line, once. It ends with this process.
pub(crate) fn start() -> Result {
    let started = STARTED.get_or_init(|| {
        let listener = TcpListener::bind(registry::SLOW).map_err(|error| error.to_string())?;
        thread::spawn(move || listener.incoming().flatten().for_each(|client| drop(thread::spawn(|| serve(client)))));
        Ok(())
    });
    started.clone().map_err(Into::into)
}

/// Passes one connection on: what is asked for at once, the answers slowly.
fn serve(client: TcpStream) {
    let Ok(server) = TcpStream::connect(registry::OPEN) else { return };
    let (Ok(asking), Ok(asked)) = (client.try_clone(), server.try_clone()) else { return };
    thread::spawn(move || pass(asking, asked, None));
    pass(server, client, Some(STEP.1));
}

fn pass(mut from: TcpStream, mut to: TcpStream, pause: Option<Duration>) {
    let mut buffer = vec![0; STEP.0];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
        if let Some(pause) = pause {
            thread::sleep(pause);
        }
    }
    to.shutdown(Shutdown::Write).ok();
}
