//! Which of the listed files go into the image, and why the others do not.

use std::collections::BTreeSet;

use globset::{Glob, GlobSet, GlobSetBuilder};
use serde::{Deserialize, Serialize};

use super::PlanError;
use crate::{
    ModelPath,
    path::{has_extension, is_projector},
    source::SourceFile,
};

/// What the user says about files. Patterns are globs whose `*` crosses `/`, as on the Hub; `dir/` stands for all
/// below it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Only files that match one of these, when there is any. What is named here is taken whatever its format.
    pub include: Vec<String>,
    /// Not the files that match one of these.
    pub exclude: Vec<String>,
    /// Take every file, duplicates of the weights in other formats and git's own files too.
    pub all: bool,
}

/// A file that stays out of the image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// The file.
    pub path: ModelPath,
    /// Size in bytes.
    pub size: u64,
    /// Why, for people. Lock files hold it; it is part of no digest.
    pub reason: String,
}

impl LeftOut {
    /// Returns whether the file is git's own, which nobody misses.
    pub fn is_git(&self) -> bool {
        is_git(&self.path)
    }
}

impl Selection {
    /// Splits `files` into those that go into the image and those that stay out.
    ///
    /// # Errors
    /// When a pattern is no glob, when nothing is left, or when the repository offers several GGUF quantizations and
    /// none was chosen.
    pub fn apply(&self, files: Vec<SourceFile>) -> Result<(Vec<SourceFile>, Vec<LeftOut>), PlanError> {
        let include = globs(&self.include)?;
        let exclude = globs(&self.exclude)?;
        let formats = Formats::of(&files);
        let (mut taken, mut left_out) = (Vec::new(), Vec::new());
        for file in files {
            let reason = match &file.path {
                path if exclude.is_match(path.as_str()) => Some("matches an exclude pattern".to_owned()),
                _ if self.all && include.is_empty() => None,
                path if is_git(path) && !self.all => Some("belongs to git, not to the model".to_owned()),
                path if include.is_empty() => formats.duplicate(path),
                path if include.is_match(path.as_str()) => None,
                _ => Some("matches no include pattern".to_owned()),
            };
            match reason {
                Some(reason) => left_out.push(LeftOut { path: file.path, size: file.size, reason }),
                None => taken.push(file),
            }
        }
        if taken.is_empty() {
            return Err(PlanError::NoFiles { left_out });
        }
        if self.include.is_empty() && !self.all {
            refuse_several_quantizations(&taken)?;
        }
        taken.sort_by(|a, b| a.path.cmp(&b.path));
        left_out.sort_by(|a, b| a.path.cmp(&b.path));
        Ok((taken, left_out))
    }
}

fn globs(patterns: &[String]) -> Result<GlobSet, PlanError> {
    let mut set = GlobSetBuilder::new();
    let bad = |pattern: &str, source| PlanError::BadPattern { pattern: pattern.to_owned(), source };
    for pattern in patterns {
        let glob = if pattern.ends_with('/') { Glob::new(&format!("{pattern}*")) } else { Glob::new(pattern) };
        set.add(glob.map_err(|error| bad(pattern, error))?);
    }
    set.build().map_err(|error| bad(&patterns.join(", "), error))
}

fn is_git(path: &ModelPath) -> bool {
    path.as_str().split('/').any(|component| component.starts_with(".git"))
}

/// Where a repository offers its weights as safetensors.
struct Formats {
    folders: BTreeSet<String>,
}

/// Folders at the root that hold a whole model once more.
const WHOLE_COPIES: [&str; 3] = ["original", "onnx", "openvino"];

impl Formats {
    fn of(files: &[SourceFile]) -> Self {
        // Mistral's `consolidated.safetensors` alone is the model; beside shards it is a copy of them.
        let safetensors = |file: &&SourceFile| {
            let name = file.path.file_name();
            has_extension(name, "safetensors")
                && !name.starts_with("consolidated")
                && !in_folder(&file.path, "original")
        };
        Self { folders: files.iter().filter(safetensors).map(|file| folder(&file.path).to_owned()).collect() }
    }

    /// Returns why a file is a copy of weights that the image holds as safetensors already.
    ///
    /// Only beside safetensors are other formats copies: a part of a model in a folder of its own (a dense layer, a
    /// language model) may come in another format alone.
    fn duplicate(&self, path: &ModelPath) -> Option<String> {
        let name = path.file_name();
        if self.folders.is_empty() || name.starts_with("tokenizer") {
            return None;
        }
        if let Some(folder) = WHOLE_COPIES.into_iter().find(|folder| in_folder(path, folder)) {
            return Some(format!("`{folder}/` repeats the weights that safetensors files hold"));
        }
        if !self.folders.contains(folder(path)) {
            return None;
        }
        if name.starts_with("consolidated") {
            return Some("`consolidated*` repeats the weights that safetensors shards hold".to_owned());
        }
        ["bin", "pth", "h5", "msgpack"]
            .into_iter()
            .find(|extension| has_extension(name, extension))
            .map(|extension| format!("`*.{extension}` repeats the weights that the safetensors beside it hold"))
    }
}

fn folder(path: &ModelPath) -> &str {
    path.as_str().rsplit_once('/').map_or("", |(folder, _)| folder)
}

fn in_folder(path: &ModelPath, folder: &str) -> bool {
    path.as_str().split_once('/').is_some_and(|(first, _)| first == folder)
}

/// A GGUF repository holds the same model many times over; only its user knows which one is wanted.
fn refuse_several_quantizations(files: &[SourceFile]) -> Result<(), PlanError> {
    let models: BTreeSet<String> = files
        .iter()
        .map(|file| file.path.as_str())
        .filter(|path| has_extension(path, "gguf") && !is_projector(path))
        .map(without_shard_number)
        .collect();
    match models.len() {
        0 | 1 => Ok(()),
        _ => Err(PlanError::SeveralQuantizations { models: models.into_iter().collect() }),
    }
}

/// Turns `q4-00001-of-00003.gguf` into `q4.gguf`.
fn without_shard_number(path: &str) -> String {
    let stem = &path[..path.len() - ".gguf".len()];
    let digits = |text: &str| text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    let bare = stem.rsplit_once("-of-").and_then(|(head, total)| {
        let (name, number) = head.rsplit_once('-')?;
        (digits(total) && digits(number)).then_some(name)
    });
    format!("{}.gguf", bare.unwrap_or(stem))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(paths: &[&str]) -> Vec<SourceFile> {
        paths.iter().map(|path| SourceFile { path: path.parse().unwrap(), size: 1, content: None }).collect()
    }

    fn check(selection: &Selection, paths: &[&str], expected: &[&str]) {
        let (taken, left_out) = selection.apply(files(paths)).unwrap();
        assert_eq!(taken.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(), expected);
        assert_eq!(taken.len() + left_out.len(), paths.len());
    }

    const MIXED: &[&str] = &[
        ".gitattributes",
        "LICENSE",
        "chat_template.jinja",
        "config.json",
        "consolidated.00.pth",
        "model.safetensors",
        "modeling.py",
        "onnx/model.onnx",
        "original/params.json",
        "pytorch_model.bin",
        "tf_model.h5",
        "tokenizer.bin",
    ];

    #[test]
    fn copies_of_the_weights_stay_out_and_nothing_else_does() {
        let kept =
            ["LICENSE", "chat_template.jinja", "config.json", "model.safetensors", "modeling.py", "tokenizer.bin"];
        check(&Selection::default(), MIXED, &kept);
        check(&Selection { all: true, ..Selection::default() }, MIXED, MIXED);
    }

    #[test]
    fn a_part_in_another_format_alone_is_the_model() {
        let parts = [
            "1_Dense/model.safetensors",
            "1_Dense/pytorch_model.bin",
            "2_Dense/pytorch_model.bin",
            "language_model/5gram.bin",
            "model.safetensors",
            "openvino/openvino_model.bin",
            "openvino/openvino_model.xml",
        ];
        check(&Selection::default(), &parts, &[parts[0], parts[2], parts[3], parts[4]]);
    }

    #[test]
    fn without_safetensors_other_formats_are_the_model() {
        check(&Selection::default(), &["config.json", "pytorch_model.bin"], &["config.json", "pytorch_model.bin"]);
        check(&Selection::default(), &["consolidated.safetensors"], &["consolidated.safetensors"]);
    }

    #[test]
    fn include_names_and_exclude_removes() {
        let include = |patterns: &[&str]| Selection {
            include: patterns.iter().map(|pattern| (*pattern).to_owned()).collect(),
            ..Selection::default()
        };
        check(&include(&["onnx/", "*.json"]), MIXED, &["config.json", "onnx/model.onnx", "original/params.json"]);
        let exclude = Selection { exclude: vec!["*.py".into()], ..Selection::default() };
        check(&exclude, &["a.py", "b.json"], &["b.json"]);
        let error = include(&["*.zzz"]).apply(files(MIXED)).unwrap_err();
        assert!(matches!(error, PlanError::NoFiles { left_out } if left_out.len() == 12));
        assert!(matches!(include(&["[a"]).apply(files(MIXED)).unwrap_err(), PlanError::BadPattern { .. }));
    }

    #[test]
    fn several_quantizations_need_a_choice() {
        let shards = ["q4-00001-of-00002.gguf", "q4-00002-of-00002.gguf"];
        check(&Selection::default(), &shards, &shards);
        let shown = ["m-MMPROJ-f16.gguf", "m-Q4_K_M.gguf"];
        check(&Selection::default(), &shown, &shown);
        let error = Selection::default().apply(files(&["m-Q4.gguf", "m-Q8.gguf"])).unwrap_err();
        assert!(matches!(error, PlanError::SeveralQuantizations { models } if models == ["m-Q4.gguf", "m-Q8.gguf"]));
    }
}
