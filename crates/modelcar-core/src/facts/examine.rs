//! Examines the files of a model: reads the model's facts from them and finds flaws, such as a missing shard.

use std::collections::BTreeSet;

use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::Value;

use super::{
    Library, ModelFacts, StatedFacts, Task, WeightFormat,
    begin::Begin,
    config,
    files::{self, CHAT_TEMPLATES, CONFIG, EMBEDDING, FORMATS, TOKENIZER, has_extension},
    flaw::Flaw,
    index,
    loaded::{gguf_model, loaded},
    proof::Beginnings,
    read::{Header, READERS, Reader},
    safetensors::Tensors,
    shape,
};
use crate::{
    ModelPath,
    source::{Source, SourceError, SourceFile},
    weights::{Format, TensorCounts, WeightName, WeightSet, indexed, sets, split},
};

/// Largest `config.json` or `adapter_config.json` that is read, in bytes. Real ones are far smaller.
const CONFIG_MAX_BYTES: u64 = 2 << 20;
/// Largest `tokenizer_config.json` that is read, in bytes. It may list every added token.
const TOKENIZER_MAX_BYTES: u64 = 8 << 20;
/// Most tensors whose names are kept; more than any model has. With more tensors, an index is not compared with the
/// names.
const TENSORS_MAX: usize = 1 << 20;
/// Largest weight file of a format other than safetensors and GGUF whose first bytes are read. Git-lfs pointers and
/// HTML pages are not larger.
const PAGE_MAX_BYTES: u64 = 64 << 10;
/// Most files whose first bytes are read to find pointers and pages, in the order of their paths. In a git checkout
/// without git-lfs the very first files are pointers already, and each look is a request to the Hub.
const LOOKED_AT_MAX: usize = 64;

/// The facts that the files of a model state, and the flaws of the files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Examined {
    /// The facts. [`ModelFacts::flaws`] names the kinds of flaws.
    pub facts: ModelFacts,
    /// What is wrong with the files, or looks wrong.
    pub flaws: Vec<Flaw>,
}

impl ModelFacts {
    /// Reads the facts of the model that consists of `files`, as [`examine`] does. Of the flaws, only the kinds are
    /// returned.
    ///
    /// # Errors
    /// As [`examine`].
    pub async fn read(source: &dyn Source, files: &[&SourceFile], stated: &[StatedFacts]) -> Result<Self, SourceError> {
        Ok(examine(source, files, stated).await?.facts)
    }
}

/// Examines the model that consists of `files`, the files that a plan packs.
///
/// Of weight files only the headers are read. What is read whole is compared with the listed hash. A push and a build
/// compare the headers with the files when these are read for the image.
///
/// # Errors
/// When the source fails. A file that is not what its name says is a flaw, not an error.
pub async fn examine(
    source: &dyn Source,
    files: &[&SourceFile],
    stated: &[StatedFacts],
) -> Result<Examined, SourceError> {
    Ok(examine_with_proof(source, files, stated).await?.0)
}

/// As [`examine`], and returns the beginnings of files that were read.
pub(crate) async fn examine_with_proof(
    source: &dyn Source,
    files: &[&SourceFile],
    stated: &[StatedFacts],
) -> Result<(Examined, Beginnings), SourceError> {
    let same = |stated: &&StatedFacts| stated.facts.flaws.is_empty() && stated.are_of(files);
    if let Some(same) = stated.iter().find(same) {
        let examined = Examined { facts: same.facts.clone(), flaws: Vec::new() };
        return Ok((examined, Beginnings::default()));
    }
    let mut this = Examination { reader: Reader::new(source), files, examined: Examined::default() };
    this.examined.flaws = shape::flaws(files);
    this.configuration().await?;
    let same_weights = stated.iter().find(|stated| stated.facts.flaws.is_empty() && stated.are_of_weights(files));
    this.weights(same_weights.map(|stated| &stated.facts)).await?;
    this.pointers().await?;
    let (Examined { mut facts, flaws }, beginnings) = (this.examined, this.reader.into_beginnings());
    facts.flaws = flaws.iter().map(|flaw| flaw.code().to_owned()).collect();
    Ok((Examined { facts, flaws }, beginnings))
}

/// Reads the number of elements of all tensors in each of `files`, from the headers of safetensors and GGUF files, for
/// [`Plan::compared`](crate::Plan::compared). A file of another format, or with an unreadable header, gets no count.
///
/// # Errors
/// When the source fails.
pub async fn count_tensors(source: &dyn Source, files: &[SourceFile]) -> Result<TensorCounts, SourceError> {
    Ok(count_with_proof(source, files).await?.0)
}

/// As [`count_tensors`], and returns the beginnings of files that were read.
pub(crate) async fn count_with_proof(
    source: &dyn Source,
    files: &[SourceFile],
) -> Result<(TensorCounts, Beginnings), SourceError> {
    let reader = Reader::new(source);
    let mut counts = Vec::new();
    for file in files {
        let elements = match WeightName::parse(&file.path).map(|name| name.format) {
            Some(Format::Safetensors) => reader.tensors(file).await?.ok().and_then(|tensors| tensors.elements()),
            Some(Format::Gguf) => reader.gguf(file).await?.ok().map(|header| header.elements),
            _ => None,
        };
        counts.extend(elements.map(|elements| (file.path.clone(), elements)));
    }
    Ok((counts.into_iter().collect(), reader.into_beginnings()))
}

/// An examination in progress, with what has been found so far.
struct Examination<'a> {
    reader: Reader<'a>,
    files: &'a [&'a SourceFile],
    examined: Examined,
}

impl<'a> Examination<'a> {
    fn has(&self, name: &str) -> bool {
        self.files.iter().any(|file| file.path.as_str() == name)
    }

    /// Reads the configurations of the model, its tokenizer and an adapter, and tells the library.
    async fn configuration(&mut self) -> Result<(), SourceError> {
        let model = self.reader.json(self.files, CONFIG, CONFIG_MAX_BYTES).await?.unwrap_or(Value::Null);
        config::add(&mut self.examined.facts, &model);
        let adapter = self.reader.json(self.files, files::ADAPTER, CONFIG_MAX_BYTES).await?;
        let has_template = CHAT_TEMPLATES.iter().any(|name| self.has(name));
        let tokenizer =
            if has_template { None } else { self.reader.json(self.files, TOKENIZER, TOKENIZER_MAX_BYTES).await? };
        let is_embedding = EMBEDDING.iter().all(|name| self.has(name));
        let facts = &mut self.examined.facts;
        facts.library = Library::of(self.files, &model);
        if is_embedding {
            facts.task = Some(Task::Embedding);
        }
        if has_template {
            facts.chat_template = Some(true);
        } else if let Some(value) = tokenizer {
            facts.chat_template = Some(value["chat_template"].is_string() || value["chat_template"].is_array());
        }
        if let Some(adapter) = adapter {
            facts.adapter_base = adapter["base_model_name_or_path"].as_str().and_then(config::text);
            facts.adapter_rank = adapter["r"].as_u64().filter(|rank| config::is_count(*rank));
            let alone = model.is_null();
            let base = facts.adapter_base.clone();
            self.examined.flaws.extend(alone.then_some(Flaw::AdapterAlone { base }));
        }
        let unknown =
            self.examined.facts.library.is_none() && self.files.iter().any(|file| files::may_hold_weights(file));
        self.examined.flaws.extend(unknown.then_some(Flaw::UnknownKind));
        Ok(())
    }

    /// Reads the facts of the weights. `stated` are the facts of an image with the same weights.
    async fn weights(&mut self, stated: Option<&ModelFacts>) -> Result<(), SourceError> {
        let loaded = loaded(self.files);
        let of_format = |(_, endings): &(WeightFormat, &[&str])| loaded.iter().any(|file| has_extension(file, endings));
        let format = FORMATS.into_iter().find(of_format);
        if let Some((format, extensions)) = format {
            let mut weights: Vec<&SourceFile> =
                loaded.iter().copied().filter(|file| has_extension(file, extensions)).collect();
            if format == WeightFormat::Gguf {
                weights = gguf_model(&weights);
            }
            self.examined.facts.format = Some(format);
            self.examined.facts.weight_bytes = weights.iter().try_fold(0_u64, |sum, file| sum.checked_add(file.size));
        }
        match stated {
            // An earlier examination of these weights found no flaw.
            Some(stated) if stated.format == Some(WeightFormat::Safetensors) => {
                self.examined.facts.parameters = stated.parameters;
                self.examined.facts.dtype.clone_from(&stated.dtype);
            }
            _ => {
                let loaded: BTreeSet<&ModelPath> = loaded.iter().map(|file| &file.path).collect();
                self.safetensors(&loaded).await?;
                self.gguf(&loaded).await?;
                self.others().await?;
            }
        }
        Ok(())
    }

    /// Returns the weight files with the extension `ending`, sorted by path.
    fn with_ending(&self, ending: &str) -> Vec<&'a SourceFile> {
        let mut files: Vec<&'a SourceFile> =
            self.files.iter().copied().filter(|file| has_extension(file, &[ending])).collect();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        files
    }

    /// Reads the headers of all safetensors files. Counts the tensor elements of the files that a server loads, unless
    /// a header can't be read. Compares the indexes of shards with the files and tensors that are there.
    async fn safetensors(&mut self, loaded: &BTreeSet<&ModelPath>) -> Result<(), SourceError> {
        let files = self.with_ending("safetensors");
        if files.is_empty() {
            return Ok(());
        }
        let mut there = There::default();
        let (mut all, mut counted, mut flawed) = (Tensors::default(), Some(()), Vec::new());
        // Collected first: with a closure in the stream the future would not be `Send` (rust-lang/rust issue 64552).
        let reading: Vec<_> = files.iter().map(|file| self.reader.tensors(file)).collect();
        let mut headers = stream::iter(reading).buffered(READERS);
        for file in &files {
            let Some(header) = headers.try_next().await? else { break };
            if let Header::Doubtful(_, flaw) = &header {
                flawed.push(flaw.clone());
            }
            match header {
                Header::Read(header) | Header::Doubtful(header, _) => {
                    there.add(&header);
                    let mut merged = || if loaded.contains(&file.path) { all.merge(&header) } else { Some(()) };
                    counted = counted.and_then(|()| merged());
                }
                Header::TooLong => (counted, there.is_whole) = (None, false),
                Header::Flawed(flaw) => {
                    (counted, there.is_whole) = (None, false);
                    flawed.push(flaw);
                }
            }
        }
        drop(headers);
        self.examined.flaws.append(&mut flawed);
        if counted.is_some() {
            self.examined.facts.parameters = all.elements().filter(|elements| *elements > 0);
            self.examined.facts.dtype = all.dtype().map(str::to_owned);
        }
        self.indexes(&there).await
    }

    /// Compares the files and tensors that the indexes of safetensors files name with those that are there.
    async fn indexes(&mut self, there: &There) -> Result<(), SourceError> {
        let paths: BTreeSet<&str> = self.files.iter().map(|file| file.path.as_str()).collect();
        for file in self.files {
            let of_safetensors = indexed(&file.path).is_some_and(|of| of.format == Format::Safetensors);
            if !of_safetensors || file.size > index::INDEX_MAX_BYTES {
                continue;
            }
            let bytes = self.reader.whole(file).await?;
            let known = there.is_whole.then_some(&there.names);
            let Some(named) = index::read(&bytes, known) else { continue };
            let folder = split(file.path.as_str()).0;
            let path = |name: &String| if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
            let absent: Vec<String> = named.files.iter().map(path).filter(|path| !paths.contains(&**path)).collect();
            let (missing, total) = (absent.len(), named.files.len());
            let flaw = match (absent.into_iter().next(), named.first) {
                (Some(absent), None) if there.is_whole => Flaw::StaleIndex { index: file.path.clone(), file: absent },
                // Quantizations are often published with the index of the model that they were made of.
                (Some(absent), _) if missing == total && self.has_other_weights(folder) => {
                    Flaw::StaleIndex { index: file.path.clone(), file: absent }
                }
                (Some(first), _) => Flaw::MissingShards { first, missing, total },
                (None, Some(first)) => Flaw::MissingTensors { index: file.path.clone(), first, missing: named.unknown },
                (None, None) => continue,
            };
            // `shape::flaws` may have found missing shards by the numbers in the files' names already.
            let told =
                |known: &Flaw| matches!((known, &flaw), (Flaw::MissingShards { .. }, Flaw::MissingShards { .. }));
            if !self.examined.flaws.iter().any(told) {
                self.examined.flaws.push(flaw);
            }
        }
        Ok(())
    }

    /// Returns whether a folder has a safetensors file, or a complete set of shards.
    fn has_other_weights(&self, folder: &str) -> bool {
        let complete = |set: &WeightSet<'_>| {
            set.name.folder == folder && set.name.format == Format::Safetensors && set.is_complete()
        };
        sets(self.files.iter().copied()).iter().any(complete)
    }

    /// Reads the headers of all GGUF files. The model's first file states the facts; parameters are summed over all
    /// files of the model.
    async fn gguf(&mut self, loaded: &BTreeSet<&ModelPath>) -> Result<(), SourceError> {
        let files = self.with_ending("gguf");
        let is_model = self.examined.facts.format == Some(WeightFormat::Gguf);
        let of_model =
            gguf_model(&files.iter().copied().filter(|file| loaded.contains(&file.path)).collect::<Vec<_>>());
        let first = of_model.first().map(|file| &file.path).filter(|_| is_model);
        let mut parameters = Some(0_u64);
        for file in files {
            let is_counted = of_model.iter().any(|model| model.path == file.path);
            let header = match self.reader.gguf(file).await? {
                Header::Read(header) | Header::Doubtful(header, _) => Some(header),
                Header::TooLong => None,
                Header::Flawed(flaw) => {
                    self.examined.flaws.push(flaw);
                    None
                }
            };
            if let Some(header) = header.as_ref().filter(|_| first == Some(&file.path)) {
                header.add_to(&mut self.examined.facts);
            }
            if is_counted {
                parameters = parameters.zip(header).and_then(|(sum, header)| sum.checked_add(header.elements));
            }
        }
        if let Some(first) = first {
            let facts = &mut self.examined.facts;
            facts.file = Some(first.to_string());
            facts.parameters = parameters.filter(|elements| *elements > 0);
            facts.dtype.clone_from(&facts.quantization);
        }
        Ok(())
    }

    /// Looks for pointers and HTML pages among the small weight files of formats other than safetensors and GGUF.
    async fn others(&mut self) -> Result<(), SourceError> {
        let is_suspect = |file: &SourceFile| {
            let has_header = has_extension(file, &["safetensors", "gguf"]);
            !has_header && files::may_hold_weights(file) && file.size <= PAGE_MAX_BYTES
        };
        let found = self.begins(is_suspect).await?;
        self.examined.flaws.extend(found);
        Ok(())
    }

    /// Looks for git-lfs pointers among the files of tokenizers, which are often kept in git-lfs.
    async fn pointers(&mut self) -> Result<(), SourceError> {
        let found = self.begins(files::may_be_pointer).await?;
        self.examined.flaws.extend(found.into_iter().filter(|flaw| matches!(flaw, Flaw::LfsPointer { .. })));
        Ok(())
    }

    /// Reads the first bytes of the files that are `suspect`, and returns the flaws that these bytes show.
    async fn begins(&self, suspect: impl Fn(&SourceFile) -> bool) -> Result<Vec<Flaw>, SourceError> {
        let mut files: Vec<&SourceFile> = self.files.iter().copied().filter(|file| suspect(file)).collect();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        files.truncate(LOOKED_AT_MAX);
        let reading: Vec<_> = files.iter().map(|file| self.reader.begin(file)).collect();
        let begins: Vec<Begin> = stream::iter(reading).buffered(READERS).try_collect().await?;
        Ok(files.iter().zip(begins).filter_map(|(file, begin)| begin.flaw(file)).collect())
    }
}

/// The names of all tensors in the model's safetensors files.
struct There {
    /// Hashes of the names, by `index::hash`.
    names: BTreeSet<u64>,
    /// Whether the names are complete: every header was read, and there are at most [`TENSORS_MAX`] tensors.
    is_whole: bool,
}

impl Default for There {
    fn default() -> Self {
        Self { names: BTreeSet::new(), is_whole: true }
    }
}

impl There {
    /// Adds the names of one file's tensors, unless there would be more than [`TENSORS_MAX`] names.
    fn add(&mut self, tensors: &Tensors) {
        self.is_whole &= self.names.len() + tensors.names.len() <= TENSORS_MAX;
        if self.is_whole {
            self.names.extend(&tensors.names);
        }
    }
}
