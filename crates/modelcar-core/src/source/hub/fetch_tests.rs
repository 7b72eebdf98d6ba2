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
    let content: Vec<u8> = (0_u64..SIZE).map(|at| u8::try_from(at % 251).unwrap()).collect();
    let hub = FakeHub::start(HubConfig::default()).await;
    hub.add_repo("a/m", "main", ModelTree::new().lfs("w.bin", content.clone()));
    let retry_base = Duration::from_millis(1);
    let options = HubOptions { endpoint: hub.endpoint(), retry_base, ..HubOptions::default() };
    let source = HubSource::resolve(&"a/m".parse().unwrap(), options).await.unwrap();
    let file = source.list().await.unwrap().remove(0);
    hub.clear_requests();
    hub.fault(FaultRule::new("w.bin", action).server("cdn"));
    let extent = Extent { offset: 0, len: file.size, file: Arc::new(file) };
    let read = source.read(vec![extent], &ReadBudget::new(1, SIZE)).try_collect::<Vec<_>>().await;
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
