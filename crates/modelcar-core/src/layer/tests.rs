use async_trait::async_trait;
use futures_util::TryStreamExt;

use super::*;
use crate::{
    Digest,
    base::Base,
    plan::{Plan, PlanOptions},
    progress::NoProgress,
    source::{MemorySource, Origin},
};

/// Files read in chunks of a size that fits no block and runs over the ends of files. What a file lacks is left out.
#[derive(Debug, Clone)]
struct Chunked {
    files: MemorySource,
    chunk: usize,
    fail_at: Option<usize>,
}

#[async_trait]
impl Source for Chunked {
    fn origin(&self) -> &Origin {
        self.files.origin()
    }

    async fn list(&self) -> Result<Vec<SourceFile>, SourceError> {
        self.files.list().await
    }

    async fn identify(&self, files: Vec<SourceFile>) -> Result<Vec<SourceFile>, SourceError> {
        self.files.identify(files).await
    }

    fn read(&self, mut extents: Vec<Extent>, budget: &ReadBudget) -> ByteStream {
        let (chunk, fail_at) = (self.chunk, self.fail_at);
        for file in self.files.list().now_or_never().unwrap().unwrap() {
            for extent in extents.iter_mut().filter(|extent| extent.file.path == file.path) {
                extent.len = extent.len.min(file.size - extent.offset);
            }
        }
        let whole = self.files.read(extents, budget).map_ok(|bytes| bytes.to_vec()).try_concat();
        let cut = move |whole: Result<Vec<u8>, SourceError>| {
            let mut all = whole.unwrap();
            all.truncate(fail_at.unwrap_or(usize::MAX));
            let mut chunks: Vec<_> = all.chunks(chunk).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
            if fail_at.is_some() {
                let path = "f".parse().unwrap();
                chunks.push(Err(SourceError::BrokenBody { path, host: "h".into(), at: 1, size: 2, source: None }));
            }
            stream::iter(chunks)
        };
        whole.map(cut).flatten_stream().boxed()
    }
}

fn memory(files: &[(&str, &'static str)], chunk: usize) -> Chunked {
    let files = MemorySource::new(files.iter().map(|(path, text)| (path.parse().unwrap(), *text)));
    Chunked { files, chunk, fail_at: None }
}

async fn body(source: Chunked, contents: &[(&str, &str)]) -> LayerBlob {
    let mut files = source.list().await.unwrap();
    for file in &mut files {
        let known = contents.iter().find(|(path, _)| *path == file.path.as_str());
        file.content = known.map(|(_, id)| id.parse().unwrap());
    }
    let plan = Plan::new(&Origin::default(), files, &Base::scratch().image, &PlanOptions::default()).unwrap();
    let layer = plan.layers()[0].clone();
    LayerBlob::new(0, layer, 0, Arc::new(source), ReadBudget::sequential(), Arc::new(NoProgress))
}

async fn drain(mut open: OpenBlob) -> (Result<Vec<u8>>, Result<VerifiedBlob>) {
    let mut bytes = Vec::new();
    while let Some(chunk) = open.stream.next().await {
        match chunk {
            Ok(chunk) => bytes.extend_from_slice(&chunk),
            Err(error) => {
                drop(open.stream);
                return (Err(error), open.verified.await);
            }
        }
    }
    (Ok(bytes), open.verified.await)
}

const FILES: &[(&str, &str)] = &[("a/one", "first"), ("b", ""), ("c", "the third, a little longer"), ("d/e/f", "4")];

#[tokio::test]
async fn a_layer_is_the_same_bytes_however_the_source_cuts_them() {
    let mut seen = Vec::new();
    for chunk in [1, 3, 7, 4096] {
        let body = body(memory(FILES, chunk), &[]).await;
        for _again in 0..2 {
            let (bytes, verified) = drain(body.open()).await;
            let (bytes, verified) = (bytes.unwrap(), verified.unwrap());
            assert_eq!(bytes.len() as u64, body.size());
            assert_eq!(verified.digest, Digest::of(&bytes));
            seen.push((bytes, verified));
        }
    }
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]));
    let ids: Vec<String> = seen[0].1.files.iter().map(ToString::to_string).collect();
    let expected: Vec<String> = FILES.iter().map(|(_, text)| Digest::of(text).to_string()).collect();
    assert_eq!(ids, expected);
}

#[tokio::test]
async fn content_that_is_not_the_listed_one_is_refused_after_the_last_byte() {
    let good = Digest::of("the third, a little longer").to_string();
    let git = "git-sha1:e69de29bb2d1d6434b8b29ae775ad8c2e48c5391";
    let (_, verified) = drain(body(memory(FILES, 5), &[("c", &good), ("b", git)]).await.open()).await;
    assert_eq!(verified.unwrap().files[1].to_string(), git);
    for wrong in [Digest::of("other").to_string(), git.to_owned()] {
        let (bytes, verified) = drain(body(memory(FILES, 5), &[("c", &wrong)]).await.open()).await;
        assert!(bytes.is_ok());
        let error = verified.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Integrity);
        assert!(error.to_string().contains("content of `c` is wrong: expected `"), "{error}");
    }
}

#[tokio::test]
async fn a_source_that_breaks_or_ends_early_seals_nothing() {
    let mut source = memory(FILES, 5);
    source.fail_at = Some(8);
    let (bytes, verified) = drain(body(source, &[]).await.open()).await;
    assert!(matches!(bytes.unwrap_err().downcast_ref(), Some(LayerError::Source { .. })));
    assert!(matches!(verified.unwrap_err().downcast_ref(), Some(LayerError::Unfinished { .. })));

    let layer = body(memory(FILES, 5), &[]).await;
    let short = memory(&[("a/one", "first"), ("b", ""), ("c", "short"), ("d/e/f", "4")], 5);
    let (bytes, _) = drain(LayerBlob { source: Arc::new(short), ..layer }.open()).await;
    assert!(matches!(bytes.unwrap_err().downcast_ref(), Some(LayerError::WrongSize { .. })));

    let layer = body(memory(&[("only", "ten bytes!")], 4), &[]).await;
    let short = memory(&[("only", "seven b")], 4);
    let (bytes, _) = drain(LayerBlob { source: Arc::new(short), ..layer }.open()).await;
    let told = bytes.unwrap_err().to_string();
    assert_eq!(told, "layer 1 (`only`) got 2557 bytes, expected 2560");
}

#[tokio::test]
async fn a_source_that_fails_after_its_last_byte_or_gives_more_seals_nothing() {
    for chunk in [3, 4096] {
        let mut source = memory(FILES, chunk);
        source.fail_at = Some(usize::MAX);
        let (bytes, verified) = drain(body(source, &[]).await.open()).await;
        assert!(matches!(bytes.unwrap_err().downcast_ref(), Some(LayerError::Source { .. })));
        assert!(matches!(verified.unwrap_err().downcast_ref(), Some(LayerError::Unfinished { .. })));

        let layer = body(memory(FILES, chunk), &[]).await;
        let longer = Arc::new(Longer(memory(FILES, chunk)));
        let (bytes, _) = drain(LayerBlob { source: longer, ..layer }.open()).await;
        let error = bytes.unwrap_err();
        let Some(&LayerError::WrongSize { expected, actual, .. }) = error.downcast_ref() else { panic!("{error}") };
        assert_eq!(actual, expected + 5);
    }
}

/// Gives five bytes more than it lists.
#[derive(Debug)]
struct Longer(Chunked);

#[async_trait]
impl Source for Longer {
    fn origin(&self) -> &Origin {
        self.0.origin()
    }

    async fn list(&self) -> Result<Vec<SourceFile>, SourceError> {
        self.0.list().await
    }

    async fn identify(&self, files: Vec<SourceFile>) -> Result<Vec<SourceFile>, SourceError> {
        self.0.identify(files).await
    }

    fn read(&self, extents: Vec<Extent>, budget: &ReadBudget) -> ByteStream {
        self.0.read(extents, budget).chain(stream::iter([Ok(Bytes::from_static(b"extra"))])).boxed()
    }
}

#[tokio::test]
async fn any_stretch_of_a_layer_can_be_read_again() {
    let body = body(memory(FILES, 7), &[]).await;
    let whole = drain(body.open()).await.0.unwrap();
    for start in (0..whole.len()).step_by(97) {
        for end in (start..=whole.len()).step_by(397).chain([whole.len()]) {
            let parts: Vec<Result<Bytes>> = body.reread(start as u64..end as u64).collect().await;
            let parts: Vec<Bytes> = parts.into_iter().map(Result::unwrap).collect();
            assert!(parts.concat() == whole[start..end], "{start}..{end}");
        }
    }
}
