//! Tests of listings, refusals and addresses as mirrors make them.

use std::time::Duration;

use modelcar_testkit::{FakeHub, FaultRule, HubAction, HubConfig, ModelTree, RepoOptions};
use serde_json::{Value, json};

use crate::{
    ErrorKind, ModelcarError,
    source::{GateReason, HubOptions, HubSource, Source, SourceError, SourceFile, TokenUse},
};

const COMMIT_FILES: usize = 7;

async fn hub(config: HubConfig) -> FakeHub {
    let hub = FakeHub::start(config).await;
    let names = (0..COMMIT_FILES - 1).map(|at| format!("{at}.json"));
    let tree = names.fold(ModelTree::new(), |tree, name| tree.file(&name, "{}"));
    hub.add_repo("a/m", "main", tree.lfs("w.bin", vec![1; 1000]));
    hub
}

fn options(hub: &FakeHub, token: Option<&str>) -> HubOptions {
    let retry_base = Duration::from_millis(1);
    HubOptions { endpoint: hub.endpoint(), retry_base, token: token.map(Into::into), ..HubOptions::default() }
}

async fn list(options: HubOptions) -> Result<Vec<SourceFile>, SourceError> {
    HubSource::resolve(&"a/m".parse().unwrap(), options).await?.list().await
}

#[tokio::test]
async fn the_next_page_is_asked_of_the_mirror_whoever_it_names() {
    for base in ["https://huggingface.co", "http://127.0.0.1:1", "https://127.0.0.1"] {
        let hub = hub(HubConfig { page_size: 3, ..HubConfig::default() }).await;
        for page in 1..3 {
            let at = page * 3;
            let link = format!("<{base}/api/models/a/m/tree/main?recursive=true&cursor=page-{at}>; rel=\"next\"");
            let header = vec![("link".to_owned(), link)];
            hub.fault(FaultRule::new("/tree/", HubAction::ExtraHeaders(header)).times(1));
        }
        assert_eq!(list(options(&hub, None)).await.unwrap().len(), COMMIT_FILES, "{base}");
    }
}

#[tokio::test]
async fn a_mirror_without_a_tree_lists_files_in_the_description() {
    let hub = hub(HubConfig::default()).await;
    let expected = list(options(&hub, None)).await.unwrap();
    for status in [404, 405, 501] {
        hub.fault(FaultRule::new("/tree/", HubAction::status(status)).times(1));
        let listed = list(options(&hub, None)).await.unwrap();
        assert_eq!(listed, expected, "{status}");
    }
}

#[tokio::test]
async fn hashes_that_a_mirror_leaves_out_are_told() {
    let hub = hub(HubConfig::default()).await;
    let file = |more: Value| {
        let mut file = json!({"path": "w.bin", "type": "file", "size": 1000});
        file.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!([file])
    };
    for more in [json!({}), json!({"lfs": {"oid": "?", "size": 1000}}), json!({"oid": null})] {
        hub.fault(FaultRule::new("/tree/", HubAction::ListingOverride(file(more))).times(1));
        let error = list(options(&hub, None)).await.unwrap_err();
        assert!(matches!(&error, SourceError::NoHash { path, .. } if path == "w.bin"), "{error}");
        assert!(error.to_string().starts_with("the mirror at 127.0.0.1:"), "{error}");
    }
}

#[tokio::test]
async fn a_listing_that_does_not_end_is_refused() {
    let entry = |name: &str| json!([{"path": name, "type": "file", "size": 1, "oid": "ab".repeat(20)}]);
    let said = async |body: Value, links: &[&str]| {
        let hub = hub(HubConfig::default()).await;
        for link in links {
            let link = format!("<{}/api/models/a/m/tree/x?cursor={link}>; rel=\"next\"", hub.endpoint());
            let headers = vec![("link".to_owned(), link)];
            let action = HubAction::Status { code: 200, headers, body: body.to_string() };
            hub.fault(FaultRule::new("/tree/", action).times(1));
        }
        list(options(&hub, None)).await.unwrap_err().to_string()
    };
    let text = said(entry("a"), &["1", "2", "3"]).await;
    assert!(text.contains("comes again under another address"), "{text}");
    let text = said(json!([]), &["1", "2", "1"]).await;
    assert!(text.contains("leads back to an earlier one"), "{text}");
    let many: Vec<String> = (0..20).map(|at| at.to_string()).collect();
    let text = said(json!([]), &many.iter().map(String::as_str).collect::<Vec<_>>()).await;
    assert!(text.contains("pages of it are empty"), "{text}");
}

/// Resolves a model whose file is read by nobody yet, and reads it.
async fn refused(hub: &FakeHub, options: HubOptions) -> SourceError {
    use futures_util::TryStreamExt;
    let read = async {
        let source = HubSource::resolve(&"a/m".parse().unwrap(), options).await?;
        let file = source.list().await?.remove(0);
        let extent = crate::source::Extent { offset: 0, len: file.size, file: file.into() };
        source.read(vec![extent], &crate::source::ReadBudget::sequential()).try_collect::<Vec<_>>().await
    };
    let error = read.await.unwrap_err();
    assert!(crate::error::chain(&error).contains("127.0.0.1:"), "{error}");
    assert!(!hub.requests().is_empty());
    error
}

#[tokio::test]
async fn a_gate_tells_why_it_is_closed_in_the_hubs_own_words() {
    let config = HubConfig { tokens: vec!["hf_token".to_owned()], ..HubConfig::default() };
    let hub = hub(config).await;
    for (message, expected) in [
        (
            "Please enable access to public gated repositories in your fine-grained token settings.",
            GateReason::TokenPermission,
        ),
        ("Your request to access model a/m is awaiting a review from the repo authors.", GateReason::Pending),
        ("Your request to access model a/m has been rejected by the repo's authors.", GateReason::Rejected),
        ("Access is restricted, hf_token\u{1b}[2J is not in the list.", GateReason::NoAccess),
    ] {
        let headers = vec![("x-error-code".to_owned(), "GatedRepo".to_owned())];
        let body = json!({"error": message}).to_string();
        hub.fault(FaultRule::new("/resolve/", HubAction::Status { code: 403, headers, body }).times(1));
        let error = refused(&hub, options(&hub, Some("hf_token"))).await;
        assert!(matches!(&error, SourceError::Gated { reason, .. } if *reason == expected), "{error:?}");
        assert_eq!(error.kind(), ErrorKind::Denied);
        let chain = crate::error::chain(&error);
        assert!(chain.contains("GatedRepo") && chain.contains(&message[..20]), "{chain}");
        assert!(!chain.contains("hf_token") && !chain.contains('\u{1b}'), "{chain}");
    }
}

#[tokio::test]
async fn a_mirror_that_redirects_gets_no_token_there_and_says_so() {
    let real = hub(HubConfig::default()).await;
    real.configure_repo("a/m", RepoOptions { private: true, ..RepoOptions::default() });
    let mirror = hub(HubConfig { tokens: vec!["hf_token".to_owned()], ..HubConfig::default() }).await;
    let location = format!("{}/api/models/a/m/revision/main", real.endpoint());
    let headers = vec![("location".to_owned(), location)];
    mirror.fault(FaultRule::new("/api/", HubAction::Status { code: 308, headers, body: String::new() }));
    let error = list(options(&mirror, Some("hf_token"))).await.unwrap_err();
    let SourceError::RepositoryNotFound { token, by, .. } = &error else { panic!("{error}") };
    assert!(matches!(token, TokenUse::Withheld { .. }), "{error}");
    assert!(real.endpoint().ends_with(by.host()), "{error}");
    assert!(error.to_string().contains("the token was not sent there"), "{error}");
    assert!(real.requests().iter().all(|request| !request.authorization));

    let problem = Some("the file can't be read".to_owned());
    let error = list(HubOptions { token_problem: problem, ..options(&real, None) }).await.unwrap_err();
    assert!(error.to_string().ends_with("(no token was sent: the file can't be read)"), "{error}");
}
