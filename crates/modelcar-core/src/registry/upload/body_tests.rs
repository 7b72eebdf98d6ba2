//! A body that requests have drawn in part, or not at all.

use std::time::Duration;

use futures_util::stream;
use tokio::{sync::oneshot, time::timeout};

use super::*;
use crate::blob::{OpenBlob, reread_from_start};

/// A body that proves itself only once its end was asked for, as a layer does; its pieces may not be those it said.
#[derive(Debug)]
struct Lazy {
    size: u64,
    pieces: Vec<&'static str>,
}

impl Blob for Lazy {
    fn title(&self) -> String {
        "a body".to_owned()
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn digest(&self) -> Option<Digest> {
        None
    }

    fn reread(&self, range: Range<u64>) -> BoxStream<'static, Result<Bytes>> {
        reread_from_start(self, range)
    }

    fn open(&self) -> OpenBlob {
        let (tell, told) = oneshot::channel();
        let all = self.pieces.concat();
        let verified = VerifiedBlob {
            digest: Digest::of(all.as_bytes()),
            size: all.len() as u64,
            diff_id: Digest::of(all.as_bytes()),
            files: Vec::new(),
        };
        let start = (self.pieces.clone().into_iter(), Some((tell, verified)));
        let pieces = stream::unfold(start, |(mut pieces, mut end)| async move {
            if let Some(piece) = pieces.next() {
                return Some((Ok(Bytes::from_static(piece.as_bytes())), (pieces, end)));
            }
            let (tell, verified) = end.take()?;
            tell.send(verified).ok()?;
            None
        });
        let verified = async move { Ok(told.await.expect("the end was asked for")) };
        OpenBlob { stream: pieces.boxed(), verified: verified.boxed() }
    }
}

async fn verified(body: &UploadBody<'_>) -> Result<VerifiedBlob> {
    timeout(Duration::from_secs(10), body.verified()).await.expect("it ends")
}

#[tokio::test]
async fn what_nobody_has_drawn_is_read_for_the_proof() {
    for (pieces, drawn) in [(vec![], 0), (vec![""], 0), (vec!["ab", "cde", "f"], 0), (vec!["ab", "cde", "f"], 3)] {
        let size = pieces.concat().len() as u64;
        let lazy = Lazy { size, pieces: pieces.clone() };
        let body = UploadBody::open(&lazy, None);
        let mut request = body.request(0..drawn);
        while let Some(piece) = request.next().await {
            piece.unwrap();
        }
        assert_eq!(body.drawn(), drawn);
        assert_eq!(verified(&body).await.unwrap().digest, Digest::of(pieces.concat().as_bytes()));
    }
}

#[tokio::test]
async fn a_body_of_another_length_or_digest_is_found_out_without_a_request() {
    for (said, pieces) in [(7, vec!["ab", "cde", "f"]), (5, vec!["ab", "cde", "f"]), (0, vec!["a"]), (1, vec![])] {
        let body = Lazy { size: said, pieces };
        let error = verified(&UploadBody::open(&body, None)).await.unwrap_err();
        assert!(matches!(error.downcast_ref(), Some(RegistryError::WrongLength { .. })), "{error:?}");
    }
    let body = Lazy { size: 2, pieces: vec!["ab"] };
    let error = verified(&UploadBody::open(&body, Some(Digest::of("cd")))).await.unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(RegistryError::WrongBody { .. })), "{error:?}");
}

#[tokio::test]
async fn a_request_has_ended_when_all_of_its_bytes_were_handed_over() {
    let lazy = Lazy { size: 6, pieces: vec!["ab", "cde", "f"] };
    let body = UploadBody::open(&lazy, None);
    let mut first = body.request(0..4);
    assert!(!first.watch().has_ended());
    assert_eq!(first.next().await.unwrap().unwrap(), "ab");
    assert!(!first.watch().has_ended());
    assert_eq!(first.next().await.unwrap().unwrap(), "cd");
    assert!(first.watch().has_ended());
    // Bytes that were drawn before count as little as others until they are handed over.
    let mut again = body.request(0..4);
    assert!(first.next().await.unwrap().is_err(), "it has no turn any more");
    assert!(!again.watch().has_ended());
    assert_eq!(again.next().await.unwrap().unwrap(), "ab");
    assert!(!again.watch().has_ended());
    assert!(body.request(4..4).watch().has_ended());
}
