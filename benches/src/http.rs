//! Owns the least HTTP/1.1 that moves bytes: one blocking connection, heads as text, bodies of known length.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
};

/// An answer's head.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) length: u64,
    pub(crate) location: String,
}

/// One connection that is kept alive.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) stream: BufReader<TcpStream>,
    host: String,
}

impl Connection {
    pub(crate) fn open(host: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(host)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream), host: host.to_owned() })
    }

    /// Sends a request's head; `headers` ends every line with CR and LF.
    pub(crate) fn send(&mut self, method: &str, target: &str, headers: &str) -> io::Result<()> {
        let head = format!("{method} {target} HTTP/1.1\r\nHost: {}\r\n{headers}\r\n", self.host);
        self.stream.get_mut().write_all(head.as_bytes())
    }

    /// Reads an answer's head.
    pub(crate) fn answer(&mut self) -> io::Result<Answer> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("no answer from {}: {line}", self.host)))?;
        let mut answer = Answer { status, length: 0, location: String::new() };
        loop {
            line.clear();
            self.stream.read_line(&mut line)?;
            let Some((name, value)) = line.split_once(':') else { return Ok(answer) };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => answer.length = value.trim().parse().map_err(io::Error::other)?,
                "location" => value.trim().clone_into(&mut answer.location),
                "transfer-encoding" => return Err(io::Error::other("a body of unknown length")),
                _ => {}
            }
        }
    }

    /// Sends a request without a body, reads the answer's whole body and returns both.
    pub(crate) fn exchange(&mut self, method: &str, target: &str, headers: &str) -> io::Result<(Answer, Vec<u8>)> {
        self.send(method, target, headers)?;
        let answer = self.answer()?;
        let mut body = Vec::new();
        if method != "HEAD" {
            (&mut self.stream).take(answer.length).read_to_end(&mut body)?;
        }
        Ok((answer, body))
    }

    /// Reads the next `length` bytes away.
    pub(crate) fn drain(&mut self, length: u64) -> io::Result<()> {
        io::copy(&mut (&mut self.stream).take(length), &mut io::sink()).map(drop)
    }
}

/// Splits `http://HOST/PATH`, or a path on `host`, into host and path.
pub(crate) fn place<'a>(url: &'a str, host: &'a str) -> (&'a str, &'a str) {
    match url.strip_prefix("http://") {
        Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
        None => (host, url),
    }
}

/// An answer with another status than `expected` is an error.
pub(crate) fn expect(answer: Answer, expected: u16, what: &str) -> io::Result<Answer> {
    match answer.status == expected {
        true => Ok(answer),
        false => Err(io::Error::other(format!("{what}: HTTP {}", answer.status))),
    }
}
