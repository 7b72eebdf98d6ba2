//! Reads what facts are made of from a source: small files whole, and the first bytes of weight files.

use std::{io, sync::Arc};

use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::Value;
use tokio::{sync::Mutex, task};

use super::{
    ModelFacts, StatedFacts, Task, WeightFormat, config,
    files::{CHAT_TEMPLATES, CONFIG, EMBEDDING, FORMATS, TOKENIZER, has_extension},
    gguf,
    safetensors::{self, Tensors},
};
use crate::{
    path,
    source::{Extent, ReadBudget, Source, SourceError, SourceFile},
};

/// Larger configurations are not read: they are none.
const CONFIG_MAX_BYTES: u64 = 2 << 20;
/// Tokenizer configurations may list every added token.
const TOKENIZER_MAX_BYTES: u64 = 8 << 20;
/// First read of a header. Most headers fit, so that one request is enough.
const FIRST_READ_BYTES: u64 = 64 << 10;
/// Longer headers of safetensors files are held and parsed one at a time, where no other task waits for them.
const LONG_HEADER_BYTES: u64 = 1 << 20;
/// Files read side by side.
const READERS: usize = 8;

impl ModelFacts {
    /// Reads the facts of the model that consists of `files`: those that a plan packs. What an image states (`stated`)
    /// of the same files is not read again.
    ///
    /// Of weight files only the headers are read, so the facts rest on bytes that are not proven by a hash: they
    /// describe, and nothing depends on them for safety.
    ///
    /// # Errors
    /// When the source fails. A file that is not what its name says is no error: its facts are left out.
    pub async fn read(source: &dyn Source, files: &[&SourceFile], stated: &[StatedFacts]) -> Result<Self, SourceError> {
        if let Some(same) = stated.iter().find(|stated| stated.are_of(files)) {
            return Ok(same.facts.clone());
        }
        let reader = Reader { source, budget: budget(), long_headers: Mutex::new(()) };
        let mut facts = Self::default();
        if let Some(value) = reader.json(files, CONFIG, CONFIG_MAX_BYTES).await? {
            config::add(&mut facts, &value);
        }
        let named = |name: &&str| files.iter().any(|file| file.path.as_str() == *name);
        if EMBEDDING.iter().all(named) {
            facts.task = Some(Task::Embedding);
        }
        if CHAT_TEMPLATES.iter().any(named) {
            facts.chat_template = Some(true);
        } else if let Some(value) = reader.json(files, TOKENIZER, TOKENIZER_MAX_BYTES).await? {
            facts.chat_template = Some(value["chat_template"].is_string() || value["chat_template"].is_array());
        }
        let same_weights = stated.iter().find(|stated| stated.are_of_weights(files));
        reader.weights(files, &mut facts, same_weights.map(|stated| &stated.facts)).await?;
        Ok(facts)
    }
}

fn budget() -> ReadBudget {
    ReadBudget::new(READERS, 8 << 20)
}

struct Reader<'a> {
    source: &'a dyn Source,
    budget: ReadBudget,
    /// Held while a long header is.
    long_headers: Mutex<()>,
}

impl Reader<'_> {
    /// Reads a JSON file at the root of the model.
    async fn json(&self, files: &[&SourceFile], name: &str, max: u64) -> Result<Option<Value>, SourceError> {
        let Some(file) = files.iter().find(|file| file.path.as_str() == name && file.size <= max) else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        self.read_to(file, file.size, &mut bytes).await?;
        Ok(serde_json::from_slice(&bytes).ok())
    }

    /// Adds what the weights say; `stated` are the facts of an image with the same ones.
    async fn weights(
        &self,
        files: &[&SourceFile],
        facts: &mut ModelFacts,
        stated: Option<&ModelFacts>,
    ) -> Result<(), SourceError> {
        for (format, extensions) in FORMATS {
            let mut weights: Vec<&SourceFile> =
                files.iter().copied().filter(|file| has_extension(file, extensions)).collect();
            weights.sort_by(|a, b| a.path.cmp(&b.path));
            if weights.is_empty() {
                continue;
            }
            facts.format = Some(format);
            facts.weight_bytes = weights.iter().try_fold(0_u64, |sum, file| sum.checked_add(file.size));
            match (format, stated) {
                (WeightFormat::Safetensors, Some(stated)) => {
                    facts.parameters = stated.parameters;
                    facts.dtype.clone_from(&stated.dtype);
                }
                (WeightFormat::Safetensors, None) => self.safetensors(&weights, facts).await?,
                (WeightFormat::Gguf, _) => self.gguf(&weights, facts).await?,
                (WeightFormat::Pytorch | WeightFormat::Onnx, _) => {}
            }
            return Ok(());
        }
        Ok(())
    }

    /// Counts the tensors of all files; one that can't be read leaves the counts open.
    async fn safetensors(&self, files: &[&SourceFile], facts: &mut ModelFacts) -> Result<(), SourceError> {
        // Collected first: with a closure in the stream the future would not be `Send` (rust-lang/rust issue 64552).
        let reading: Vec<_> = files.iter().map(|file| self.tensors(file)).collect();
        let headers: Vec<Option<Tensors>> = stream::iter(reading).buffered(READERS).try_collect().await?;
        let mut all = Tensors::default();
        let counted = headers.iter().try_for_each(|header| all.merge(header.as_ref()?));
        if counted.is_some() {
            facts.parameters = all.elements().filter(|elements| *elements > 0);
            facts.dtype = all.dtype().map(str::to_owned);
        }
        Ok(())
    }

    async fn tensors(&self, file: &SourceFile) -> Result<Option<Tensors>, SourceError> {
        if file.size < safetensors::PREFIX_BYTES {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        self.read_to(file, file.size.min(FIRST_READ_BYTES), &mut bytes).await?;
        let Some(len) = safetensors::header_len(&bytes, file.size) else { return Ok(None) };
        let end = safetensors::PREFIX_BYTES + len;
        let is_long = len > LONG_HEADER_BYTES;
        let _alone = if is_long { Some(self.long_headers.lock().await) } else { None };
        self.read_to(file, end, &mut bytes).await?;
        let parse = move || usize::try_from(end).ok().and_then(|end| bytes.get(8..end)).and_then(safetensors::parse);
        if !is_long {
            return Ok(parse());
        }
        task::spawn_blocking(parse).await.map_err(|error| SourceError::Io {
            act: "parse the header of",
            path: file.path.as_str().into(),
            source: io::Error::other(error),
        })
    }

    async fn gguf(&self, files: &[&SourceFile], facts: &mut ModelFacts) -> Result<(), SourceError> {
        let mut files = files.to_vec();
        files.sort_by_key(|file| path::is_projector(file.path.as_str()));
        facts.file = files.first().map(|file| file.path.to_string());
        let mut parameters = Some(0_u64);
        for (index, file) in files.iter().enumerate() {
            let header = self.gguf_header(file).await?;
            if let (0, Some(header)) = (index, &header) {
                header.add_to(facts);
            }
            parameters = parameters.zip(header).and_then(|(sum, header)| sum.checked_add(header.elements));
        }
        facts.parameters = parameters.filter(|elements| *elements > 0);
        facts.dtype.clone_from(&facts.quantization);
        Ok(())
    }

    /// Reads more of the file until the header is whole. Tokenizers of usual size fit the third read.
    async fn gguf_header(&self, file: &SourceFile) -> Result<Option<gguf::Header>, SourceError> {
        let most = file.size.min(gguf::HEADER_MAX_BYTES);
        let mut bytes: Vec<u8> = Vec::new();
        let mut wanted = most.min(FIRST_READ_BYTES);
        loop {
            self.read_to(file, wanted, &mut bytes).await?;
            match gguf::parse(&bytes) {
                Ok(header) => return Ok(Some(header)),
                Err(gguf::Stop::NeedMore) if wanted < most => wanted = most.min(wanted.saturating_mul(16)),
                Err(_) => return Ok(None),
            }
        }
    }

    /// Reads on until `bytes` are the first `end` ones of the file.
    async fn read_to(&self, file: &SourceFile, end: u64, bytes: &mut Vec<u8>) -> Result<(), SourceError> {
        let offset = bytes.len() as u64;
        let Some(len) = end.checked_sub(offset).filter(|len| *len > 0) else { return Ok(()) };
        bytes.reserve_exact(usize::try_from(len).unwrap_or_default());
        let extent = Extent { file: Arc::new(file.clone()), offset, len };
        let mut stream = self.source.read(vec![extent], &self.budget);
        while let Some(chunk) = stream.try_next().await? {
            bytes.extend_from_slice(&chunk);
        }
        Ok(())
    }
}
