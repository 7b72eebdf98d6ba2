//! What goes wrong between an object store and a push, and what comes of it: a table of its own.
//!
//! Every row has a store with one model, which is planned, may change, and is built. A row that survives gives the digest
//! that it gives without the fault.

use std::{
    iter::successors,
    sync::Arc,
    time::{Duration, Instant},
};

use modelcar_core::{
    BuildOptions,
    base::BaseRef,
    http::Secret,
    plan::{Layering, PlanOptions},
    progress::NoProgress,
    push::{Connections, ModelContents},
    registry::{KeychainChain, Registries, RegistryOptions},
    sink::{MemorySink, Sink},
    source::StoreOptions,
};
use modelcar_testkit::{Dialect, FakeStore, FaultRule, ModelTree, StoreAction, StoreConfig};

const KEY: &str = "AKIA-named-in-requests";
const SECRET: &str = "never-shown-secret";
const BEARER: &str = "ya29.never-shown";
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

/// What happens between plan and build.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Between {
    Nothing,
    Replaced,
    Deleted,
    Same,
}

struct Row {
    fault: &'static str,
    expect: Expect,
    rules: Vec<FaultRule<StoreAction>>,
    config: StoreConfig,
    between: Between,
    url: &'static str,
    /// Whether the caller has credentials, and good ones.
    login: Option<&'static str>,
}

fn row(fault: &'static str, expect: Expect) -> Row {
    let config = StoreConfig::default();
    Row { fault, expect, rules: Vec::new(), config, between: Between::Nothing, url: "models/tiny", login: None }
}

fn survives(fault: &'static str, rule: FaultRule<StoreAction>) -> Row {
    Row { rules: vec![rule], ..row(fault, Expect::Survives) }
}

fn fails(fault: &'static str, rule: FaultRule<StoreAction>, says: &'static [&'static str]) -> Row {
    Row { rules: vec![rule], ..row(fault, Expect::Fails(says)) }
}

fn list(action: StoreAction) -> FaultRule<StoreAction> {
    FaultRule::new("list-type=2", action)
}

fn weights(action: StoreAction) -> FaultRule<StoreAction> {
    FaultRule::new(WEIGHTS, action)
}

fn refuse(status: u16, code: &'static str) -> StoreAction {
    StoreAction::Refuse { status, code, headers: Vec::new() }
}

fn told(status: u16, code: &'static str, name: &'static str, value: &str) -> StoreAction {
    StoreAction::Refuse { status, code, headers: vec![(name, value.to_owned())] }
}

fn passing() -> Vec<Row> {
    vec![
        Row {
            config: StoreConfig { page_size: 1, ..StoreConfig::default() },
            ..row("a page for each object", Expect::Survives)
        },
        survives("list: 500 once", list(refuse(500, "InternalError")).times(1)),
        survives("list: 503 SlowDown twice", list(refuse(503, "SlowDown")).times(2)),
        survives("list: closes the connection once", list(StoreAction::Hangup).times(1)),
        survives("list: 429 with Retry-After", list(told(429, "TooManyRequests", "retry-after", "0")).times(1)),
        survives("read: 500 once", weights(refuse(500, "InternalError")).times(1)),
        survives("read: 503 SlowDown three times", weights(refuse(503, "SlowDown")).times(3)),
        survives("read: closes the connection once", weights(StoreAction::Hangup).times(1)),
        survives("read: cut in the middle", weights(StoreAction::Truncate(1_000_000)).times(1)),
        survives("read: cut in the middle, twice, later", weights(StoreAction::Truncate(3_000_000)).after(2).times(2)),
        survives("read: stalls once", weights(StoreAction::Stall(70_000, Duration::from_secs(5))).times(1)),
        Row { between: Between::Same, ..row("the same bytes are put again", Expect::Survives) },
    ]
}

fn failing() -> Vec<Row> {
    vec![
        Row {
            url: "other/tiny",
            ..row("no such bucket", Expect::Fails(&["list `", "other/tiny`", "404 NoSuchBucket"]))
        },
        Row { url: "models/none", ..row("an empty folder", Expect::Fails(&["models/none` holds no objects"])) },
        fails("list: 403", list(refuse(403, "AccessDenied")), &["list `", "models/tiny`", "403 AccessDenied"]),
        fails("list: expired credentials", list(refuse(400, "ExpiredToken")), &["400 ExpiredToken"]),
        fails("list: 500 for ever", list(refuse(500, "InternalError")), &["500 InternalError"]),
        fails("list: 503 SlowDown for ever", list(refuse(503, "SlowDown")), &["503 SlowDown"]),
        fails("list: closes every connection", list(StoreAction::Hangup), &["list `", "no answer"]),
        fails(
            "list: the bucket is elsewhere",
            list(told(301, "PermanentRedirect", "x-amz-bucket-region", "eu-west-9")),
            &["301 PermanentRedirect: the bucket is in region `eu-west-9`"],
        ),
        fails(
            "list: a web page",
            list(StoreAction::Text(200, "<html>Blocked</html>".into())),
            &["models/tiny` holds no"],
        ),
        fails("list: no XML", list(StoreAction::Text(200, "Blocked <by".into())), &["list `"]),
        fails("list: a web page as 403", list(StoreAction::Text(403, "<html>no</html>".into())), &["status 403"]),
        fails("list: no entity tags", list(StoreAction::WithoutTags), &["without an entity tag and a version"]),
        fails("list: a wrong size", list(StoreAction::Larger(3)), &["changed while it was read", "were listed"]),
        fails("read: 403", weights(refuse(403, "AccessDenied")), &["read `", "tiny/w.bin`", "403 AccessDenied"]),
        fails(
            "read: expired credentials in the middle",
            weights(refuse(400, "ExpiredToken")).after(2),
            &["ExpiredToken"],
        ),
        fails("read: 500 for ever", weights(refuse(500, "InternalError")), &[WEIGHTS, "500 InternalError"]),
        fails("read: closes every connection", weights(StoreAction::Hangup), &[WEIGHTS, "no answer"]),
        fails("read: breaks off at once, each time", weights(StoreAction::Truncate(1000)), &[WEIGHTS, "broke off"]),
        fails("read: shorter than asked for", weights(StoreAction::Most(1000)), &[WEIGHTS]),
        fails("read: the whole object in place of a range", weights(StoreAction::IgnoreRange), &[WEIGHTS]),
        fails("read: replaced in the first read", weights(StoreAction::Replace).times(1), &["w.bin` changed while"]),
        fails("read: deleted in the first read", weights(StoreAction::Delete).times(1), &["w.bin` changed while"]),
        fails(
            "read: replaced in the middle",
            weights(StoreAction::Replace).after(1).times(1),
            &["w.bin` changed while"],
        ),
        fails(
            "read: a bit flips in the first read",
            weights(StoreAction::Corrupt(500)).times(1),
            &["content of `w.bin`"],
        ),
        fails("read: a bit flips later", weights(StoreAction::Corrupt(500)).after(1).times(9), &["content of `w.bin`"]),
        Row { between: Between::Replaced, ..row("replaced after the plan", Expect::Fails(&["w.bin` changed while"])) },
        Row { between: Between::Deleted, ..row("deleted after the plan", Expect::Fails(&["w.bin` changed while"])) },
        Row {
            between: Between::Replaced,
            config: StoreConfig { overlooks_conditions: true, ..StoreConfig::default() },
            ..row("replaced, and conditions are overlooked", Expect::Fails(&["w.bin` changed while"]))
        },
    ]
}

fn logins(dialect: Dialect) -> Vec<Row> {
    let expected = match dialect {
        Dialect::S3 => KEY,
        Dialect::Gcs => BEARER,
    };
    let closed = || StoreConfig { login: Some(expected.to_owned()), ..StoreConfig::default() };
    vec![
        Row { config: closed(), login: Some("good"), ..row("login: good credentials", Expect::Survives) },
        Row { config: closed(), ..row("login: none where some are needed", Expect::Fails(&["403 AccessDenied"])) },
        Row {
            config: closed(),
            login: Some("bad"),
            ..row("login: wrong, and repeated by the store", Expect::Fails(&["403 InvalidAccessKeyId", "[secret]"]))
        },
    ]
}

fn options(store: &FakeStore, dialect: Dialect, login: Option<&str>) -> StoreOptions {
    let bad = login == Some("bad");
    let endpoint = store.endpoint();
    let mut settings = match dialect {
        Dialect::S3 => {
            vec![("aws_endpoint_url", endpoint.as_str()), ("aws_allow_http", "true"), ("aws_region", "eu-west-1")]
        }
        Dialect::Gcs => vec![("google_base_url", endpoint.as_str())],
    };
    match (dialect, login) {
        (Dialect::S3, None) => settings.push(("aws_skip_signature", "true")),
        (Dialect::Gcs, None) => settings.push(("google_skip_signature", "true")),
        (Dialect::S3, Some(_)) => {
            settings.push(("aws_access_key_id", if bad { "never-shown-other" } else { KEY }));
            settings.push(("aws_secret_access_key", SECRET));
        }
        (Dialect::Gcs, Some(_)) => {
            settings.push(("google_bearer_token", if bad { "never-shown-other" } else { BEARER }));
        }
    }
    StoreOptions {
        settings: settings.into_iter().map(|(name, value)| (name.to_owned(), Secret::from(value))).collect(),
        connections: 4,
        retry_base: Duration::from_millis(2),
        stall_timeout: Duration::from_secs(2),
        ..StoreOptions::default()
    }
}

/// Builds an image of the model and returns its digest, or the error in words.
async fn build(store: &FakeStore, url: &str, options: StoreOptions, between: Between) -> Result<String, String> {
    let told = |error: modelcar_core::Error| {
        let texts: Vec<String> = successors(Some(&error as &dyn std::error::Error), |error| error.source())
            .map(ToString::to_string)
            .collect();
        for pair in texts.windows(2) {
            assert!(!pair[0].contains(&pair[1]), "said twice: {} of {texts:?}", pair[1]);
        }
        assert!(!format!("{error:?}").contains("never-shown"), "{error:?}");
        texts.join(": ")
    };
    let layering = Layering { own_layer_bytes: 500 << 10, ..Layering::default() };
    let contents = ModelContents::new(url.parse().unwrap())
        .with_base(BaseRef::Scratch)
        .with_options(PlanOptions { layering, ..PlanOptions::default() });
    let registries = Registries::new(Arc::new(KeychainChain::new(Vec::new())), RegistryOptions::default());
    let connections = Connections::new(registries).with_stores(Some(options));
    assert!(!format!("{connections:?}").contains("never-shown"));
    let planned = contents.plan(&connections, &(Arc::new(NoProgress) as _)).await.map_err(told)?;
    assert!(!format!("{planned:?}").contains("never-shown"));
    match between {
        Between::Nothing => {}
        Between::Replaced => store.put("tiny/w.bin", vec![7; LARGE]),
        Between::Deleted => store.delete("tiny/w.bin"),
        Between::Same => store.put("tiny/config.json", b"{}".to_vec()),
    }
    let sink = MemorySink::new(["v1"]);
    let built = planned.build(&sink, &BuildOptions::default()).await;
    assert!(built.is_ok() || sink.published().is_none(), "something was published");
    Ok(built.map_err(told)?.digest.to_string())
}

fn run(runtime: &tokio::runtime::Runtime, dialect: Dialect, row: Row, clean: Option<&str>) -> (String, Option<String>) {
    let store = FakeStore::start(StoreConfig { dialect, ..row.config });
    let bytes: Vec<u8> = (0..LARGE).map(|at| (at.wrapping_mul(7) >> 3).to_le_bytes()[0]).collect();
    let model = ModelTree::new().file("config.json", "{}").file("tokenizer.json", "{}").file("vocab.json", "{}");
    store.put_model("tiny", &model.lfs(WEIGHTS, bytes));
    // What only begins with the folder's name is not in it.
    store.put("tiny-other/config.json", b"{}".to_vec());
    for rule in row.rules {
        store.fault(rule);
    }
    let scheme = if dialect == Dialect::S3 { "s3" } else { "gs" };
    let url = format!("{scheme}://{}", row.url);
    let options = options(&store, dialect, row.login);
    let building = async { tokio::time::timeout(PATIENCE, build(&store, &url, options, row.between)).await };
    let result = runtime.block_on(building).unwrap_or_else(|_| Err("it did not end".to_owned()));
    let has_conditions =
        |request: &modelcar_testkit::StoreRequest| request.key.is_empty() || request.if_match.is_some();
    assert!(store.requests().iter().all(has_conditions), "a read without a condition: {}", row.fault);
    let wrong = match (&row.expect, &result) {
        (_, Err(error)) if error.contains("never-shown") || error.len() > 3000 => Some("it shows too much".to_owned()),
        // A generation that is put again is another one, whatever it holds.
        (Expect::Survives, Err(_)) if row.between == Between::Same && dialect == Dialect::Gcs => None,
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
fn table_of_stores() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (mut count, mut all_wrong, mut clean) = (0, Vec::new(), None);
    for (name, dialect) in [("s3", Dialect::S3), ("gs", Dialect::Gcs)] {
        let (digest, wrong) = run(&runtime, dialect, row("no fault", Expect::Survives), clean.as_deref());
        assert_eq!(wrong, None, "{digest}");
        let clean = clean.get_or_insert(digest);
        for row in [passing(), failing(), logins(dialect)].into_iter().flatten() {
            let (fault, begun) = (row.fault, Instant::now());
            let (shown, wrong) = run(&runtime, dialect, row, Some(clean));
            println!("{name:<4} {fault:<50} {:>5} ms  {shown}", begun.elapsed().as_millis());
            all_wrong.extend(wrong.map(|wrong| format!("{name}: {fault}: {wrong}: {shown}")));
            count += 1;
        }
    }
    println!("\n{count} rows of stores");
    assert!(count >= ROWS, "{count} rows");
    assert!(all_wrong.is_empty(), "\n{}", all_wrong.join("\n"));
}
