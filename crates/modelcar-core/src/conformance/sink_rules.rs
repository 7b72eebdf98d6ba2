//! The checks of the rules of sinks.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::{join, try_join_all};
use serde_json::{Value, json};
use tokio::{sync::Semaphore, time::timeout};

use super::{
    Rule, Violation,
    bodies::{Fault, Made},
};
use crate::{
    Digest,
    blob::{Blob, VerifiedBlob},
    error::ErrorKind,
    sink::{ExistingBlob, ManifestBlob, Published, Sink},
};

/// Size of most blobs in bytes: they have several chunks.
const SIZE: usize = 200_000;
/// How long a write goes on before it is dropped, or before the sink is asked while it writes.
const BEFORE_DROP: Duration = Duration::from_millis(100);
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Checks whether the sinks that `make` returns keep the contract of [`Sink`].
///
/// `make` is called once for each check. It must return a sink of a new, empty place each time, so that no check sees
/// what another check has written. A check writes about 1 MB at most, and publishes to the names of the sink.
///
/// # Errors
/// The first rule that is broken, or whose check takes longer than 30 seconds.
pub async fn sink<M, F, S>(make: M) -> Result<(), Violation>
where
    M: Fn() -> F + Send + Sync,
    F: Future<Output = S> + Send,
    S: Sink,
{
    let new = async |rule: Rule| Checked { rule, sink: make().await };
    Rule::Jobs.ends(async { new(Rule::Jobs).await.jobs() }).await?;
    Rule::AbsentBlob.ends(async { new(Rule::AbsentBlob).await.absent_blob().await }).await?;
    Rule::WrittenBlob.ends(async { new(Rule::WrittenBlob).await.written_blob().await }).await?;
    Rule::WrittenTwice.ends(async { new(Rule::WrittenTwice).await.written_twice().await }).await?;
    Rule::Restart.ends(async { new(Rule::Restart).await.restart().await }).await?;
    Rule::FailingBody.ends(async { new(Rule::FailingBody).await.refused(Fault::Breaks, true).await }).await?;
    Rule::UnprovenBody.ends(async { new(Rule::UnprovenBody).await.refused(Fault::Unproven, true).await }).await?;
    Rule::MiscountedBody.ends(async { new(Rule::MiscountedBody).await.refused(Fault::Short, false).await }).await?;
    Rule::DroppedWrite.ends(async { new(Rule::DroppedWrite).await.dropped_write().await }).await?;
    Rule::Beside.ends(async { new(Rule::Beside).await.beside().await }).await?;
    Rule::ParallelWrites.ends(async { new(Rule::ParallelWrites).await.parallel_writes().await }).await?;
    Rule::Claim.ends(async { new(Rule::Claim).await.claim().await }).await?;
    Rule::IncompleteManifest.ends(async { new(Rule::IncompleteManifest).await.incomplete_manifest().await }).await?;
    Rule::Publish.ends(async { new(Rule::Publish).await.publish().await.map(drop) }).await?;
    Rule::Published.ends(async { new(Rule::Published).await.published().await }).await?;
    Rule::Abandon.ends(async { new(Rule::Abandon).await.abandon_unpublished().await }).await?;
    Rule::Abandon.ends(async { new(Rule::Abandon).await.abandon_published().await }).await
}

/// A sink, and the rule that is checked on it.
struct Checked<S> {
    rule: Rule,
    sink: S,
}

/// An image of one layer and one platform.
struct Image {
    layer: VerifiedBlob,
    manifest: ManifestBlob,
    index: ManifestBlob,
}

impl<S: Sink> Checked<S> {
    fn jobs(&self) -> Result<(), Violation> {
        self.rule.holds(self.sink.max_jobs() > 0, || "it takes no layer at all".to_owned())
    }

    /// Asks for blobs that were never written, an empty one among them.
    async fn absent_blob(&self) -> Result<(), Violation> {
        for size in [0, 1, SIZE] {
            let absent = Made::new("absent", size).verified();
            self.lacks(&absent).await?;
        }
        Ok(())
    }

    /// Writes blobs of several sizes, and asks for each with its own size and with another size.
    async fn written_blob(&self) -> Result<(), Violation> {
        for (body, size) in [Made::new("small", 1), Made::new("large", SIZE), Made::new("known", SIZE).known()]
            .into_iter()
            .zip([1, SIZE as u64, SIZE as u64])
        {
            let told = self.write(&body).await?;
            let proven = body.verified();
            self.rule.holds(told == proven, || format!("the body has proven {proven:?}, it returns {told:?}"))?;
            self.has(&proven).await?;
            let other = self.look(&proven.digest, size + 1).await?;
            self.rule.holds(!other, || format!("a blob of {size} bytes is said to have one more"))?;
        }
        Ok(())
    }

    /// Writes the same blob twice.
    async fn written_twice(&self) -> Result<(), Violation> {
        let body = Made::new("twice", SIZE);
        let (first, second) = (self.write(&body).await?, self.write(&body).await?);
        self.rule.holds(first == second, || format!("it returns {first:?}, then {second:?}"))?;
        self.has(&first).await
    }

    /// Writes a blob that fails once in a way that may pass.
    async fn restart(&self) -> Result<(), Violation> {
        let body = Made::new("restart", SIZE).fault(Fault::Passing(Arc::new(AtomicUsize::new(1))));
        let restarts = AtomicUsize::new(0);
        let count = |_reason| {
            restarts.fetch_add(1, Ordering::Relaxed);
        };
        let written = self.sink.write_blob(&body, &count).await;
        let written = written.map_err(self.rule.failed("a body that broke once is not opened again"))?;
        self.has(&written).await?;
        self.rule.holds(restarts.into_inner() == 1, || "the caller is not told once of one restart".to_owned())
    }

    /// Writes blobs with a fault and checks that each is refused. `own` says that the error must be the blob's own.
    async fn refused(&self, fault: Fault, own: bool) -> Result<(), Violation> {
        for body in [Made::new("wrong", SIZE), Made::new("wrong and known", SIZE).known(), Made::new("w", 3)] {
            let right = body.verified();
            let body = body.fault(fault.clone());
            match self.sink.write_blob(&body, &|_reason| ()).await {
                Ok(verified) => return Err(self.rule.broken(format!("it is taken as {verified:?}"))),
                Err(error) => {
                    let (kind, told) = (error.kind(), error.chain());
                    self.rule.holds(!own || kind == ErrorKind::Integrity, || {
                        format!("the body failed with {}, the sink with {kind}: {told}", ErrorKind::Integrity)
                    })?;
                }
            }
            self.lacks(&right).await?;
        }
        self.still_works().await
    }

    /// Drops a write in its middle, and writes another blob afterwards.
    async fn dropped_write(&self) -> Result<(), Violation> {
        let never = Arc::new(Semaphore::new(0));
        let body = Made::new("dropped", SIZE).fault(Fault::Waits(never));
        let ended = timeout(BEFORE_DROP, self.sink.write_blob(&body, &|_reason| ())).await;
        self.rule.holds(ended.is_err(), || "a blob was written before its last byte came".to_owned())?;
        self.lacks(&body.verified()).await?;
        self.still_works().await?;
        self.sink.abandon().await;
        self.rule.holds(self.sink.published().is_none(), || "something has a name".to_owned())
    }

    /// Asks for blobs, and writes one if the sink has several jobs, while another write waits for its bytes.
    async fn beside(&self) -> Result<(), Violation> {
        let gate = Arc::new(Semaphore::new(0));
        let body = Made::new("held up", SIZE).fault(Fault::Waits(Arc::clone(&gate)));
        let ask = async {
            tokio::time::sleep(BEFORE_DROP).await;
            let asked = self.lacks(&body.verified()).await;
            let written = if self.sink.max_jobs() > 1 { self.still_works().await } else { Ok(()) };
            gate.add_permits(1);
            asked.and(written)
        };
        let (written, asked) = join(self.write(&body), ask).await;
        asked?;
        self.has(&written?).await
    }

    /// Writes several blobs at the same time, two of them equal.
    async fn parallel_writes(&self) -> Result<(), Violation> {
        let jobs = self.sink.max_jobs().clamp(2, 4);
        let bodies = (0..jobs).map(|job| Made::new(&format!("side by side {job}"), SIZE + job));
        let bodies: Vec<Made> = bodies.chain([Made::new("side by side 0", SIZE)]).collect();
        let written = try_join_all(bodies.iter().map(|body| self.write(body))).await?;
        for (body, written) in bodies.iter().zip(written) {
            self.rule.holds(written == body.verified(), || format!("{} became {written:?}", body.title()))?;
            self.has(&written).await?;
        }
        Ok(())
    }

    /// Asks for a blob that is there, for one that is not, and for one in a repository that does not exist.
    async fn claim(&self) -> Result<(), Violation> {
        let there = self.write(&Made::new("claimed", SIZE)).await?;
        let absent = Made::new("never written", SIZE).verified();
        for (blob, is_there) in [(&there, true), (&absent, false)] {
            let known = ExistingBlob { digest: blob.digest, size: blob.size, repository: None };
            let told = self.sink.mount_or_find(&known).await.map_err(self.rule.failed("a claim fails"))?;
            self.rule.holds(told == is_there, || format!("a claim says {told}, {is_there} is true"))?;
        }
        // The sink may not know the repository, or have none.
        let repository = Some("nobody/has-it".to_owned());
        let elsewhere = ExistingBlob { digest: absent.digest, size: absent.size, repository };
        let told = self.sink.mount_or_find(&elsewhere).await.unwrap_or(false);
        let is_there = self.look(&absent.digest, absent.size).await?;
        self.rule.holds(told == is_there, || format!("a claim says {told}, the sink says {is_there} afterwards"))
    }

    /// Writes a manifest whose blobs are missing. The sink may refuse it or store it, but must not publish anything.
    async fn incomplete_manifest(&self) -> Result<(), Violation> {
        let image = documents(&Made::new("not there", SIZE).verified(), &Made::new("no config", 40).verified());
        // The sink may refuse the manifest, or trust its caller.
        drop(self.sink.write_manifest(&image.manifest).await);
        let published = self.sink.published();
        self.rule.holds(published.is_none(), || format!("{published:?} has a name"))?;
        self.whole_image().await.map(drop)
    }

    /// Writes and publishes an image, and returns it.
    async fn publish(&self) -> Result<Image, Violation> {
        let image = self.whole_image().await?;
        self.sink.publish(&image.index).await.map_err(self.rule.failed("a whole image is not published"))?;
        self.has(&image.layer).await?;
        Ok(image)
    }

    /// Asks what is published before and after an image is.
    async fn published(&self) -> Result<(), Violation> {
        let early = self.sink.published();
        self.rule.holds(early.is_none(), || format!("{early:?} before anything was published"))?;
        let image = self.publish().await?;
        self.tells(&image)
    }

    /// Writes an image, and abandons the sink before the image is published.
    async fn abandon_unpublished(&self) -> Result<(), Violation> {
        self.whole_image().await?;
        self.sink.abandon().await;
        let published = self.sink.published();
        self.rule.holds(published.is_none(), || format!("{published:?} of an image that was not published"))
    }

    /// Publishes an image, and abandons the sink afterwards.
    async fn abandon_published(&self) -> Result<(), Violation> {
        let image = self.publish().await?;
        self.sink.abandon().await;
        self.has(&image.layer).await?;
        self.tells(&image)
    }

    /// Checks that the sink reports the published image: its digest, at least one name, and no uncertain name.
    fn tells(&self, image: &Image) -> Result<(), Violation> {
        match self.sink.published() {
            Some(Published { digest, names, maybe: None }) if digest == image.index.digest && !names.is_empty() => {
                Ok(())
            }
            told => Err(self.rule.broken(format!("{told:?} is told of {}", image.index.digest))),
        }
    }

    /// Writes the blobs and the manifest of an image, the manifest twice. The index is left to the caller.
    async fn whole_image(&self) -> Result<Image, Violation> {
        let layer = self.write(&Made::new("layer", SIZE)).await?;
        let rootfs = json!({ "type": "layers", "diff_ids": [layer.digest] });
        let config = json!({ "architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs });
        let config = self.write(&Made::of(config.to_string())).await?;
        let image = documents(&layer, &config);
        for _again in 0..2 {
            let written = self.sink.write_manifest(&image.manifest).await;
            written.map_err(self.rule.failed("a manifest whose blobs are there is refused"))?;
        }
        Ok(image)
    }

    /// Checks that the sink still takes a blob.
    async fn still_works(&self) -> Result<(), Violation> {
        let written = self.write(&Made::new("another one", SIZE)).await?;
        self.has(&written).await
    }

    /// Writes a correct blob.
    async fn write(&self, body: &Made) -> Result<VerifiedBlob, Violation> {
        let written = self.sink.write_blob(body, &|_reason| ()).await;
        written.map_err(self.rule.failed(format!("{} is not taken", body.title())))
    }

    /// Asks whether a blob is there.
    async fn look(&self, digest: &Digest, size: u64) -> Result<bool, Violation> {
        self.sink.has_blob(digest, size).await.map_err(self.rule.failed("a blob can't be looked for"))
    }

    /// Checks that a blob is there.
    async fn has(&self, blob: &VerifiedBlob) -> Result<(), Violation> {
        let has = self.look(&blob.digest, blob.size).await?;
        self.rule.holds(has, || format!("a blob of {} bytes was written and is not there", blob.size))
    }

    /// Checks that a blob is not there.
    async fn lacks(&self, blob: &VerifiedBlob) -> Result<(), Violation> {
        let has = self.look(&blob.digest, blob.size).await?;
        self.rule.holds(!has, || format!("a blob of {} bytes is there and should not be", blob.size))
    }
}

/// Returns the manifest of an image with one layer, and the index that lists the manifest.
fn documents(layer: &VerifiedBlob, config: &VerifiedBlob) -> Image {
    let entry = |kind: &str, digest: &Digest, size: u64| json!({ "mediaType": kind, "digest": digest, "size": size });
    let document = |kind: &str, json: Value| {
        let bytes = json.to_string();
        ManifestBlob { digest: Digest::of(&bytes), bytes: bytes.into(), media_type: kind.to_owned() }
    };
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": entry(CONFIG, &config.digest, config.size),
        "layers": [entry(LAYER, &layer.digest, layer.size)],
    });
    let manifest = document(MANIFEST, manifest);
    let mut listed = entry(MANIFEST, &manifest.digest, manifest.bytes.len() as u64);
    listed["platform"] = json!({ "os": "linux", "architecture": "amd64" });
    let index = document(INDEX, json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [listed] }));
    Image { layer: layer.clone(), manifest, index }
}
