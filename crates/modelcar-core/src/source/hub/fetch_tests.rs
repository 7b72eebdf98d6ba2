//! Tests of reading a file from a Hub whose answers are cut.

use std::{sync::Arc, time::Duration};

use futures_util::TryStreamExt;
use modelcar_testkit::{FakeHub, FaultRule, HubAction, HubConfig, ModelTree};

use crate::{
    ErrorKind, ModelcarError,
    source::{Extent, HubOptions, HubSource, ReadBudget, Source, SourceError},
};

const SIZE: u64 = 5_000_000;

/// Reads a file of 5 MB in one part, every answer of the store with this fault; returns how many answers it took too.
async fn read(action: HubAction) -> (Result<bool, SourceError>, usize) {
    read_in_parts(SIZE, FaultRule::new("w.bin", action).server("cdn")).await
}

/// Reads the file in parts of this size, one after the other.
async fn read_in_parts(part: u64, rule: FaultRule<HubAction>) -> (Result<bool, SourceError>, usize) {
    let content: Vec<u8> = (0_u64..SIZE).map(|at| u8::try_from(at % 251).unwrap()).collect();
    let hub = FakeHub::start(HubConfig::default()).await;
    hub.add_repo("a/m", "main", ModelTree::new().lfs("w.bin", content.clone()));
    let retry_base = Duration::from_millis(1);
    let options = HubOptions { endpoint: hub.endpoint(), retry_base, ..HubOptions::default() };
    let source = HubSource::resolve(&"a/m".parse().unwrap(), options).await.unwrap();
    let file = source.list().await.unwrap().remove(0);
    hub.clear_requests();
    hub.fault(rule);
    let extent = Extent { offset: 0, len: file.size, file: Arc::new(file) };
    let read = source.read(vec![extent], &ReadBudget::new(1, part)).try_collect::<Vec<_>>().await;
    let stored = hub.requests().iter().filter(|request| request.server.name() == "cdn").count();
    (read.map(|chunks| chunks.concat() == content), stored)
}

#[tokio::test]
async fn a_store_that_caps_ranges_is_asked_on() {
    let (read, answers) = read(HubAction::ShortRange { most: 300_000 }).await;
    assert!(read.unwrap());
    assert_eq!(answers, 17);
}

#[tokio::test]
async fn a_line_that_drops_now_and_then_is_no_failure_of_the_part() {
    let (dropped, answers) = read(HubAction::Truncate { after_bytes: 600_000 }).await;
    assert!(dropped.unwrap());
    assert!(answers > 5, "{answers}");
    let (stuck, answers) = read(HubAction::Truncate { after_bytes: 1000 }).await;
    assert_eq!(stuck.unwrap_err().kind(), ErrorKind::Network);
    assert_eq!(answers, 5);
}

#[tokio::test]
async fn a_store_that_is_out_of_reach_after_bytes_came_is_waited_for() {
    for (status, after, tries) in [(503, 0, 5), (503, 2, 12), (500, 2, 7)] {
        let (read, answers) = read_in_parts(PART, store(HubAction::status(status)).after(after)).await;
        assert_eq!(read.unwrap_err().kind(), ErrorKind::Network);
        assert_eq!(answers, tries, "{status} after {after} answers");
    }
}

const PART: u64 = 1 << 20;

fn store(action: HubAction) -> FaultRule<HubAction> {
    FaultRule::new("w.bin", action).server("cdn")
}

#[tokio::test]
async fn a_store_without_ranges_is_read_once() {
    let (read, answers) = read_in_parts(PART, store(HubAction::IgnoreRange)).await;
    assert!(read.unwrap());
    assert_eq!(answers, 2, "the first answer tells that there are no ranges");
}

#[tokio::test]
async fn a_part_without_a_range_header_counts_by_its_length() {
    let (read, answers) = read_in_parts(PART, store(HubAction::WithoutHeader("content-range".to_owned()))).await;
    assert!(read.unwrap());
    assert_eq!(answers, 5);
}

#[tokio::test]
async fn a_signed_url_that_expires_is_asked_for_anew_whatever_the_store_calls_it() {
    for status in [400, 401, 403, 404, 410] {
        let (read, answers) = read_in_parts(PART, store(HubAction::status(status)).after(2).times(2)).await;
        assert!(read.unwrap(), "{status}");
        assert_eq!(answers, 7, "{status}");
        let (refused, answers) = read_in_parts(PART, store(HubAction::status(status)).after(2)).await;
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Network, "{status}");
        assert_eq!(answers, 7, "{status}");
    }
}

#[tokio::test]
async fn a_page_in_place_of_the_file_is_told_with_its_host() {
    let headers = vec![("content-type".to_owned(), "text/html".to_owned())];
    let page = HubAction::Status { code: 200, headers, body: "<html>Blocked</html>".to_owned() };
    let (read, _) = read_in_parts(PART, store(page)).await;
    let error = read.unwrap_err().to_string();
    assert!(error.starts_with("the store at 127.0.0.1:"), "{error}");
    assert!(error.ends_with("in place of `w.bin`: a web page of 20 bytes in place of 5000000"), "{error}");
}
