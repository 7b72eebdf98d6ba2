//! Statuses, connections that break, replies that are lost: per request and per layer.

use std::time::Duration;

use modelcar_testkit::{BrokenPatch, FaultRule, RegistryAction, StatusReply};

use crate::run::{LARGE, Row, demand};

const UPLOADS: &str = "/blobs/uploads/";
/// All bytes of a clean push, and a little for the manifests.
const ONCE: u64 = LARGE + (600 << 10) + (64 << 10);

fn survives(fault: &str) -> Row {
    Row::survives("retry", fault)
}

fn fails(fault: &str, says: &'static str) -> Row {
    Row::fails("retry", fault, says)
}

fn asked(code: u16, header: &str, value: &str) -> RegistryAction {
    RegistryAction::Status { code, headers: vec![(header.to_owned(), value.to_owned())], body: String::new() }
}

pub(crate) fn rows() -> Vec<Row> {
    [requests(), layers(), commits(), manifests()].into_iter().flatten().collect()
}

fn requests() -> Vec<Row> {
    let mut rows: Vec<Row> = [408, 425, 429, 500, 502, 503, 504]
        .map(|code| {
            survives(&format!("POST answers {code} twice")).fault("POST", UPLOADS, 2, RegistryAction::status(code))
        })
        .into();
    let soon = asked(429, "retry-after", "1");
    let past = asked(503, "retry-after", "Sun, 06 Nov 1994 08:49:37 GMT");
    rows.extend([
        survives("POST: 429, Retry-After: 1").fault("POST", UPLOADS, 1, soon),
        survives("POST: 503, Retry-After: a date that is past").fault("POST", UPLOADS, 1, past),
        survives("POST: reply lost").fault("POST", UPLOADS, 1, RegistryAction::LostReply).keeps_sessions(),
        fails("POST answers 503 for ever", "503").fault("POST", UPLOADS, 999, RegistryAction::status(503)),
        fails("POST: 503 and no budget for failures", "503")
            .fault("POST", UPLOADS, 999, RegistryAction::status(503))
            .options(|options| options.retry_budget = Duration::ZERO)
            .once("POST"),
    ]);
    for (code, error) in [(400, "NAME_INVALID"), (403, "DENIED"), (404, "NAME_UNKNOWN"), (405, "UNSUPPORTED")] {
        rows.push(
            fails(&format!("POST: {code} {error}, asked once"), error)
                .fault("POST", UPLOADS, 999, RegistryAction::error(code, error))
                .once("POST")
                .before_weights(),
        );
    }
    rows
}

fn layers() -> Vec<Row> {
    let drop = |after_body_bytes| RegistryAction::DropConnection { after_body_bytes };
    let stall = RegistryAction::Stall { at: 100_000, pause: Duration::from_secs(5) };
    let early = RegistryAction::Drip { code: 202, piece: 1, every: Duration::from_millis(50) };
    vec![
        survives("PATCH: 503 before the body").fault("PATCH", UPLOADS, 1, RegistryAction::status(503)),
        survives("PATCH: 502 after the body").fault("PATCH", UPLOADS, 1, RegistryAction::StatusAfterBody(502)),
        survives("PATCH breaks at 5 MB: goes on there")
            .rule(FaultRule::new(UPLOADS, drop(5_000_000)).method("PATCH").times(1))
            .in_order()
            .at_most(ONCE + (1 << 20)),
        survives("PATCH breaks four times: goes on each time")
            .rule(FaultRule::new(UPLOADS, drop(1_200_000)).method("PATCH").times(4))
            .in_order()
            .at_most(ONCE + (4 << 20)),
        survives("PATCH breaks, registry rolls back: new session")
            .fault("PATCH", UPLOADS, 1, drop(2_000_000))
            .config(|config| config.broken_patch = BrokenPatch::Rollback),
        survives("PATCH breaks, session is gone: new session")
            .fault("PATCH", UPLOADS, 1, drop(2_000_000))
            .config(|config| config.broken_patch = BrokenPatch::DeleteSession),
        survives("PATCH breaks, status is 404 as in CNCF distribution 2.8: new session")
            .fault("PATCH", UPLOADS, 1, drop(2_000_000))
            .config(|config| config.status_reply = StatusReply::Missing)
            .keeps_sessions(),
        survives("PATCH breaks, status has no Range: new session")
            .fault("PATCH", UPLOADS, 1, drop(2_000_000))
            .config(|config| config.status_reply = StatusReply::NoRange),
        survives("PATCH breaks, Range does not advance: new session")
            .fault("PATCH", UPLOADS, 1, drop(2_000_000))
            .config(|config| config.status_reply = StatusReply::Stuck),
        survives("PATCH breaks, Range counts a byte too many: new session")
            .fault("PATCH", UPLOADS, 1, drop(2_000_000))
            .config(|config| config.status_reply = StatusReply::OneTooMany),
        survives("PATCH: reply lost after the whole layer: nothing sent again")
            .fault("PATCH", UPLOADS, 1, RegistryAction::LostReply)
            .at_most(ONCE),
        survives("PATCH: 202 before the body: a new session").in_order().fault("PATCH", UPLOADS, 1, early.clone()),
        fails("PATCH: 202 before the body each time", "before all bytes were sent")
            .in_order()
            .fault("PATCH", UPLOADS, 999, early),
        fails("PATCH: 202 before the body each time, then the connection is closed", "layer").in_order().fault(
            "PATCH",
            UPLOADS,
            999,
            RegistryAction::status(202),
        ),
        survives("PATCH stalls in the body").fault("PATCH", UPLOADS, 1, stall.clone()),
        fails("PATCH stalls for longer than the budget for failures", "no byte moved")
            .fault("PATCH", UPLOADS, 999, stall)
            .options(|options| options.retry_budget = Duration::from_millis(300))
            .check(|seen| {
                let count = seen.all("PATCH").filter(|patch| patch.content_length > Some(100_000)).count();
                demand(count <= 2, || "a layer was tried again".to_owned())
            }),
        survives("PATCH: no answer in time").fault(
            "PATCH",
            UPLOADS,
            1,
            RegistryAction::DelayReply(Duration::from_secs(5)),
        ),
        survives("PATCH: 404 BLOB_UPLOAD_UNKNOWN").fault(
            "PATCH",
            UPLOADS,
            1,
            RegistryAction::error(404, "BLOB_UPLOAD_UNKNOWN"),
        ),
        fails("PATCH breaks at its first byte for ever", "upload layer").fault("PATCH", UPLOADS, 999, drop(0)),
        fails("PATCH: 403 DENIED, asked once", "DENIED")
            .fault("PATCH", "uploads/", 999, RegistryAction::error(403, "DENIED"))
            // A registry that refuses early and closes may break the body before its answer is read: that is tried again.
            .check(|seen| {
                let again = seen.warnings.iter().any(|warning| warning.contains("DENIED"));
                demand(!again, || "a layer was tried again after DENIED".to_owned())
            }),
    ]
}

fn commits() -> Vec<Row> {
    let put = |row: Row, times, action| row.rule(FaultRule::new("digest=", action).method("PUT").times(times));
    vec![
        put(survives("PUT: reply lost, HEAD finds the blob"), 1, RegistryAction::LostReply).at_most(ONCE),
        put(survives("PUT: 503, sent again alone"), 1, RegistryAction::status(503)).at_most(ONCE),
        put(survives("PUT: 504 three times, sent again alone"), 3, RegistryAction::status(504)).at_most(ONCE),
        put(
            survives("PUT: longer silence than patience, HEAD finds the blob"),
            1,
            RegistryAction::DelayReply(Duration::from_secs(3)),
        )
        .at_most(ONCE),
        put(survives("PUT: 404 BLOB_UPLOAD_UNKNOWN"), 1, RegistryAction::error(404, "BLOB_UPLOAD_UNKNOWN")),
        put(survives("PUT: 416"), 1, RegistryAction::status(416)),
        put(
            fails("PUT: 400 DIGEST_INVALID, asked once a layer", "DIGEST_INVALID"),
            999,
            RegistryAction::error(400, "DIGEST_INVALID"),
        )
        .check(|seen| demand(seen.all("PUT").count() <= 3, || "one of the three layers was tried again".to_owned())),
        put(fails("PUT: 403 DENIED, asked once a layer", "DENIED"), 999, RegistryAction::error(403, "DENIED")).check(
            |seen| demand(seen.all("PUT").count() <= 3, || "one of the three layers was tried again".to_owned()),
        ),
        put(fails("PUT: 500 for ever", "500"), 999, RegistryAction::status(500)),
    ]
}

fn manifests() -> Vec<Row> {
    vec![
        survives("manifest PUT: 503").fault("PUT", "/manifests/", 1, RegistryAction::status(503)),
        survives("manifest PUT: reply lost").fault("PUT", "/manifests/", 1, RegistryAction::LostReply),
        survives("index PUT: reply lost").fault("PUT", "/manifests/v1", 1, RegistryAction::LostReply),
        fails("manifest PUT: 400 MANIFEST_INVALID", "MANIFEST_INVALID").fault(
            "PUT",
            "/manifests/",
            999,
            RegistryAction::error(400, "MANIFEST_INVALID"),
        ),
        fails("index PUT: 403 DENIED, asked once", "DENIED")
            .fault("PUT", "/manifests/v1", 999, RegistryAction::error(403, "DENIED"))
            .check(|seen| {
                let asked = seen.all("PUT").filter(|put| put.path.ends_with("/manifests/v1")).count();
                demand(asked == 1, || format!("the index was put {asked} times"))
            }),
        survives("PATCH: 400 BLOB_UPLOAD_INVALID, as of a session of another server").fault(
            "PATCH",
            UPLOADS,
            1,
            RegistryAction::error(400, "BLOB_UPLOAD_INVALID"),
        ),
        fails("index PUT: 500 for ever", "500").fault("PUT", "/manifests/v1", 999, RegistryAction::status(500)),
        fails("index PUT: 413", "413").fault("PUT", "/manifests/v1", 999, RegistryAction::status(413)),
    ]
}

impl Row {
    /// Demands that requests of a method were sent once.
    fn once(self, method: &'static str) -> Self {
        self.check(move |seen| {
            let count = seen.all(method).count();
            demand(count == 1, || format!("{count} requests by {method}"))
        })
    }
}
