//! A model out of memory becomes an image layout, by a `Source` of one's own, with progress: `source DIR`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program answers")]

use std::{collections::BTreeMap, path::Path, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use modelcar_core::{
    BuildOptions, ErrorKind, ModelPath, OtherError, Plan,
    base::Base,
    build,
    layout::LayoutSink,
    plan::PlanOptions,
    progress::{self, Event},
    source::{ByteStream, Extent, Origin, ReadBudget, Source, SourceError, SourceFile, hash_files},
};

/// Files by path.
#[derive(Debug, Default)]
struct Memory {
    origin: Origin,
    files: BTreeMap<ModelPath, Bytes>,
}

#[async_trait]
impl Source for Memory {
    fn origin(&self) -> &Origin {
        &self.origin
    }

    async fn list(&self) -> Result<Vec<SourceFile>, SourceError> {
        let file = |(path, bytes): (&ModelPath, &Bytes)| SourceFile {
            path: path.clone(),
            size: bytes.len() as u64,
            // A store that knows the SHA-256 of its files gives it here; then layers can be reused.
            content: None,
        };
        Ok(self.files.iter().map(file).collect())
    }

    /// A store that knows no SHA-256 reads its files.
    async fn identify(&self, files: Vec<SourceFile>) -> Result<Vec<SourceFile>, SourceError> {
        hash_files(self, files, &ReadBudget::sequential()).await
    }

    fn read(&self, extents: Vec<Extent>, _budget: &ReadBudget) -> ByteStream {
        let read = |extent: Extent| {
            let file = self.files.get(&extent.file.path);
            let start = usize::try_from(extent.offset).unwrap_or(usize::MAX);
            let end = start.saturating_add(usize::try_from(extent.len).unwrap_or(usize::MAX));
            let bytes = file.and_then(|bytes| (end <= bytes.len()).then(|| bytes.slice(start..end)));
            bytes.ok_or_else(|| {
                let act = format!("read `{}`", extent.file.path);
                OtherError::new(act, ErrorKind::NotFound, "it is not in memory").into()
            })
        };
        stream::iter(extents.into_iter().map(read).collect::<Vec<_>>()).boxed()
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = std::env::args().nth(1).ok_or("usage: source DIR")?;
    let mut model = Memory::default();
    model.files.insert("config.json".parse()?, Bytes::from_static(br#"{"model_type":"tiny"}"#));
    model.files.insert("weights.bin".parse()?, Bytes::from(vec![7; 1 << 20]));
    let (source, base) = (Arc::new(model), Base::scratch());
    let plan = Plan::new(source.origin(), source.list().await?, &base.image, &PlanOptions::default())?;
    let sink = LayoutSink::create(Path::new(&dir), None).await?;
    let told = progress::from_fn(|event: &Event| eprintln!("{event:?}"));
    let options = BuildOptions { progress: Arc::new(told), ..BuildOptions::default() };
    println!("{}", build(&plan, source, &base, &sink, &options).await?.digest);
    Ok(())
}
