//! Flaws that the paths of a model's files show, without reading a file.

use std::collections::BTreeSet;

use super::{files, flaw::Flaw};
use crate::{
    source::SourceFile,
    weights::{Format, WeightName, is_in_checkpoint, sets, split},
};

/// Endings that download programs give to a file that is not complete.
const PARTIAL: [&str; 6] = [".incomplete", ".part", ".partial", ".crdownload", ".aria2", ".download"];

/// Returns the flaws that the files' paths show.
pub(super) fn flaws(all: &[&SourceFile]) -> Vec<Flaw> {
    if let Some(snapshot) = snapshot(all) {
        // Every other flaw of such a folder is a consequence of this one.
        return vec![Flaw::CacheFolder { snapshot }];
    }
    let mut flaws: Vec<Flaw> = missing_shards(all);
    flaws.extend(nested(all).or_else(|| last_checkpoint(all)).map(|folder| Flaw::NestedModel { folder }));
    let partial = |file: &&&SourceFile| PARTIAL.iter().any(|ending| file.path.as_str().ends_with(ending));
    flaws.extend(all.iter().filter(partial).take(1).map(|file| Flaw::PartialDownload { file: file.path.clone() }));
    if !all.iter().any(|file| files::may_hold_weights(file)) {
        flaws.push(Flaw::NoWeights);
    }
    flaws
}

/// Returns the path of a snapshot when the files are a folder of the Hugging Face cache: `snapshots/COMMIT` beside
/// `blobs` or `refs`. These folders are one level deeper, in `models--owner--name`, when the files are the whole cache.
fn snapshot(all: &[&SourceFile]) -> Option<String> {
    all.iter().find_map(|file| {
        let path = file.path.as_str();
        let (before, inside) = match path.split_once('/') {
            Some((model, rest)) if model.starts_with("models--") => (format!("{model}/"), rest),
            _ => (String::new(), path),
        };
        let commit = inside.strip_prefix("snapshots/")?.split_once('/')?.0;
        let is_commit = commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
        let others = |name: &str| all.iter().any(|file| file.path.as_str().starts_with(&format!("{before}{name}/")));
        (is_commit && (others("blobs") || others("refs"))).then(|| format!("{before}snapshots/{commit}"))
    })
}

/// Returns the sets of shards that are incomplete by the numbers in the files' names (`-00001-of-00003`).
fn missing_shards(all: &[&SourceFile]) -> Vec<Flaw> {
    let incomplete = sets(all.iter().copied()).into_iter().filter(|set| !set.is_complete());
    incomplete
        .filter_map(|set| {
            let missing = set.missing();
            let total = usize::try_from(set.name.shard?.of).ok()?;
            Some(Flaw::MissingShards { first: set.shard_name(*missing.first()?), missing: missing.len(), total })
        })
        .collect()
}

/// Returns the subfolder that holds the whole model, when no configuration and no weights are outside this folder.
fn nested(all: &[&SourceFile]) -> Option<String> {
    let is_config = |name: &str| files::CONFIGURATIONS.contains(&name);
    let mut folders = BTreeSet::new();
    for file in all {
        let (folder, name) = split(file.path.as_str());
        let is_weights = WeightName::parse(&file.path).is_some_and(|name| name.format <= Format::Gguf);
        if is_config(name) || is_weights {
            folders.insert(folder);
        }
    }
    let folder = folders.first().filter(|folder| !folder.is_empty())?;
    let inside =
        |other: &&str| other == folder || other.strip_prefix(*folder).is_some_and(|rest| rest.starts_with('/'));
    let has_config = all.iter().any(|file| {
        let (of, name) = split(file.path.as_str());
        of == *folder && is_config(name)
    });
    (has_config && folders.iter().all(inside)).then(|| (*folder).to_owned())
}

/// Returns the folder of the last checkpoint of a training, when all weights are in checkpoints: what a trainer writes
/// beside a configuration of its own, before the model itself is saved.
fn last_checkpoint(all: &[&SourceFile]) -> Option<String> {
    let is_weights =
        |file: &&&SourceFile| WeightName::parse(&file.path).is_some_and(|name| name.format <= Format::Gguf);
    let folders: BTreeSet<(u64, &str)> = all
        .iter()
        .filter(is_weights)
        .map(|file| {
            let folder = split(file.path.as_str()).0;
            let step = folder.rsplit(['-', '_']).next().and_then(|step| step.parse().ok()).unwrap_or(u64::MAX);
            is_in_checkpoint(&file.path).then_some((step, folder))
        })
        .collect::<Option<_>>()?;
    folders.last().map(|(_, folder)| (*folder).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(paths: &[&str]) -> Vec<String> {
        let files: Vec<SourceFile> =
            paths.iter().map(|path| SourceFile { path: path.parse().unwrap(), size: 10, content: None }).collect();
        flaws(&files.iter().collect::<Vec<_>>()).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn names_alone_tell_some_flaws() {
        let commit = "5f".repeat(20);
        let (file, blob) = (format!("snapshots/{commit}/config.json"), format!("blobs/{}", "ab".repeat(32)));
        let cache = "the folder is part of the Hugging Face cache; the model is its snapshot";
        assert_eq!(codes(&[&blob, "refs/main", &file]), [format!("{cache} `snapshots/{commit}`")]);
        let below = ["models--a--b/refs/main".to_owned(), format!("models--a--b/{file}")];
        assert_eq!(codes(&[&below[0], &below[1]]), [format!("{cache} `models--a--b/snapshots/{commit}`")]);
        for (paths, expected) in [
            (&["config.json", "model.safetensors"][..], &[][..]),
            (&["m-00001-of-00002.safetensors"], &["shard `m-00002-of-00002.safetensors` is missing"]),
            (&["m-00002-of-00004.gguf"], &["3 of 4 shards are missing, the first is `m-00001-of-00004.gguf`"]),
            (
                &["README.md", "final/config.json", "final/model.safetensors", "final/vae/model.safetensors"],
                &["the model lies in the folder `final`; servers look for it one level above"],
            ),
            (&["a/config.json", "a/model.safetensors", "b/config.json", "b/model.safetensors"], &[]),
            (
                &["config.json", "checkpoint-500/model.safetensors", "checkpoint-1000/model.safetensors"],
                &["the model lies in the folder `checkpoint-1000`; servers look for it one level above"],
            ),
            (&["config.json", "model.safetensors", "checkpoint-500/model.safetensors"], &[]),
            (&["model_index.json", "unet/config.json", "unet/model.safetensors"], &[]),
            (&["config.json"], &["no file holds weights"]),
            (
                &["model.safetensors", "x.safetensors.part"],
                &["`x.safetensors.part` is an unfinished file of an interrupted download"],
            ),
        ] {
            assert_eq!(codes(paths), expected, "{paths:?}");
        }
    }
}
