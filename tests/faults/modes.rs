//! Ways to upload: one request, chunks, a PUT; and the forms of answers that all of them meet.

use std::{num::NonZeroU64, time::Duration};

use modelcar_testkit::{FaultRule, LocationStyle, RegistryAction, RegistryRequest};

use crate::run::{LARGE, Row, Seen, demand};

const UPLOADS: &str = "/blobs/uploads/";

fn survives(fault: &str) -> Row {
    Row::survives("mode", fault)
}

impl Row {
    /// Uploads in chunks.
    pub(crate) fn chunks(self, bytes: u64) -> Self {
        self.options(|options| options.chunk_bytes = NonZeroU64::new(bytes))
    }
}

pub(crate) fn in_chunks(seen: &Seen, most: u64) -> Result<(), String> {
    let accepted = seen.all("PATCH").filter(|request| request.status == 202 || request.status == 201);
    // What is smaller than a chunk may go as a whole before the cap is met.
    let small = |request: &&RegistryRequest| request.content_length < Some(most);
    let chunk = |request: &RegistryRequest| request.content_range.is_some() && request.content_length <= Some(most);
    let wrong = accepted.filter(|request| !small(request) && !chunk(request)).count();
    demand(wrong == 0, || format!("{wrong} PATCHes are no chunks of at most {most} bytes"))
}

pub(crate) fn rows() -> Vec<Row> {
    let drop = |after_body_bytes| RegistryAction::DropConnection { after_body_bytes };
    vec![
        survives("one PATCH with its exact length and no range").check(|seen| {
            let plain = |request: &&RegistryRequest| {
                request.content_range.is_none() && request.content_length.is_some() && !request.chunked
            };
            demand(seen.all("PATCH").filter(plain).count() == 3, || "not three plain PATCHes".to_owned())
        }),
        survives("a blob of a known digest goes in one PUT").check(|seen| {
            let full = |request: &&RegistryRequest| {
                request.query.contains("digest=") && request.content_length.is_some_and(|length| length > 0)
            };
            demand(seen.all("PUT").filter(full).count() == 2, || "not two configs in a PUT".to_owned())
        }),
        survives("--chunk-size 256KiB").chunks(256 << 10).check(|seen| in_chunks(seen, 256 << 10)),
        survives("--chunk-size 256KiB, OCI-Chunk-Min-Length 1 MiB")
            .chunks(256 << 10)
            .config(|config| config.min_chunk = Some(1 << 20))
            .check(|seen| in_chunks(seen, 1 << 20)),
        survives("a chunk breaks: only its rest is sent again")
            .in_order()
            .chunks(1 << 20)
            .rule(FaultRule::new(UPLOADS, drop(400_000)).method("PATCH").after(3).times(1))
            .at_most(LARGE + (600 << 10) + (1200 << 10)),
        survives("a chunk gets 503")
            .chunks(1 << 20)
            .rule(FaultRule::new(UPLOADS, RegistryAction::status(503)).method("PATCH").after(2).times(1)),
        survives("a chunk gets 202 before its bytes: a new session").in_order().chunks(3 << 20).rule(
            FaultRule::new(UPLOADS, RegistryAction::Drip { code: 202, piece: 1, every: Duration::from_millis(50) })
                .method("PATCH")
                .after(1)
                .times(1),
        ),
        survives("a chunk's reply is lost")
            .in_order()
            .chunks(1 << 20)
            .rule(FaultRule::new(UPLOADS, RegistryAction::LostReply).method("PATCH").after(2).times(1))
            .at_most(LARGE + (600 << 10) + (64 << 10)),
        survives("413 above 2 MB: chunks by itself")
            .config(|config| config.max_request = Some(2_000_000))
            .check(|seen| in_chunks(seen, 2_000_000)),
        survives("413 above 300 kB: ever smaller chunks").config(|config| config.max_request = Some(300_000)),
        Row::fails("mode", "413 above 100 kB: no chunk is small enough", "413")
            .config(|config| config.max_request = Some(100_000)),
        Row::fails("mode", "413 below OCI-Chunk-Min-Length", "413").config(|config| {
            config.max_request = Some(500_000);
            config.min_chunk = Some(1 << 20);
        }),
        survives("Location of 20 kB, relative").config(|config| config.location_padding = 20_000),
        survives("Location of 60 kB, absolute, with a query").config(|config| {
            config.location = LocationStyle::AbsoluteWithQuery;
            config.location_padding = 60_000;
        }),
        survives("response headers of 64 KiB").config(|config| config.upload_headers = headers(64)),
        survives("response headers of 300 KiB").config(|config| config.upload_headers = headers(300)),
        survives("Connection: close in every answer")
            .config(|config| config.upload_headers = vec![("connection".to_owned(), "close".to_owned())]),
        survives("411 without Content-Length").config(|config| config.require_content_length = true),
    ]
}

fn headers(kib: usize) -> Vec<(String, String)> {
    (0..kib / 4).map(|at| (format!("x-padding-{at}"), "p".repeat(4096))).collect()
}
