//! What goes wrong between the Hub and a push, and what comes of it: a table of its own.
//!
//! All rows push one model of one Hub, so that a push that survives has one digest.

use std::{
    iter::successors,
    sync::Arc,
    time::{Duration, Instant},
};

use modelcar_core::{
    BuildOptions, ImageRef,
    base::BaseRef,
    plan::{Layering, PlanOptions},
    progress::NoProgress,
    push::{Connections, ModelContents, Push},
    registry::{KeychainChain, Registries, RegistryOptions},
    source::HubOptions,
};
use modelcar_testkit::{
    FakeHub, FakeRegistry, FaultRule, HubAction, HubConfig, ModelTree, RegistryConfig, RepoOptions,
};
use serde_json::{Value, json};

const TOKEN: &str = "hf_never-shown";
const MODEL: &str = "acme/tiny";
const WEIGHTS: &str = "w.bin";
/// Size of the weights: two parts and more.
const LARGE: usize = 9 << 20;
/// No row may take longer, on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_mins(2);
/// Fewest rows that the table has.
const ROWS: usize = 60;

enum Expect {
    Survives,
    /// An error that says all of these.
    Fails(&'static [&'static str]),
}

struct Row {
    area: &'static str,
    fault: String,
    expect: Expect,
    rules: Vec<FaultRule<HubAction>>,
    options: RepoOptions,
    token: Option<&'static str>,
}

impl Row {
    fn rule(mut self, rule: FaultRule<HubAction>) -> Self {
        self.rules.push(rule);
        self
    }

    fn gated(mut self, granted: &[&str]) -> Self {
        self.options.gated = Some("manual".to_owned());
        self.options.granted = granted.iter().map(|token| (*token).to_owned()).collect();
        self
    }

    fn token(mut self, token: &'static str) -> Self {
        self.token = Some(token);
        self
    }
}

fn row(area: &'static str, fault: impl Into<String>, expect: Expect) -> Row {
    Row { area, fault: fault.into(), expect, rules: Vec::new(), options: RepoOptions::default(), token: None }
}

fn survives(area: &'static str, fault: impl Into<String>, rule: FaultRule<HubAction>) -> Row {
    row(area, fault, Expect::Survives).rule(rule)
}

fn fails(
    area: &'static str,
    fault: impl Into<String>,
    rule: FaultRule<HubAction>,
    says: &'static [&'static str],
) -> Row {
    row(area, fault, Expect::Fails(says)).rule(rule)
}

/// A rule for what the Hub says of a model.
fn info(action: HubAction) -> FaultRule<HubAction> {
    FaultRule::new("/revision/", action).server("hub")
}

fn tree(action: HubAction) -> FaultRule<HubAction> {
    FaultRule::new("/tree/", action).server("hub")
}

/// A rule for a file that the Hub has itself.
fn small(action: HubAction) -> FaultRule<HubAction> {
    FaultRule::new("/config.json", action).server("hub")
}

/// A rule for the Hub's redirect to the store.
fn link(action: HubAction) -> FaultRule<HubAction> {
    FaultRule::new(WEIGHTS, action).server("hub")
}

fn store(action: HubAction) -> FaultRule<HubAction> {
    FaultRule::new(WEIGHTS, action).server("cdn")
}

fn answer(code: u16, headers: &[(&str, &str)], body: impl Into<String>) -> HubAction {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    HubAction::Status { code, headers, body: body.into() }
}

fn html(code: u16) -> HubAction {
    answer(code, &[("content-type", "text/html")], "<html>Blocked by policy</html>")
}

fn said(code: u16, error: &str, message: &str) -> HubAction {
    answer(code, &[("x-error-code", error), ("x-error-message", message)], "")
}

fn header(name: &str, value: &str) -> HubAction {
    HubAction::ExtraHeaders(vec![(name.to_owned(), value.to_owned())])
}

fn without(name: &str) -> HubAction {
    HubAction::WithoutHeader(name.to_owned())
}

fn file(change: &Value) -> Value {
    let mut file = json!({"type": "file", "path": "config.json", "size": 2, "oid": "ab".repeat(20)});
    file.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    json!([file])
}

fn passing() -> Vec<Row> {
    let mut rows = Vec::new();
    for code in [408, 425, 429, 500, 502, 503, 504] {
        rows.push(survives("passing", format!("the model: {code} twice"), info(HubAction::status(code)).times(2)));
        rows.push(survives("passing", format!("the store: {code} twice"), store(HubAction::status(code)).times(2)));
    }
    let stall = HubAction::Stall { at: 1 << 20, pause: Duration::from_secs(30) };
    rows.extend([
        survives("passing", "the listing: 503 once", tree(HubAction::status(503)).times(1)),
        survives("passing", "the listing: the connection is closed", tree(HubAction::Hangup).times(2)),
        survives("passing", "the redirect: 500 once", link(HubAction::status(500)).times(1)),
        survives("passing", "a small file: 502 once", small(HubAction::status(502)).times(1)),
        survives("passing", "429, Retry-After: 1", info(answer(429, &[("retry-after", "1")], "")).times(1)),
        survives("passing", "429, RateLimit", info(answer(429, &[("ratelimit", "\"api\";r=0;t=0")], "")).times(1)),
        survives("passing", "the store: the connection is closed twice", store(HubAction::Hangup).times(2)),
        survives(
            "passing",
            "the store breaks off at 1 MB, each time",
            store(HubAction::Truncate { after_bytes: 1 << 20 }),
        ),
        survives("passing", "the store stalls once", store(stall).times(1)),
        survives("passing", "the store gives 1 MiB of each range", store(HubAction::ShortRange { most: 1 << 20 })),
    ]);
    for code in [400, 401, 403, 404, 410] {
        let rule = store(HubAction::status(code)).after(1).times(1);
        rows.push(survives("signed URL", format!("expires inside a layer, told by {code}"), rule));
    }
    rows
}

fn mirrors() -> Vec<Row> {
    let page = "<https://huggingface.co/api/models/acme/tiny/tree/main?recursive=true&cursor=page-2>; rel=\"next\"";
    let mut rows: Vec<Row> = [404, 405, 501]
        .map(|code| {
            survives("mirror", format!("no tree ({code}): the description lists"), tree(HubAction::status(code)))
        })
        .into();
    rows.extend([
        survives("mirror", "the next page is named on huggingface.co", tree(header("link", page)).times(1)),
        survives("mirror", "the store knows no ranges", store(HubAction::IgnoreRange)),
        survives("mirror", "206 without Content-Range", store(without("content-range"))),
        survives("mirror", "no X-Linked-ETag, X-Linked-Size is right", link(without("x-linked-etag"))),
        survives("mirror", "no X-Linked-Size", link(without("x-linked-size"))),
        survives("mirror", "no X-Repo-Commit", link(without("x-repo-commit"))),
        survives("mirror", "no ETag", small(without("etag"))),
        survives("mirror", "an ETag of its own", small(header("etag", "W/\"1-2\""))),
        fails(
            "mirror",
            "no tree and no description",
            tree(HubAction::status(404)),
            &["the mirror at 127.0.0.1:", "404"],
        )
        .rule(info(HubAction::status(404)).after(1)),
        fails(
            "mirror",
            "a file without a hash",
            tree(HubAction::ListingOverride(file(&json!({"oid": null})))),
            &["the mirror at 127.0.0.1:", "`config.json` without the hash"],
        ),
        fails(
            "mirror",
            "weights without their SHA-256",
            tree(HubAction::ListingOverride(file(&json!({"path": WEIGHTS, "size": LARGE})))),
            &["the mirror at 127.0.0.1:", WEIGHTS, "without the SHA-256"],
        ),
        fails(
            "mirror",
            "redirects to itself for ever",
            info(answer(307, &[("location", "/api/models/acme/tiny/revision/main")], "")),
            &["acme/tiny", "127.0.0.1:", "redirects"],
        ),
        fails(
            "mirror",
            "redirects without a Location",
            link(answer(302, &[], "")),
            &[WEIGHTS, "Location", "127.0.0.1:"],
        ),
        fails(
            "mirror",
            "redirects out of HTTP",
            link(answer(302, &[("location", "ftp://h/x")], "")),
            &[WEIGHTS, "leaves http", "127.0.0.1:"],
        ),
    ]);
    rows
}

fn refusals() -> Vec<Row> {
    let gate = |message: &str| said(403, "GatedRepo", message);
    let last = "A token hf_never-shown is not in the authorized list.";
    vec![
        fails(
            "refusal",
            "no such model, by code",
            info(said(404, "RepoNotFound", "Repository not found")),
            &["`acme/tiny` was not found on the mirror at 127.0.0.1:", "RepoNotFound: Repository not found"],
        ),
        fails("refusal", "no such model, by status", info(HubAction::status(404)), &["`acme/tiny` was not found"]),
        fails("refusal", "401 without a token", info(HubAction::status(401)), &["was not found", "no token was sent"]),
        fails(
            "refusal",
            "no such revision",
            info(said(404, "RevisionNotFound", "Invalid rev id: main")),
            &["no revision `main`", "Invalid rev id"],
        ),
        fails("refusal", "403 from the Hub", info(said(403, "Forbidden", "No right")), &["403", "Forbidden: No right"]),
        row("gated", "no token", Expect::Fails(&["gated", "no token was sent", "GatedRepo"])).gated(&[]),
        row("gated", "a token with access", Expect::Survives).gated(&[TOKEN]).token(TOKEN),
        row("gated", "a token of another account", Expect::Fails(&["gated", "has no access"])).gated(&[]).token(TOKEN),
        row("gated", "a token that is none", Expect::Fails(&["401", "Invalid credentials"])).token("hf_other"),
        fails("gated", "the request is pending", small(gate("Your request is awaiting a review")), &["is pending"])
            .token(TOKEN),
        fails(
            "gated",
            "the request was rejected",
            small(gate("Your request has been rejected")),
            &["rejected the request"],
        )
        .token(TOKEN),
        fails(
            "gated",
            "a fine-grained token",
            small(gate("Enable it in your fine-grained token settings")),
            &["lacks the permission", "127.0.0.1:"],
        )
        .token(TOKEN),
        fails("gated", "the message repeats the token", small(gate(last)), &["[secret] is not in the"]).token(TOKEN),
        fails("store", "403 for ever", store(HubAction::status(403)), &[WEIGHTS, "the store at 127.0.0.1:", "403"]),
        fails("store", "401 for ever", store(HubAction::status(401)), &[WEIGHTS, "the store at 127.0.0.1:", "401"]),
        fails("store", "400 for ever", store(HubAction::status(400)), &[WEIGHTS, "the store at 127.0.0.1:", "400"]),
        fails("store", "407 of a proxy", store(HubAction::status(407)), &[WEIGHTS, "the proxy before 127.0.0.1:"]),
        fails(
            "store",
            "a web page as 403",
            store(html(403)),
            &[WEIGHTS, "the store at 127.0.0.1:", "Blocked by policy"],
        ),
        fails("store", "a web page as 200", store(html(200)), &[WEIGHTS, "the store at 127.0.0.1:", "a web page"]),
        fails("store", "503 for ever", store(HubAction::status(503)), &[WEIGHTS, "the store at 127.0.0.1:", "503"]),
        fails("store", "closes every connection", store(HubAction::Hangup), &[WEIGHTS, "127.0.0.1:"]),
        fails(
            "store",
            "breaks off at once, each time",
            store(HubAction::Truncate { after_bytes: 1000 }),
            &[WEIGHTS, "127.0.0.1:", "broke off"],
        ),
        fails(
            "store",
            "another size in Content-Range",
            store(header("content-range", "bytes 0-1/2")),
            &[WEIGHTS, "the store at 127.0.0.1:", "in place of"],
        ),
        fails("store", "the body is compressed", store(header("content-encoding", "gzip")), &[WEIGHTS, "encoded"]),
    ]
}

fn hostile() -> Vec<Row> {
    let listing = |change: Value| tree(HubAction::ListingOverride(file(&change)));
    let raw = |body: String| tree(answer(200, &[("content-type", "application/json")], body));
    let again = "<?cursor=page-0>; rel=\"next\"";
    vec![
        fails("hostile", "a page that is its own next one", tree(header("link", again)), &["acme/tiny", "page of it"]),
        fails("hostile", "pages without an end", tree(HubAction::EndlessListing), &["acme/tiny", " pages"]),
        fails(
            "hostile",
            "one byte now and then, for ever",
            tree(HubAction::Drip { every: Duration::from_millis(50) }),
            &["list the files of `acme/tiny`", "127.0.0.1:", "not whole after"],
        ),
        fails("hostile", "a page of 33 MiB", raw(" ".repeat(33 << 20)), &["acme/tiny", "larger than 32 MiB"]),
        fails("hostile", "a path of 31 MiB", listing(json!({"path": "a".repeat(31 << 20)})), &["acme/tiny", "4096"]),
        fails(
            "hostile",
            "31 MiB of numbers as a size",
            raw(format!("[{{\"type\":\"file\",\"path\":\"config.json\",\"size\":[{}0]}}]", "0,".repeat(15 << 20))),
            &["no usable size"],
        ),
        fails("hostile", "nested 100 000 deep", raw("[".repeat(100_000)), &["list the files", "not the expected JSON"]),
        fails("hostile", "a text in the place of the list", raw("\"x\"".to_owned()), &["not the expected JSON"]),
        fails("hostile", "a web page as the list", tree(html(200)), &["list the files of `acme/tiny`", "a web page"]),
        fails("hostile", "a path that leads out", listing(json!({"path": "../x"})), &["acme/tiny", "can't be used"]),
        fails("hostile", "a backslash in a path", listing(json!({"path": "a\\b"})), &["acme/tiny", "backslash"]),
        fails("hostile", "a negative size", listing(json!({"size": -1})), &["`config.json` has no usable size"]),
        fails("hostile", "an absurd size", listing(json!({"size": u64::MAX})), &["`config.json` has an absurd size"]),
        fails("hostile", "the commit is a megabyte", info(answer(200, &[], id(&"a".repeat(1 << 20)))), &["acme/tiny"]),
        fails("hostile", "the model is a list", info(answer(200, &[], "[]")), &["acme/tiny", "not the expected JSON"]),
        fails(
            "hostile",
            "another hash at the redirect",
            link(header("x-linked-etag", &"ab".repeat(32))),
            &[WEIGHTS, "was listed"],
        ),
        fails(
            "hostile",
            "another size at the redirect",
            link(header("x-linked-size", "7")),
            &[WEIGHTS, "7 are offered"],
        ),
        fails("hostile", "one bit of the weights", store(HubAction::Corrupt { at: 500 }), &[WEIGHTS]),
        fails("hostile", "one bit of a small file", small(HubAction::Corrupt { at: 1 }), &["config.json"]),
    ]
}

fn id(commit: &str) -> String {
    json!({"id": MODEL, "sha": commit}).to_string()
}

/// Pushes the model with the faults of a row; returns the digest, or the error in words.
async fn push(hub: &FakeHub, registry: &FakeRegistry, token: Option<&str>) -> Result<String, String> {
    let told = |error: modelcar_core::Error| {
        let texts: Vec<String> = successors(Some(&error as &dyn std::error::Error), |error| error.source())
            .map(ToString::to_string)
            .collect();
        for pair in texts.windows(2) {
            assert!(!pair[0].contains(&pair[1]), "said twice: {} of {texts:?}", pair[1]);
        }
        texts.join(": ")
    };
    let options = HubOptions {
        endpoint: hub.endpoint(),
        token: token.map(Into::into),
        retry_base: Duration::from_millis(2),
        stall_timeout: Duration::from_secs(10),
        ..HubOptions::default()
    };
    let layering = Layering { own_layer_bytes: 500 << 10, ..Layering::default() };
    let contents = ModelContents::new(format!("hf://{MODEL}").parse().unwrap())
        .with_base(BaseRef::Scratch)
        .with_options(PlanOptions { layering, ..PlanOptions::default() });
    let image: ImageRef = format!("{}/team/tiny:v1", registry.host()).parse().unwrap();
    let registries = Registries::new(Arc::new(KeychainChain::new(Vec::new())), RegistryOptions::default());
    let connections = Connections::new(registries).with_hub(Some(options));
    let push = Push::new(contents, image, connections)
        .with_reuse(None)
        .with_build_options(BuildOptions { progress: Arc::new(NoProgress), ..BuildOptions::default() });
    let prepared = push.prepare().await.map_err(told)?;
    Ok(prepared.run().await.map_err(told)?.built.digest.to_string())
}

/// Runs a row and returns its last column, and what is not as it must be.
fn run(runtime: &tokio::runtime::Runtime, hub: &FakeHub, row: Row, clean: Option<&str>) -> (String, Option<String>) {
    hub.clear_faults();
    hub.configure_repo(MODEL, row.options);
    for rule in row.rules {
        hub.fault(rule);
    }
    let registry = FakeRegistry::start_blocking(RegistryConfig::default());
    let pushing = async { tokio::time::timeout(PATIENCE, push(hub, &registry, row.token)).await };
    let result = runtime.block_on(pushing).unwrap_or_else(|_| Err("it did not end".to_owned()));
    let published =
        !registry.tags().is_empty() || registry.manifests().iter().any(|(_, found)| found.media_type.contains("index"));
    let wrong = match (&row.expect, &result) {
        (_, Err(_)) if published => Some("something was published".to_owned()),
        (_, Err(error)) if error.contains(TOKEN) || error.len() > 3000 => Some("it shows too much".to_owned()),
        (Expect::Survives, Ok(digest)) if clean.is_none_or(|clean| digest == clean) => None,
        (Expect::Fails(says), Err(error)) if says.iter().all(|part| error.contains(part)) => None,
        (Expect::Fails(says), _) => Some(format!("must say {says:?}")),
        _ => Some("must survive with the clean digest".to_owned()),
    };
    let shown = match result {
        Ok(digest) if clean == Some(&digest) => "same digest".to_owned(),
        Ok(digest) => digest,
        Err(error) => format!("nothing published: {error}"),
    };
    (shown, wrong)
}

#[test]
fn table_of_the_hub() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let config = HubConfig { page_size: 2, tokens: vec![TOKEN.to_owned()], ..HubConfig::default() };
    let hub = FakeHub::start_blocking(config);
    let weights: Vec<u8> = (0..LARGE).map(|at| (at.wrapping_mul(7) >> 3).to_le_bytes()[0]).collect();
    let files = ModelTree::new().file("config.json", "{}").file("tokenizer.json", "{}").file("vocab.json", "{}");
    hub.add_repo(MODEL, "main", files.lfs(WEIGHTS, weights));
    let (clean, wrong) = run(&runtime, &hub, row("none", "no fault", Expect::Survives), None);
    assert_eq!(wrong, None, "{clean}");
    let rows: Vec<Row> = [passing(), mirrors(), refusals(), hostile()].into_iter().flatten().collect();
    assert!(rows.len() >= ROWS, "{} rows", rows.len());
    let (count, mut all_wrong) = (rows.len(), Vec::new());
    for row in rows {
        let (area, fault, begun) = (row.area, row.fault.clone(), Instant::now());
        let (shown, wrong) = run(&runtime, &hub, row, Some(&clean));
        println!("{area:<18} {fault:<66} {:>5} ms  {shown}", begun.elapsed().as_millis());
        all_wrong.extend(wrong.map(|wrong| format!("{area}: {fault}: {wrong}: {shown}")));
    }
    println!("\n{count} rows of the Hub");
    assert!(all_wrong.is_empty(), "\n{}", all_wrong.join("\n"));
}
