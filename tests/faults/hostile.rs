//! Servers that want something else than an image: credentials, time, memory, a request to a third party.

use std::{
    io::{Read, Write},
    net::TcpListener,
    thread,
    time::Duration,
};

use modelcar_testkit::{Auth, FakeRegistry, FaultRule, RegistryAction, RegistryConfig};

use crate::run::{Model, PASSWORD, Row, USER, demand};

const UPLOADS: &str = "/blobs/uploads/";

fn fails(fault: &str, says: &'static str) -> Row {
    Row::fails("hostile", fault, says)
}

fn survives(fault: &str) -> Row {
    Row::survives("hostile", fault)
}

fn status(code: u16, header: &str, value: &str) -> RegistryAction {
    RegistryAction::Status { code, headers: vec![(header.to_owned(), value.to_owned())], body: String::new() }
}

pub(crate) fn rows() -> Vec<Row> {
    [places(), answers(), bodies(), lies()].into_iter().flatten().collect()
}

fn places() -> Vec<Row> {
    let location = |place: &str, says| {
        // The session whose place is hidden can't be deleted.
        let mut row = fails(&format!("Location: {place}"), says).fault(
            "POST",
            UPLOADS,
            999,
            RegistryAction::ReplaceLocation(place.to_owned()),
        );
        row.keeps_sessions = true;
        row
    };
    let realm = |place: &str, says| {
        fails(&format!("realm: {place}"), says).fault(
            "POST",
            UPLOADS,
            999,
            status(401, "www-authenticate", &format!("Bearer realm=\"{place}\",service=\"s\"")),
        )
    };
    let redirect = |code| {
        fails(&format!("POST redirects to itself with {code}"), "status").fault(
            "POST",
            UPLOADS,
            999,
            status(code, "location", "/v2/team/models/tiny/blobs/uploads/"),
        )
    };
    let link_local = "link-local";
    vec![
        location("http://169.254.169.254/computeMetadata/v1/", link_local),
        location("http://metadata.google.internal/computeMetadata/v1/", link_local),
        location("http://[fe80::1]/", link_local),
        location("http://[::ffff:169.254.169.254]/", link_local),
        location("file:///etc/passwd", "is not HTTP"),
        location("http://", "is not a URL"),
        realm("http://169.254.169.254/token", link_local),
        realm("http://metadata.google.internal./token", link_local),
        realm("gopher://127.0.0.1/token", "is not HTTP"),
        redirect(307),
        redirect(301),
        elsewhere(),
        fails("no Location", "has no `Location`")
            .fault("POST", UPLOADS, 999, RegistryAction::WithoutHeader("location".to_owned()))
            .keeps_sessions(),
        survives("no Location after a PATCH, once").fault(
            "PATCH",
            UPLOADS,
            1,
            RegistryAction::WithoutHeader("location".to_owned()),
        ),
    ]
}

/// A session at another host gets the bytes, and no login.
fn elsewhere() -> Row {
    let other = FakeRegistry::start_blocking(RegistryConfig::default());
    let place = format!("http://{}/v2/other/blobs/uploads/x", other.host());
    let mut row = survives("Location at another host: no login goes there")
        .config(|config| config.auth = Auth::basic(USER, PASSWORD))
        .rule(FaultRule::new(UPLOADS, RegistryAction::ReplaceLocation(place)).method("POST").after(2).times(1))
        .check(move |_| {
            let asked = other.requests();
            let login = asked.iter().any(|request| request.authorization.is_some());
            demand(!asked.is_empty() && !login, || format!("{} requests, login {login}", asked.len()))
        });
    row.keeps_sessions = true;
    row
}

fn answers() -> Vec<Row> {
    let page = format!("<html><body>{}</body></html>", "Forbidden ".repeat(200_000));
    let html = RegistryAction::Status {
        code: 403,
        headers: vec![("content-type".to_owned(), "text/html".to_owned())],
        body: page,
    };
    let long = fails("403 with a page of 2 MB: an excerpt is shown", "Forbidden").fault("POST", UPLOADS, 999, html);
    let warning = vec![("warning".to_owned(), "299 - \"the registry moves\"".to_owned())];
    vec![
        long,
        survives("Warning in every answer: shown once").config(|config| config.upload_headers = warning).check(
            |seen| {
                let count = seen.warnings.iter().filter(|text| text.contains("the registry moves")).count();
                demand(count == 1, || format!("shown {count} times"))
            },
        ),
        fails("an answer that is not HTTP", "no answer").server(|_| b"HELO who are you\r\n".to_vec(), false),
        fails("headers that drip", "no answer")
            .server(|at| if at == 0 { b"HTTP/1.1 20".to_vec() } else { b"0".to_vec() }, true),
        fails("headers without an end", "no answer").server(
            |at| {
                if at == 0 {
                    b"HTTP/1.1 200 OK\r\n".to_vec()
                } else {
                    format!("x-{at}: {}\r\n", "y".repeat(8000)).into_bytes()
                }
            },
            false,
        ),
        fails("a connection that is closed at once", "no answer").server(|_| Vec::new(), false),
    ]
}

fn bodies() -> Vec<Row> {
    let drip = |code, piece, millis| RegistryAction::Drip { code, piece, every: Duration::from_millis(millis) };
    vec![
        fails("403 with a body without an end", "403").fault("POST", UPLOADS, 999, drip(403, 1 << 20, 0)),
        fails("403 with a body that drips", "403").fault("POST", UPLOADS, 999, drip(403, 1, 100)),
        fails("PUT: 201 with a body without an end, nothing stored", "MANIFEST_BLOB_UNKNOWN")
            .rule(FaultRule::new("digest=", drip(201, 1 << 20, 0)).method("PUT"))
            .keeps_sessions(),
        fails("token server: a body without an end", "token")
            .config(|config| config.auth = Auth::bearer(USER, PASSWORD))
            .fault("GET", "/token", 999, drip(200, 1 << 20, 0)),
        fails("token server: a page", "token").config(|config| config.auth = Auth::bearer(USER, PASSWORD)).fault(
            "GET",
            "/token",
            999,
            RegistryAction::status(200),
        ),
    ]
}

fn lies() -> Vec<Row> {
    vec![
        fails("blob PUT: another digest in the answer", "gave wrong bytes")
            .rule(FaultRule::new("digest=", RegistryAction::WrongDigestHeader).method("PUT")),
        survives("index PUT: another digest in the answer, read back and right").fault(
            "PUT",
            "/manifests/",
            999,
            RegistryAction::WrongDigestHeader,
        ),
        survives("HEAD: every blob is there, the manifest tells").fault(
            "HEAD",
            "/blobs/",
            999,
            RegistryAction::LieHead200 { len: Model::CONFIG },
        ),
        survives("HEAD: every blob is there, the manifest tells by 400")
            .config(|config| config.missing_blob_status = 400)
            .fault("HEAD", "/blobs/", 999, RegistryAction::LieHead200 { len: Model::CONFIG }),
        survives("HEAD: every blob is there, with another length").fault(
            "HEAD",
            "/blobs/",
            999,
            RegistryAction::LieHead200 { len: 7 },
        ),
        survives("HEAD: every blob is there, without a length").fault(
            "HEAD",
            "/blobs/",
            999,
            RegistryAction::LieHead200 { len: 0 },
        ),
        survives("HEAD: no blob is ever there").fault("HEAD", "/blobs/", 999, RegistryAction::status(404)),
        fails("PATCH: 202 for bytes that are not stored", "DIGEST_INVALID").fault(
            "PATCH",
            UPLOADS,
            999,
            RegistryAction::StatusAfterBody(202),
        ),
        fails("PUT: 201 for bytes that are not stored", "MANIFEST_BLOB_UNKNOWN")
            .rule(FaultRule::new("digest=", RegistryAction::StatusAfterBody(201)).method("PUT"))
            .keeps_sessions(),
        fails("manifest PUT: 201, nothing stored", "MANIFEST_BLOB_UNKNOWN")
            .rule(FaultRule::new("/manifests/sha256", RegistryAction::StatusAfterBody(201)).method("PUT")),
    ]
}

impl Row {
    /// Talks to a server that writes what `says` returns, piece after piece, slowly or at once.
    fn server(mut self, says: fn(usize) -> Vec<u8>, slowly: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        self.host = Some(listener.local_addr().unwrap().to_string());
        thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                thread::spawn(move || {
                    let mut request = [0; 4096];
                    let _whatever_it_is = stream.read(&mut request);
                    for at in 0.. {
                        let piece = says(at);
                        if piece.is_empty() || stream.write_all(&piece).is_err() {
                            return;
                        }
                        if slowly {
                            thread::sleep(Duration::from_millis(50));
                        }
                    }
                });
            }
        });
        self
    }
}
