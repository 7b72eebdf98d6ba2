//! Owns the list of layouts: how the same model is spread over layers.

use std::fmt;

use serde::Serialize;

/// An image of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// This project's.
    Modelcar,
    /// All files in one layer.
    OneLayer(Compression),
    /// Each shard in a layer of its own, all small files in another.
    LayerEach(Compression),
    /// oci-modelcar's.
    OciModelcar,
    /// olot's, copied into the registry by skopeo.
    Olot,
}

/// How a layer is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compression {
    /// Not at all.
    Plain,
    /// `gzip -6`, the default of most tools.
    Gzip,
    /// `zstd -3`, the default of zstd.
    Zstd,
}

impl Layout {
    /// Every layout, ours first.
    pub const ALL: [Self; 8] = [
        Self::Modelcar,
        Self::OneLayer(Compression::Plain),
        Self::OneLayer(Compression::Gzip),
        Self::OneLayer(Compression::Zstd),
        Self::LayerEach(Compression::Gzip),
        Self::LayerEach(Compression::Zstd),
        Self::OciModelcar,
        Self::Olot,
    ];

    /// Returns the tag of the layout's image.
    pub(crate) fn tag(self) -> String {
        self.to_string().replace([',', '+'], "").split_whitespace().collect::<Vec<_>>().join("-")
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Modelcar => f.write_str("modelcar"),
            Self::OneLayer(compression) => write!(f, "one layer, {compression}"),
            Self::LayerEach(compression) => write!(f, "a layer each, {compression}"),
            Self::OciModelcar => f.write_str("oci-modelcar"),
            Self::Olot => f.write_str("olot + skopeo"),
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "plain",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_differ_and_are_tags() {
        let mut tags: Vec<String> = Layout::ALL.into_iter().map(Layout::tag).collect();
        assert!(tags.iter().all(|tag| tag.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')), "{tags:?}");
        tags.sort();
        tags.dedup();
        assert_eq!(tags.len(), Layout::ALL.len());
    }
}
