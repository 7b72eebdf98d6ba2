//! Uploads whose body, registry or time is not as usual.

use bytes::Bytes;
use futures_util::{
    FutureExt, StreamExt,
    stream::{self, BoxStream},
};
use modelcar_testkit::{FakeRegistry, FaultRule, RegistryAction, RegistryConfig};
use tokio::{
    sync::oneshot,
    time::{sleep, timeout},
};

use super::*;
use crate::{
    blob::reread_from_start,
    progress::NoProgress,
    registry::{KeychainChain, RegistryOptions},
    sink::{BytesBlob, OpenBlob},
};

const UPLOADS: &str = "/blobs/uploads/";

fn options() -> RegistryOptions {
    RegistryOptions {
        retry_base: Duration::from_millis(1),
        stall_timeout: Duration::from_millis(400),
        ..RegistryOptions::default()
    }
}

fn repository(registry: &FakeRegistry, options: RegistryOptions) -> Repository {
    let image = format!("{}/a/b:v1", registry.host()).parse().unwrap();
    Repository::new(&image, Arc::new(KeychainChain::default()), options, Arc::new(NoProgress)).unwrap()
}

/// Uploads within bounded time; returns what came of it and how often the body started over.
async fn upload(repository: &Repository, body: &dyn Blob) -> (Result<VerifiedBlob>, usize) {
    let restarts = std::sync::atomic::AtomicUsize::new(0);
    let count = |_reason| {
        restarts.fetch_add(1, Ordering::Relaxed);
    };
    let done = timeout(Duration::from_secs(20), repository.upload(body, &count)).await.expect("it ends");
    (done, restarts.load(Ordering::Relaxed))
}

/// A layer from a source that takes a while before each piece.
#[derive(Debug, Default)]
struct Slow {
    pieces: usize,
    piece: usize,
    pause: Duration,
    /// Whether its digest is known beforehand, as a base layer's is.
    known: bool,
}

impl Slow {
    fn base_layer() -> Self {
        Self { pieces: 16, piece: 1 << 20, known: true, ..Self::default() }
    }

    fn bytes(&self) -> Vec<u8> {
        vec![7; self.pieces * self.piece]
    }
}

impl Blob for Slow {
    fn title(&self) -> String {
        "a slow layer".to_owned()
    }

    fn size(&self) -> u64 {
        (self.pieces * self.piece) as u64
    }

    fn digest(&self) -> Option<Digest> {
        self.known.then(|| Digest::of(self.bytes()))
    }

    fn reread(&self, range: Range<u64>) -> BoxStream<'static, Result<Bytes>> {
        reread_from_start(self, range)
    }

    fn open(&self) -> OpenBlob {
        let (tell, told) = oneshot::channel();
        let (piece, pause) = (Bytes::from(vec![7; self.piece]), self.pause);
        let pieces = stream::unfold((self.pieces, Some(tell)), move |(left, tell)| {
            let piece = piece.clone();
            async move {
                if left == 0 {
                    tell?.send(()).ok()?;
                    return None;
                }
                sleep(pause).await;
                Some((Ok(piece), (left - 1, tell)))
            }
        });
        let (digest, size) = (Digest::of(self.bytes()), (self.pieces * self.piece) as u64);
        let verified = async move {
            told.await.expect("the body is read to its end");
            Ok(VerifiedBlob { digest, size, diff_id: digest, files: Vec::new() })
        };
        OpenBlob { stream: pieces.boxed(), verified: verified.boxed() }
    }
}

#[tokio::test]
async fn a_slow_source_is_not_a_stalled_registry() {
    let registry = FakeRegistry::start(RegistryConfig::default()).await;
    let body = Slow { pieces: 2, piece: 1000, pause: Duration::from_millis(1200), known: false };
    let (done, restarts) = upload(&repository(&registry, options()), &body).await;
    assert_eq!((done.unwrap().size, restarts), (2000, 0));
}

#[tokio::test]
async fn time_in_which_bytes_move_is_not_lost() {
    let registry = FakeRegistry::start(RegistryConfig::default()).await;
    // The only break comes after two seconds of good transfer.
    let cut = RegistryAction::DropConnection { after_body_bytes: 19_500 };
    registry.fault(FaultRule::new(UPLOADS, cut).method("PATCH").times(1));
    let body = Slow { pieces: 20, piece: 1000, pause: Duration::from_millis(100), known: false };
    let options = RegistryOptions { retry_budget: Duration::from_secs(1), ..options() };
    let (done, _) = upload(&repository(&registry, options), &body).await;
    assert_eq!(done.unwrap().size, 20_000);
}

#[tokio::test]
async fn silence_is_lost_time() {
    let registry = FakeRegistry::start(RegistryConfig::default()).await;
    let stall = RegistryAction::Stall { at: 1_500_000, pause: Duration::from_mins(1) };
    registry.fault(FaultRule::new(UPLOADS, stall).method("PATCH"));
    let body = Slow { pieces: 16, piece: 1 << 20, ..Slow::default() };
    // Sockets may hold all of what the registry does not read.
    let commit_patience = Duration::from_millis(400);
    let options = RegistryOptions { retry_budget: Duration::from_millis(900), commit_patience, ..options() };
    let (done, _) = upload(&repository(&registry, options), &body).await;
    let error = done.unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(RegistryError::Stalled { .. })), "{error:?}");
    let tries = registry.requests().iter().filter(|request| request.method == "PATCH").count();
    assert!(tries <= 3, "{tries} tries of 0.4 s each");
}

/// CNCF distribution stores what had arrived before a cut connection while it answers for the state already.
#[tokio::test]
async fn an_offset_that_is_behind_is_asked_for_again() {
    let registry = FakeRegistry::start(RegistryConfig::default()).await;
    let cut = RegistryAction::DropConnection { after_body_bytes: 5 << 20 };
    registry.fault(FaultRule::new(UPLOADS, cut).method("PATCH").times(1));
    let behind = RegistryAction::ExtraHeaders(vec![("range".to_owned(), "0-2097151".to_owned())]);
    registry.fault(FaultRule::new(UPLOADS, behind).method("GET").times(1));
    let body = Slow { pieces: 8, piece: 1 << 20, ..Slow::default() };
    let (done, restarts) = upload(&repository(&registry, options()), &body).await;
    assert_eq!((done.unwrap().size, restarts), (8 << 20, 0));
    let answers: Vec<_> = registry.requests().iter().filter(|r| r.method == "PATCH").map(|r| r.status).collect();
    assert_eq!(answers[1..], [416, 202], "{answers:?}");
}

/// An answer before the body, of a server that leaves the connection open.
fn early(code: u16) -> RegistryAction {
    RegistryAction::Drip { code, piece: 1, every: Duration::from_millis(50) }
}

#[tokio::test]
async fn a_registry_that_has_the_blob_need_not_read_it() {
    let registry = FakeRegistry::start(RegistryConfig::default()).await;
    let body = Slow::base_layer();
    registry.add_blob("a/b", body.bytes());
    registry.fault(FaultRule::new("digest=", early(201)).method("PUT"));
    let (done, restarts) = upload(&repository(&registry, options()), &body).await;
    assert_eq!((Some(done.unwrap().digest), restarts), (body.digest(), 0));
}

#[tokio::test]
async fn a_blob_that_was_not_read_is_not_taken_for_stored() {
    let registry = FakeRegistry::start(RegistryConfig::default()).await;
    let body = Slow::base_layer();
    registry.fault(FaultRule::new("digest=", early(201)).method("PUT").times(1));
    let (done, restarts) = upload(&repository(&registry, options()), &body).await;
    assert_eq!((Some(done.unwrap().digest), restarts), (body.digest(), 1));
    assert_eq!(registry.blobs().len(), 1);

    let other = Slow { pieces: 15, ..Slow::base_layer() };
    registry.fault(FaultRule::new("digest=", early(201)).method("PUT"));
    let error = upload(&repository(&registry, options()), &other).await.0.unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(RegistryError::AnsweredEarly { status: 201, .. })), "{error:?}");
}

#[tokio::test]
async fn an_empty_blob_ends() {
    let registry = FakeRegistry::start(RegistryConfig::default()).await;
    let repository = repository(&registry, options());
    let known = BytesBlob::new("nothing", Bytes::new());
    assert_eq!(upload(&repository, &known).await.0.unwrap().size, 0);
    let layer = Slow::default();
    assert_eq!(upload(&repository, &layer).await.0.unwrap().digest, Digest::of(""));
    assert_eq!(registry.blobs().len(), 1);
    assert_eq!(registry.open_sessions(), []);
}
