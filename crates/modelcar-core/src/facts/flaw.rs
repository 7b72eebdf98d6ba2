//! Flaws: what is wrong with the files of a model, or looks wrong.

use std::fmt;

use crate::ModelPath;

/// A defect of a model's files, because of which no server can load the model ([`is_broken`](Self::is_broken)), or
/// perhaps not every server.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Flaw {
    /// Some shards of a set are missing, by the numbers in the files' names or by an index.
    MissingShards {
        /// Path of the first shard that is missing.
        first: String,
        /// Number of shards that are missing.
        missing: usize,
        /// Number of shards of the set.
        total: usize,
    },
    /// An index of shards (`model.safetensors.index.json`) names tensors that no file has.
    MissingTensors {
        /// The index.
        index: ModelPath,
        /// Name of the first tensor that is missing.
        first: String,
        /// Number of tensors that are missing.
        missing: usize,
    },
    /// A file is a git-lfs pointer: three lines of text that name the content, in place of the content.
    LfsPointer {
        /// The file.
        file: ModelPath,
    },
    /// A weight file is an HTML page, which a proxy or a sign-in form sent in place of the file.
    WebPage {
        /// The file.
        file: ModelPath,
    },
    /// A file of weights is empty.
    EmptyFile {
        /// The file.
        file: ModelPath,
    },
    /// A file does not begin with a valid header of the file's format (safetensors or GGUF).
    NoHeader {
        /// The file.
        file: ModelPath,
    },
    /// A file is shorter than its header says.
    Truncated {
        /// The file.
        file: ModelPath,
        /// Its size in bytes.
        size: u64,
        /// The size that follows from the header, in bytes.
        expected: u64,
    },
    /// A file is longer than its header says. Some readers of the format refuse such a file, others ignore the rest.
    TrailingBytes {
        /// The file.
        file: ModelPath,
        /// Its size in bytes.
        size: u64,
        /// The size that follows from the header, in bytes.
        expected: u64,
    },
    /// The folder is one of the Hugging Face cache, which holds every file twice: as a blob and in a snapshot.
    CacheFolder {
        /// Path of a snapshot inside the folder.
        snapshot: String,
    },
    /// An index names files that are missing. The model is whole all the same: other files have the tensors, or a
    /// complete set of safetensors files is in the same folder.
    StaleIndex {
        /// The index.
        index: ModelPath,
        /// Path of the first file that is missing.
        file: String,
    },
    /// The whole model is in a subfolder, and KServe's servers look for the model at the root.
    NestedModel {
        /// The folder.
        folder: String,
    },
    /// The ending of a file's name says that a program did not finish the download (`.incomplete`, `.part`).
    PartialDownload {
        /// The first such file.
        file: ModelPath,
    },
    /// The weights are an adapter, which needs the model that it was trained on.
    AdapterAlone {
        /// The name of that model, as the adapter states it.
        base: Option<String>,
    },
    /// No file holds weights.
    NoWeights,
    /// There are weights, and no configuration by which a server would recognize the model's library.
    UnknownKind,
}

/// Codes of flaws with which no server can load a model.
const BROKEN: [&str; 8] = [
    "cache-folder",
    "empty-file",
    "lfs-pointer",
    "missing-shards",
    "missing-tensors",
    "no-header",
    "truncated",
    "web-page",
];

impl Flaw {
    /// Returns whether no server can load a model with this flaw. A model with another flaw may be usable.
    pub fn is_broken(&self) -> bool {
        Self::is_broken_code(self.code())
    }

    /// As [`is_broken`](Self::is_broken), by the [`code`](Self::code) of a flaw; `false` for an unknown code.
    pub fn is_broken_code(code: &str) -> bool {
        BROKEN.contains(&code)
    }

    /// Returns the word that names the kind of flaw in annotations and JSON.
    pub fn code(&self) -> &'static str {
        match self {
            Self::MissingShards { .. } => "missing-shards",
            Self::MissingTensors { .. } => "missing-tensors",
            Self::LfsPointer { .. } => "lfs-pointer",
            Self::WebPage { .. } => "web-page",
            Self::EmptyFile { .. } => "empty-file",
            Self::NoHeader { .. } => "no-header",
            Self::Truncated { .. } => "truncated",
            Self::TrailingBytes { .. } => "trailing-bytes",
            Self::CacheFolder { .. } => "cache-folder",
            Self::StaleIndex { .. } => "stale-index",
            Self::NestedModel { .. } => "nested-model",
            Self::PartialDownload { .. } => "partial-download",
            Self::AdapterAlone { .. } => "adapter-alone",
            Self::NoWeights => "no-weights",
            Self::UnknownKind => "unknown-kind",
        }
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingShards { first, missing: 1, .. } => write!(f, "shard `{first}` is missing"),
            Self::MissingShards { first, missing, total } => {
                write!(f, "{missing} of {total} shards are missing, the first is `{first}`")
            }
            Self::MissingTensors { index, first, missing } => {
                write!(f, "`{index}` names tensors that no file has: `{first}`")?;
                if *missing > 1 { write!(f, " and {} more", missing - 1) } else { Ok(()) }
            }
            Self::LfsPointer { file } => {
                write!(f, "`{file}` is a git-lfs pointer, not the file itself")
            }
            Self::WebPage { file } => write!(f, "`{file}` is an HTML page, not weights"),
            Self::EmptyFile { file } => write!(f, "`{file}` is empty"),
            Self::NoHeader { file } => write!(f, "`{file}` does not begin with the header of its format"),
            Self::Truncated { file, size, expected } => {
                write!(f, "`{file}` is truncated: it has {size} bytes, its header says {expected}")
            }
            Self::TrailingBytes { file, size, expected } => {
                write!(f, "`{file}` is too long: it has {size} bytes, its header says {expected}")
            }
            Self::CacheFolder { snapshot } => {
                write!(f, "the folder is part of the Hugging Face cache; the model is its snapshot `{snapshot}`")
            }
            Self::StaleIndex { index, file } => {
                write!(f, "`{index}` names `{file}`, which is not there; other weight files are")
            }
            Self::NestedModel { folder } => {
                write!(f, "the model lies in the folder `{folder}`; servers look for it one level above")
            }
            Self::PartialDownload { file } => write!(f, "`{file}` is an unfinished file of an interrupted download"),
            Self::AdapterAlone { base: Some(base) } => {
                write!(f, "the weights are an adapter alone; the base model is `{base}`")
            }
            Self::AdapterAlone { base: None } => f.write_str("the weights are an adapter alone, without a base model"),
            Self::NoWeights => f.write_str("no file holds weights"),
            Self::UnknownKind => f.write_str("no configuration says which library loads these weights"),
        }
    }
}
