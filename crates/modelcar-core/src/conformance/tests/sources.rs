//! Sources that are wrong in one way.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::super::{Rule, source};
use crate::{
    ContentId, ErrorKind, ModelPath, OtherError,
    source::{ByteStream, Extent, MemorySource, Origin, ReadBudget, Source, SourceError, SourceFile},
};

fn files() -> BTreeMap<ModelPath, Bytes> {
    let file = |(path, size): (&str, usize)| {
        let bytes: Bytes = (0..size).map(|at| u8::try_from(at * 7 % 251).unwrap()).collect();
        (path.parse().unwrap(), bytes)
    };
    [("a.json", 2), ("b/empty", 0), ("b/small.bin", 5000), ("c.bin", 3 << 20)].into_iter().map(file).collect()
}

/// A source that is wrong in the way that it is called.
#[derive(Debug)]
struct Wrong {
    way: &'static str,
    right: MemorySource,
    calls: AtomicUsize,
}

#[async_trait]
impl Source for Wrong {
    fn origin(&self) -> &Origin {
        self.right.origin()
    }

    async fn list(&self) -> Result<Vec<SourceFile>, SourceError> {
        let (call, mut files) = (self.calls.fetch_add(1, Relaxed), self.right.list().await?);
        match self.way {
            "lists a file twice" => files.push(files[0].clone()),
            "leaves a file out" => drop(files.pop()),
            "states another size" => files[0].size += 1,
            "lists less the second time" if call > 0 => drop(files.pop()),
            "states another content" => files[2].content = Some(ContentId::Sha256([7; 32])),
            "identifies nothing" | "identifies wrongly" => files[2].content = None,
            "can't be listed" => return Err(refused().into()),
            _ => {}
        }
        Ok(files)
    }

    async fn identify(&self, mut files: Vec<SourceFile>) -> Result<Vec<SourceFile>, SourceError> {
        match self.way {
            "identifies nothing" => return Ok(files),
            "identifies wrongly" => files.iter_mut().for_each(|file| file.content = Some(ContentId::Sha256([7; 32]))),
            "identifies in another order" => files.reverse(),
            _ => {}
        }
        self.right.identify(files).await
    }

    fn read(&self, mut extents: Vec<Extent>, budget: &ReadBudget) -> ByteStream {
        let (call, permits) = (self.calls.fetch_add(1, Relaxed), Arc::clone(budget.permits()));
        let is_unlisted = extents.iter().any(|extent| extent.file.path.as_str() == "not/listed.bin");
        match self.way {
            "ends early" => {
                if let Some(last) = extents.last_mut() {
                    last.len -= 1;
                }
            }
            "reads from the beginning" => extents.iter_mut().for_each(|extent| extent.offset = 0),
            "reads in order of the listing" => extents.sort_by(|one, other| one.file.path.cmp(&other.file.path)),
            "can be read once" if call > 2 => return stream::iter([Err(refused().into())]).boxed(),
            "says nothing of a missing file" if is_unlisted => return stream::empty().boxed(),
            "names no file" if is_unlisted => return stream::iter([Err(refused().into())]).boxed(),
            "makes a missing file up" if is_unlisted => {
                return stream::iter([Ok(Bytes::from_static(b"0123456789"))]).boxed();
            }
            "keeps its share" => std::mem::forget(budget.join()),
            _ => {}
        }
        let right = self.right.read(extents, budget);
        match self.way {
            "flips a bit" => {
                right.map_ok(|bytes| bytes.iter().map(|byte| byte ^ u8::from(*byte == 77)).collect()).boxed()
            }
            "gives all at once" => {
                let all = right.map_ok(|bytes| bytes.to_vec()).try_concat();
                stream::once(async { all.await.map(Bytes::from) }).boxed()
            }
            "goes on after an error" => right.chain(stream::iter([Ok(Bytes::from_static(b"more"))])).boxed(),
            "holds a connection while nobody reads" => {
                let held = stream::unfold((right, None), move |(mut right, held)| {
                    let permits = Arc::clone(&permits);
                    async move {
                        let held = match held {
                            Some(held) => held,
                            None => permits.acquire_owned().await.unwrap(),
                        };
                        right.next().await.map(|item| (item, (right, Some(held))))
                    }
                });
                held.boxed()
            }
            "keeps a connection" => {
                let keep = async move {
                    permits.acquire().await.unwrap().forget();
                    Bytes::new()
                };
                stream::once(keep).map(Ok).chain(right).boxed()
            }
            _ => right,
        }
    }
}

fn refused() -> OtherError {
    OtherError::new("read from the store", ErrorKind::Denied, "it is refused")
}

async fn broken(way: &'static str) -> Option<Rule> {
    let files = files();
    let make = async || Wrong { way, right: MemorySource::new(files.clone()), calls: AtomicUsize::new(0) };
    source(make, &files).await.err().map(|violation| violation.rule())
}

#[tokio::test(start_paused = true)]
async fn a_source_that_breaks_a_rule_is_found() {
    assert_eq!(broken("nothing").await, None);
    let mut wrong = Vec::new();
    for (way, rule) in [
        ("can't be listed", Rule::Listing),
        ("lists a file twice", Rule::Listing),
        ("leaves a file out", Rule::Listing),
        ("states another size", Rule::Listing),
        ("lists less the second time", Rule::StableListing),
        ("states another content", Rule::ContentIds),
        ("identifies nothing", Rule::Identify),
        ("identifies wrongly", Rule::Identify),
        ("identifies in another order", Rule::Identify),
        ("ends early", Rule::WholeFiles),
        ("flips a bit", Rule::WholeFiles),
        ("goes on after an error", Rule::WholeFiles),
        ("reads in order of the listing", Rule::ExtentOrder),
        ("reads from the beginning", Rule::ExtentOrder),
        ("can be read once", Rule::WholeFiles),
        ("keeps a connection", Rule::Ranges),
        ("holds a connection while nobody reads", Rule::ParallelReads),
        ("keeps its share", Rule::CancelledReads),
        ("says nothing of a missing file", Rule::UnlistedFile),
        ("names no file", Rule::UnlistedFile),
        ("makes a missing file up", Rule::UnlistedFile),
        ("gives all at once", Rule::BoundedChunks),
    ] {
        let found = broken(way).await;
        wrong.extend((found != Some(rule)).then(|| format!("a source that {way} breaks {found:?}, not {rule}")));
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_violation_names_its_rule_and_its_cause() {
    let files = files();
    let make = async || Wrong { way: "can't be listed", right: MemorySource::default(), calls: AtomicUsize::new(0) };
    let violation = source(make, &files).await.unwrap_err();
    let told = crate::Error::from(violation).chain();
    assert_eq!(told, "the rule `listing` is broken: the listing fails: read from the store: it is refused");
}
