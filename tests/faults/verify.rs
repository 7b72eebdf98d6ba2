//! What a registry accepted and does not give back, what it does not tell, and what it forgets for a moment.

use modelcar_testkit::{FaultRule, RegistryAction};

use crate::run::{LARGE, Row, Seen, demand};

const MANIFESTS: &str = "/manifests/";
const UPLOADS: &str = "/blobs/uploads/";

fn survives(fault: impl Into<String>) -> Row {
    Row::survives("verify", fault)
}

fn fails(fault: &str, says: &'static str) -> Row {
    Row::fails("verify", fault, says)
}

fn answer(code: u16, headers: &[(&str, &str)], body: &str) -> RegistryAction {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    RegistryAction::Status { code, headers, body: body.to_owned() }
}

fn page() -> RegistryAction {
    answer(200, &[("content-type", "text/html; charset=utf-8")], "<html>please sign in</html>")
}

impl Row {
    /// Demands a warning that says this.
    fn warns(self, says: &'static str) -> Self {
        self.check(move |seen| {
            let told = seen.warnings.iter().any(|warning| warning.contains(says));
            demand(told, || format!("no warning says {says:?}"))
        })
    }
}

pub(crate) fn rows() -> Vec<Row> {
    [read_back(), pages(), look_ups(), forgetful(), tags()].into_iter().flatten().collect()
}

fn read_back() -> Vec<Row> {
    let index = r#"{"schemaVersion":2,"manifests":[]}"#;
    let index = answer(200, &[("content-type", "application/vnd.oci.image.index.v1+json")], index);
    let short = answer(206, &[("content-range", "bytes 99-99/100")], "x");
    let gone = || RegistryAction::error(404, "BLOB_UNKNOWN");
    vec![
        fails("the manifests are gone", "so nothing of it should be deployed: index `sha256:")
            .fault("GET", "/manifests/sha256", 999, RegistryAction::error(404, "MANIFEST_UNKNOWN"))
            .stays_published(),
        fails("the tag is gone", "tag `v1` is not there")
            .fault("GET", "/manifests/v1", 999, RegistryAction::error(404, "MANIFEST_UNKNOWN"))
            .stays_published(),
        fails("the layers are gone, HEAD says that they are there", "layer `sha256:")
            .fault("GET", "/blobs/sha256", 999, gone())
            .stays_published(),
        fails("the layers are cut", "has 100 bytes, expected")
            .fault("GET", "/blobs/sha256", 999, short)
            .stays_published(),
        fails("another document comes under the digest", "gave wrong bytes")
            .fault("GET", "/manifests/sha256", 999, index.clone())
            .stays_published(),
        fails("a login that may push and not read", "may not read it")
            .fault("GET", "/v2/", 999, RegistryAction::error(403, "DENIED"))
            .before_weights(),
        fails("the registry is down when the image is read back", "status 503")
            .rule(FaultRule::new("/v2/", RegistryAction::status(503)).method("GET").after(1))
            .stays_published(),
        survives("the registry agrees with itself at the second look")
            .rule(FaultRule::new(MANIFESTS, RegistryAction::status(404)).method("GET").after(1).times(3)),
        survives("the layers come at the second look").fault("GET", "/blobs/sha256", 4, gone()),
        survives("another push moves the tag")
            .rule(FaultRule::new("/manifests/v1", index).method("GET").after(1))
            .warns("another push moved it"),
        survives("ranges are ignored").fault("GET", "/blobs/", 999, RegistryAction::IgnoreRange),
        survives("blobs are in another store").config(|config| config.redirect_blobs = true),
        survives("the last byte of each layer is read and no more").check(|seen| {
            let ranges = seen.all("GET").filter(|request| request.range.is_some()).count();
            demand(ranges == 3, || format!("{ranges} ranges for three layers"))
        }),
        survives("PATCH keeps a part and says so: the rest is sent")
            .in_order()
            .fault("PATCH", UPLOADS, 1, RegistryAction::KeepPart(2_000_000))
            .at_most(LARGE * 2),
    ]
}

fn pages() -> Vec<Row> {
    let put = |row: Row, action| row.rule(FaultRule::new("digest=", action).method("PUT"));
    vec![
        fails("a sign-in page answers the index with 200", "a web page came").fault(
            "PUT",
            "/manifests/v1",
            999,
            page(),
        ),
        fails("an empty 200 answers the index", "index `sha256:").fault(
            "PUT",
            "/manifests/v1",
            999,
            RegistryAction::status(200),
        ),
        put(fails("a sign-in page answers a commit with 200", "web page"), page()),
        survives("a sign-in page answers the HEAD of a blob").fault("HEAD", "/blobs/", 999, page()),
    ]
}

fn look_ups() -> Vec<Row> {
    let asked_once = |seen: &Seen| {
        let count = seen.all("HEAD").count();
        demand(count <= 5, || format!("{count} questions"))
    };
    let row = |code: u16| {
        survives(format!("HEAD of a blob answers {code}: asked before the weights, and no more"))
            .fault("HEAD", "/blobs/", 999, RegistryAction::status(code))
            .warns("does not tell which blobs it has")
            .check(asked_once)
    };
    [400, 405, 500, 501].map(row).into()
}

fn forgetful() -> Vec<Row> {
    let once = |path: &str, code, error: &str| {
        survives(format!("PUT {path}: {code} {error} once"))
            .fault("PUT", path, 1, RegistryAction::error(code, error))
            .warns("refuses the manifest all the same")
    };
    vec![
        once("/manifests/sha256", 404, "MANIFEST_BLOB_UNKNOWN"),
        once("/manifests/v1", 400, "BLOB_UNKNOWN"),
        once("/manifests/v1", 404, "MANIFEST_UNKNOWN"),
        fails("PUT /manifests/: 404 MANIFEST_BLOB_UNKNOWN for ever", "refuses the manifest all the same")
            .fault("PUT", MANIFESTS, 999, RegistryAction::error(404, "MANIFEST_BLOB_UNKNOWN"))
            .check(|seen| demand(seen.all("PATCH").count() == 3, || "a layer was sent again".to_owned())),
    ]
}

fn tags() -> Vec<Row> {
    let holds = |what: &str, times, action| {
        survives(format!("the tag {what}")).fault("GET", "/manifests/v1", times, action).warns("the push replaces it")
    };
    vec![
        holds("answers 400", 1, RegistryAction::status(400)),
        holds("answers 500", 5, RegistryAction::status(500)),
        holds("holds an image of schema 1", 1, answer(200, &[SCHEMA1, ("docker-content-digest", ZEROS)], "{}"))
            .warns("`v1` holds, the push replaces it: `127.0.0.1:")
            .warns("/team/models/tiny:v1` is a Docker schema 1 image"),
        holds("holds schema 1 without its media type", 1, answer(200, &[("docker-content-digest", ZEROS)], FS_LAYERS))
            .warns("Docker schema 1 image"),
        holds("holds what is no manifest", 1, answer(200, &[("docker-content-digest", ZEROS)], "{}")),
    ]
}

const SCHEMA1: (&str, &str) = ("content-type", "application/vnd.docker.distribution.manifest.v1+prettyjws");
const FS_LAYERS: &str = r#"{"schemaVersion":1,"name":"a","tag":"v1","fsLayers":[{"blobSum":"sha256:00"}]}"#;
const ZEROS: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";
