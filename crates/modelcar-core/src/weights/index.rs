//! Index files, which say which shard holds which tensor: `model.safetensors.index.json`.

use std::collections::BTreeMap;

use super::name::{Format, WeightName, split};
use crate::{ModelPath, source::SourceFile};

/// The weights that an index is of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Indexed<'a> {
    pub(crate) folder: &'a str,
    pub(crate) stem: &'a str,
    pub(crate) precision: Option<&'a str>,
    pub(crate) format: Format,
}

/// Returns what a file is the index of, by its name; `None` when the file is no index of weights.
/// The precision stands before the format (`model.fp16.safetensors.index.json`) or behind `index`
/// (`model.safetensors.index.fp16.json`), as releases of diffusers have written both.
pub(crate) fn indexed(path: &ModelPath) -> Option<Indexed<'_>> {
    let (folder, name) = split(path.as_str());
    let (weights, rest) = name.strip_suffix(".json")?.split_once(".index")?;
    let behind = rest.strip_prefix('.');
    if !rest.is_empty() && behind.is_none() {
        return None;
    }
    let (stem, extension) = weights.rsplit_once('.')?;
    let format = match extension {
        "safetensors" => Format::Safetensors,
        "bin" => Format::Pickle,
        "h5" => Format::Keras,
        "msgpack" => Format::Flax,
        _ => return None,
    };
    let (stem, before) = match stem.rsplit_once('.') {
        Some((head, precision)) if behind.is_none() => (head, Some(precision)),
        _ => (stem, None),
    };
    Some(Indexed { folder, stem, precision: before.or(behind), format })
}

/// Finds the indexes of weights that all stay out.
pub(super) fn of_dropped<'a>(
    files: &[&'a SourceFile],
    dropped: &BTreeMap<&ModelPath, String>,
) -> Vec<(&'a ModelPath, String)> {
    // Whether any of these weights is packed.
    let mut packed: BTreeMap<Indexed<'_>, bool> = BTreeMap::new();
    for file in files {
        if let Some(WeightName { folder, stem, precision, format, .. }) = WeightName::parse(&file.path) {
            *packed.entry(Indexed { folder, stem, precision, format }).or_default() |=
                !dropped.contains_key(&file.path);
        }
    }
    let of_dropped = |file: &&&SourceFile| {
        let weights = indexed(&file.path).and_then(|of| packed.get(&of));
        weights == Some(&false) && !dropped.contains_key(&file.path)
    };
    let reason = || "is the index of weights that stay out".to_owned();
    files.iter().filter(of_dropped).map(|file| (&file.path, reason())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_tells_what_it_is_of() {
        for (path, expected) in [
            ("model.safetensors.index.json", Some(("", "model", None, Format::Safetensors))),
            ("a/pytorch_model.bin.index.json", Some(("a", "pytorch_model", None, Format::Pickle))),
            ("unet/m.safetensors.index.fp16.json", Some(("unet", "m", Some("fp16"), Format::Safetensors))),
            ("unet/m.fp16.safetensors.index.json", Some(("unet", "m", Some("fp16"), Format::Safetensors))),
            ("model_index.json", None),
            ("config.json", None),
            ("a.index.json", None),
        ] {
            let path: ModelPath = path.parse().unwrap();
            let found = indexed(&path).map(|of| (of.folder, of.stem, of.precision, of.format));
            assert_eq!(found, expected, "{path}");
        }
    }
}
