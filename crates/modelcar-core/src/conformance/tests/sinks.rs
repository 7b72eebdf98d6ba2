//! Sinks that are wrong in one way.

use std::{
    collections::BTreeSet,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use async_trait::async_trait;
use futures_util::TryStreamExt;
use tokio::sync::Semaphore;

use super::super::{Rule, sink};
use crate::{
    Digest, ErrorKind, OtherError, Result,
    blob::{Blob, BytesBlob, OpenBlob, VerifiedBlob},
    sink::{ExistingBlob, ManifestBlob, MemorySink, Published, Sink},
};

/// A sink that is wrong in the way that it is called.
#[derive(Debug)]
struct Wrong {
    way: &'static str,
    right: MemorySink,
    left_over: Mutex<BTreeSet<Digest>>,
    /// Whether everything was forgotten.
    gone: AtomicBool,
    turn: Semaphore,
}

impl Wrong {
    fn new(way: &'static str) -> Self {
        let right = MemorySink::new(["latest"]);
        Self { way, right, left_over: Mutex::default(), gone: AtomicBool::new(false), turn: Semaphore::new(1) }
    }

    /// Takes whatever bytes come.
    async fn take(&self, body: &dyn Blob) -> Result<VerifiedBlob> {
        let OpenBlob { stream, verified } = body.open();
        let bytes = stream.map_ok(|bytes| bytes.to_vec()).try_concat().await;
        let bytes = match bytes {
            Ok(bytes) => bytes,
            Err(error) => {
                self.left_over.lock().unwrap().extend(body.digest());
                return Err(error);
            }
        };
        let taken = BytesBlob::new("taken", bytes);
        let verified = match verified.await {
            Err(_) if self.way == "takes what is not proven" => taken.open().verified.await?,
            Ok(verified) if verified.size < body.size() || taken.size() < verified.size => {
                if self.way != "takes a body that is too short" {
                    return Err(OtherError::new("write", ErrorKind::Internal, "it is too short").into());
                }
                verified
            }
            verified => verified?,
        };
        self.right.write_blob(&taken, &|_reason| ()).await?;
        Ok(verified)
    }
}

#[async_trait]
impl Sink for Wrong {
    fn max_jobs(&self) -> usize {
        if self.way == "takes no layer" { 0 } else { self.right.max_jobs() }
    }

    async fn has_blob(&self, digest: &Digest, size: u64) -> Result<bool> {
        if self.left_over.lock().unwrap().contains(digest) {
            return Ok(true);
        }
        match self.way {
            _ if self.gone.load(Relaxed) => Ok(false),
            "has everything" => Ok(true),
            "does not look at sizes" => Ok(self.right.blob(digest).is_some()),
            "answers after the write" => {
                let _turn = self.turn.acquire().await.unwrap();
                self.right.has_blob(digest, size).await
            }
            _ => self.right.has_blob(digest, size).await,
        }
    }

    async fn mount_or_find(&self, blob: &ExistingBlob) -> Result<bool> {
        match self.way {
            "mounts nothing and says so" => Ok(true),
            "claims nothing" => Ok(false),
            _ => self.right.mount_or_find(blob).await,
        }
    }

    async fn write_blob(&self, body: &dyn Blob, restarted: &(dyn Fn(String) + Send + Sync)) -> Result<VerifiedBlob> {
        match self.way {
            "forgets the proof" => {
                let verified = self.right.write_blob(body, restarted).await?;
                Ok(VerifiedBlob { diff_id: verified.digest, files: Vec::new(), ..verified })
            }
            "keeps nothing" => {
                let OpenBlob { stream, verified } = body.open();
                stream.try_for_each(|_| std::future::ready(Ok(()))).await?;
                verified.await
            }
            "takes a blob once" => {
                let before = self.right.blobs().len();
                let verified = self.right.write_blob(body, restarted).await?;
                if self.right.blobs().len() == before {
                    return Err(OtherError::new("write", ErrorKind::Denied, "it is there").into());
                }
                Ok(verified)
            }
            "never opens a body again" => self.take(body).await,
            "restarts in silence" => self.right.write_blob(body, &|_reason| ()).await,
            "keeps half a body" | "takes what is not proven" | "takes a body that is too short" => {
                for _try in 0..2 {
                    let written = self.take(body).await;
                    match written {
                        Err(error) if error.is_retryable() => {
                            self.left_over.lock().unwrap().clear();
                            restarted("again".to_owned());
                        }
                        Err(error) if self.way != "keeps half a body" => {
                            self.left_over.lock().unwrap().clear();
                            return Err(error);
                        }
                        written => return written,
                    }
                }
                self.right.write_blob(body, restarted).await
            }
            "hides why" => self.right.write_blob(body, restarted).await.map_err(|error| match error.kind() {
                ErrorKind::Integrity => OtherError::new("write", ErrorKind::Io, error).into(),
                _ => error,
            }),
            "waits for a write that was dropped" => {
                self.turn.acquire().await.unwrap().forget();
                let written = self.right.write_blob(body, restarted).await;
                self.turn.add_permits(1);
                written
            }
            "answers after the write" | "writes one at a time" => {
                let _turn = self.turn.acquire().await.unwrap();
                self.right.write_blob(body, restarted).await
            }
            _ => self.right.write_blob(body, restarted).await,
        }
    }

    async fn write_manifest(&self, manifest: &ManifestBlob) -> Result<()> {
        if self.way == "names an image early" {
            return self.right.publish(manifest).await;
        }
        self.right.write_manifest(manifest).await
    }

    async fn publish(&self, index: &ManifestBlob) -> Result<()> {
        match self.way {
            "publishes nothing" => Ok(()),
            "can't publish" => Err(OtherError::new("publish", ErrorKind::Denied, "no").into()),
            _ => self.right.publish(index).await,
        }
    }

    fn published(&self) -> Option<Published> {
        match self.way {
            "does not tell names" => None,
            "is never sure" => {
                self.right.published().map(|told| Published { maybe: told.names.first().cloned(), ..told })
            }
            _ => self.right.published(),
        }
    }

    async fn abandon(&self) {
        if self.way == "forgets what is published" {
            self.gone.store(true, Relaxed);
        }
        self.right.abandon().await;
    }
}

async fn broken(way: &'static str) -> Option<Rule> {
    sink(async || Wrong::new(way)).await.err().map(|violation| violation.rule())
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_breaks_a_rule_is_found() {
    assert_eq!(broken("nothing").await, None);
    let mut wrong = Vec::new();
    for (way, rule) in [
        ("takes no layer", Rule::Jobs),
        ("has everything", Rule::AbsentBlob),
        ("does not look at sizes", Rule::WrittenBlob),
        ("forgets the proof", Rule::WrittenBlob),
        ("keeps nothing", Rule::WrittenBlob),
        ("takes a blob once", Rule::WrittenTwice),
        ("never opens a body again", Rule::Restart),
        ("restarts in silence", Rule::Restart),
        ("keeps half a body", Rule::FailingBody),
        ("hides why", Rule::FailingBody),
        ("takes what is not proven", Rule::UnprovenBody),
        ("takes a body that is too short", Rule::MiscountedBody),
        ("waits for a write that was dropped", Rule::DroppedWrite),
        ("answers after the write", Rule::Beside),
        ("writes one at a time", Rule::Beside),
        ("mounts nothing and says so", Rule::Claim),
        ("claims nothing", Rule::Claim),
        ("can't publish", Rule::Publish),
        ("publishes nothing", Rule::Published),
        ("does not tell names", Rule::Published),
        ("is never sure", Rule::Published),
        ("names an image early", Rule::Abandon),
        ("forgets what is published", Rule::Abandon),
    ] {
        let found = broken(way).await;
        wrong.extend((found != Some(rule)).then(|| format!("a sink that {way} breaks {found:?}, not {rule}")));
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
