//! Selects which of the listed files are packed, and gives the reason why each other file stays out.

use globset::{Glob, GlobSet, GlobSetBuilder};
use serde::{Deserialize, Serialize};

use super::PlanError;
use crate::{
    ModelPath,
    source::{SourceFile, Unwanted},
    weights::{self, TensorCounts, WeightName},
};

/// Which files the user wants. Patterns are globs whose `*` also matches `/`, as in the Hub's own tools. The pattern
/// `dir/` matches all files below the folder `dir`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Pack only the files that match one of these patterns; empty means no restriction. With a pattern, copies of
    /// weights and the state of a training are packed as well if they match, and `weights` chooses nothing.
    pub include: Vec<String>,
    /// Leave out the files that match one of these patterns, even if `include` or `all` asks for them.
    pub exclude: Vec<String>,
    /// Pack every file: copies of the weights, the state of a training and git's own files too.
    pub all: bool,
    /// Of weight files that hold the same weights, pack those that match one of these patterns: a quantization, a
    /// precision or a format. Weight files without a counterpart are packed whatever these patterns are.
    pub weights: Vec<String>,
}

/// A file that stays out of the image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
pub struct LeftOut {
    /// The file.
    pub path: ModelPath,
    /// Size in bytes.
    pub size: u64,
    /// Why the file stays out, for people. Lock files hold the reason; no digest depends on the reason.
    pub reason: String,
}

impl LeftOut {
    /// Returns whether the file is git's own, such as `.gitattributes`: no server needs such a file.
    pub fn is_git(&self) -> bool {
        is_git(&self.path)
    }

    /// Returns whether the file is a signature of all files of the model. Such a signature can't be verified where some
    /// files are not packed.
    pub fn is_signature(&self) -> bool {
        self.path.as_str() == SIGNATURE
    }
}

/// Name of the signature of all files of a model that `OpenSSF` Model Signing writes.
const SIGNATURE: &str = "model.sig";

impl Selection {
    /// Splits `files` into those that are packed and those that stay out, both sorted by path. `counts` are the numbers
    /// of tensor elements, by which weight files are compared more exactly than by their sizes.
    ///
    /// # Errors
    /// [`PlanError::BadPattern`], [`PlanError::NoSuchWeights`], [`PlanError::SeveralForms`] and [`PlanError::NoFiles`].
    pub fn apply(
        &self,
        files: Vec<SourceFile>,
        counts: &TensorCounts,
    ) -> Result<(Vec<SourceFile>, Vec<LeftOut>), PlanError> {
        let reasons = self.reasons(&files, &mut |files| counts.of(files))?;
        let (mut taken, mut left_out) = (Vec::new(), Vec::new());
        for (file, reason) in files.into_iter().zip(reasons) {
            match reason {
                Some(reason) => left_out.push(LeftOut { path: file.path, size: file.size, reason }),
                None => taken.push(file),
            }
        }
        leave_broken_signature_out(&mut taken, &mut left_out);
        if taken.is_empty() {
            return Err(PlanError::NoFiles { left_out });
        }
        taken.sort_by(|a, b| a.path.cmp(&b.path));
        left_out.sort_by(|a, b| a.path.cmp(&b.path));
        Ok((taken, left_out))
    }

    /// Returns those of `files` whose number of tensor elements [`apply`](Self::apply) compares, sorted by path.
    ///
    /// # Errors
    /// [`PlanError::BadPattern`] and [`PlanError::NoSuchWeights`].
    pub fn compared(&self, files: &[SourceFile]) -> Result<Vec<SourceFile>, PlanError> {
        let mut asked = Vec::new();
        let mut ask = |files: &[&SourceFile]| {
            asked.extend(files.iter().copied().cloned());
            None
        };
        match self.reasons(files, &mut ask) {
            Ok(_) | Err(PlanError::SeveralForms { .. }) => {}
            Err(error) => return Err(error),
        }
        asked.sort_by(|a, b| a.path.cmp(&b.path));
        asked.dedup();
        Ok(asked)
    }

    /// Returns the reason why each file stays out, in the order of `files`; `None` for a file that is packed.
    fn reasons(&self, files: &[SourceFile], count: &mut weights::Count<'_>) -> Result<Vec<Option<String>>, PlanError> {
        let (include, exclude, chosen) = (globs(&self.include)?, globs(&self.exclude)?, globs(&self.weights)?);
        self.check_chosen(files)?;
        let said = |file: &SourceFile| match &file.path {
            path if exclude.is_match(path.as_str()) => Some("matches an exclude pattern".to_owned()),
            _ if self.all && include.is_empty() => None,
            path if is_git(path) && !self.all => Some("belongs to git, not to the model".to_owned()),
            path if include.is_empty() || include.is_match(path.as_str()) => None,
            _ => Some("matches no include pattern".to_owned()),
        };
        let mut reasons: Vec<Option<String>> = files.iter().map(said).collect();
        if !include.is_empty() || self.all {
            return Ok(reasons);
        }
        let rest = files.iter().zip(&reasons).filter(|(_, reason)| reason.is_none());
        let rest: Vec<&SourceFile> = rest.map(|(file, _)| file).collect();
        let mut surplus = weights::surplus(&rest, &chosen, count);
        if !surplus.choices.is_empty() {
            return Err(PlanError::SeveralForms { choices: surplus.choices });
        }
        for (file, reason) in files.iter().zip(&mut reasons) {
            if reason.is_none() {
                *reason = surplus.files.remove(&file.path);
            }
        }
        Ok(reasons)
    }

    /// Checks that each pattern of [`Self::weights`] matches a weight file.
    fn check_chosen(&self, files: &[SourceFile]) -> Result<(), PlanError> {
        for pattern in &self.weights {
            let glob = globs(std::slice::from_ref(pattern))?;
            let matches =
                |file: &SourceFile| WeightName::parse(&file.path).is_some() && glob.is_match(file.path.as_str());
            if !files.iter().any(matches) {
                return Err(PlanError::NoSuchWeights { pattern: pattern.clone() });
            }
        }
        Ok(())
    }
}

/// Leaves the signature of all files out when a file stays out that the signature covers. Git's own files are not
/// signed.
fn leave_broken_signature_out(taken: &mut Vec<SourceFile>, left_out: &mut Vec<LeftOut>) {
    if left_out.iter().all(LeftOut::is_git) {
        return;
    }
    for file in taken.extract_if(.., |file| file.path.as_str() == SIGNATURE) {
        let reason = "signs all files, of which some stay out".to_owned();
        left_out.push(LeftOut { path: file.path, size: file.size, reason });
    }
}

impl Selection {
    /// Returns which entries of a source this selection leaves out by their names alone. A source skips such an entry
    /// if it can't be packed, in place of failing.
    ///
    /// Where a pattern is not a valid glob, no entry is unwanted: [`apply`](Self::apply) returns the error.
    #[must_use]
    pub fn unwanted(&self) -> Unwanted {
        let (Ok(include), Ok(exclude)) = (globs(&self.include), globs(&self.exclude)) else { return Unwanted::none() };
        let starts: Vec<String> = self.include.iter().map(|pattern| literal_start(pattern)).collect();
        Unwanted::by(move |name| {
            let Some(folder) = name.strip_suffix('/') else {
                return exclude.is_match(name) || !(include.is_empty() || include.is_match(name));
            };
            // The content of an unreadable folder is not known: the folder is unwanted only if no path below can match.
            let may_hold = |start: &String| start.starts_with(name) || name.starts_with(start.as_str());
            exclude.is_match(name) || exclude.is_match(folder) || !(starts.is_empty() || starts.iter().any(may_hold))
        })
    }
}

/// Returns the text before the first wildcard: every match of the pattern begins with this text.
fn literal_start(pattern: &str) -> String {
    pattern.split(['*', '?', '[', '{', '\\']).next().unwrap_or_default().to_owned()
}

/// Compiles glob patterns to one set. `dir/` becomes `dir/*`, whose `*` also matches `/`.
fn globs(patterns: &[String]) -> Result<GlobSet, PlanError> {
    let mut set = GlobSetBuilder::new();
    let bad = |pattern: &str, source| PlanError::BadPattern { pattern: pattern.to_owned(), source };
    for pattern in patterns {
        let glob = if pattern.ends_with('/') { Glob::new(&format!("{pattern}*")) } else { Glob::new(pattern) };
        set.add(glob.map_err(|error| bad(pattern, error))?);
    }
    set.build().map_err(|error| bad(&patterns.join(", "), error))
}

/// Returns whether a component of the path begins with `.git`: `.git`, `.gitattributes`, `.github`.
fn is_git(path: &ModelPath) -> bool {
    path.as_str().split('/').any(|component| component.starts_with(".git"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(paths: &[&str]) -> Vec<SourceFile> {
        paths.iter().map(|path| SourceFile { path: path.parse().unwrap(), size: 1, content: None }).collect()
    }

    fn check(selection: &Selection, paths: &[&str], expected: &[&str]) {
        let (taken, left_out) = selection.apply(files(paths), &TensorCounts::default()).unwrap();
        assert_eq!(taken.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(), expected);
        assert_eq!(taken.len() + left_out.len(), paths.len());
    }

    fn apply(selection: &Selection, paths: &[&str]) -> Result<(Vec<SourceFile>, Vec<LeftOut>), PlanError> {
        selection.apply(files(paths), &TensorCounts::default())
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
        "original/consolidated.00.pth",
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
        let error = apply(&include(&["*.zzz"]), MIXED).unwrap_err();
        assert!(matches!(error, PlanError::NoFiles { left_out } if left_out.len() == 13));
        assert!(matches!(apply(&include(&["[a"]), MIXED).unwrap_err(), PlanError::BadPattern { .. }));
    }

    #[test]
    fn what_no_file_of_the_image_can_be_is_unwanted() {
        let owned = |patterns: &[&str]| patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
        for (include, exclude, name, is_unwanted) in [
            (&[][..], &["images*"][..], "images\\loss.png", true),
            (&[], &["*.jpg"], "images\\loss.png", false),
            (&["*.json"], &[], "images\\loss.png", true),
            (&["*.png"], &[], "images\\loss.png", false),
            (&[], &["lost+found/"], "lost+found/", true),
            (&[], &["lost+found"], "lost+found/", true),
            (&["*.json"], &[], "lost+found/", false),
            (&["config.json", "weights/*"], &[], "lost+found/", true),
            (&["weights/*"], &[], "weights/", false),
            (&["a/b/*"], &[], "a/", false),
            (&["[a"], &["*"], "a", false),
            (&[], &[], "a", false),
        ] {
            let selection = Selection { include: owned(include), exclude: owned(exclude), ..Selection::default() };
            assert_eq!(selection.unwanted().has(name), is_unwanted, "{include:?} {exclude:?} {name}");
        }
    }

    #[test]
    fn several_quantizations_need_a_choice() {
        let shards = ["q4-00001-of-00002.gguf", "q4-00002-of-00002.gguf"];
        check(&Selection::default(), &shards, &shards);
        let shown = ["m-MMPROJ-f16.gguf", "m-Q4_K_M.gguf"];
        check(&Selection::default(), &shown, &shown);
        let error = apply(&Selection::default(), &["m-Q4.gguf", "m-Q8.gguf"]).unwrap_err();
        let PlanError::SeveralForms { choices } = error else { panic!("{error}") };
        assert_eq!(choices.iter().map(|choice| &*choice.pattern).collect::<Vec<_>>(), ["m-Q4.gguf", "m-Q8.gguf"]);
    }
}
