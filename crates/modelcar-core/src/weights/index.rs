//! Recognizes index files by their names. An index (`model.safetensors.index.json`) says which shard holds which
//! tensor.

use std::collections::BTreeMap;

use super::name::{Format, WeightName, split, take_precision};
use crate::{ModelPath, source::SourceFile};

/// The weight files that an index describes, as the name of the index says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Indexed<'a> {
    pub(crate) folder: &'a str,
    pub(crate) stem: &'a str,
    pub(crate) precision: Option<&'a str>,
    pub(crate) format: Format,
}

/// Returns which weight files an index describes; `None` when `path` is not the path of an index.
///
/// The precision is before the format (`model.fp16.safetensors.index.json`) or behind `index`
/// (`model.safetensors.index.fp16.json`), because releases of diffusers have written both.
pub(crate) fn indexed(path: &ModelPath) -> Option<Indexed<'_>> {
    let (folder, name) = split(path.as_str());
    let (weights, rest) = name.strip_suffix(".json")?.split_once(".index")?;
    let behind = rest.strip_prefix('.');
    if !rest.is_empty() && behind.is_none() {
        return None;
    }
    let (mut stem, extension) = weights.rsplit_once('.')?;
    let format = match extension {
        "safetensors" => Format::Safetensors,
        "bin" => Format::Pickle,
        "h5" => Format::Keras,
        "msgpack" => Format::Flax,
        _ => return None,
    };
    // Other words behind a dot belong to the stem, as in the names of the shards: `Llama-3.1-8B`.
    let precision = behind.or_else(|| take_precision(&mut stem, format));
    Some(Indexed { folder, stem, precision, format })
}

/// Finds the indexes of which every weight file stays out, each with the reason for people.
pub(super) fn of_dropped<'a>(
    files: &[&'a SourceFile],
    dropped: &BTreeMap<&ModelPath, String>,
) -> Vec<(&'a ModelPath, String)> {
    // For each name that an index may describe: whether any of the weight files is packed.
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
            ("a-3.1-8B.safetensors.index.json", Some(("", "a-3.1-8B", None, Format::Safetensors))),
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
