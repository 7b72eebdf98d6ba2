//! Which file goes into which layer.
//!
//! Layers of large files are at the bottom and layers of small files on top. A container runtime identifies an unpacked
//! layer by the digests of this layer and of all layers below (the chain id). So a changed README in the top layer
//! leaves the unpacked weights on the node in use.

use crate::source::SourceFile;

/// How files are spread over layers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layering {
    /// A file of at least this many bytes is a layer of its own, as long as `max_layers` allows.
    pub own_layer_bytes: u64,
    /// Smaller files share layers of at most this many bytes of content, or of more where `max_layers` demands it.
    pub bundle_bytes: u64,
    /// Most layers of the image, those of the base included. Container runtimes stack at most about 125. A base that
    /// leaves less room gets up to two weight layers all the same.
    pub max_layers: usize,
}

impl Default for Layering {
    /// 64 MiB, 256 MiB and 120 layers.
    fn default() -> Self {
        Self { own_layer_bytes: 64 << 20, bundle_bytes: 256 << 20, max_layers: 120 }
    }
}

/// Spreads `files`, sorted by path, over at most `max_layers` layers, or over two where `max_layers` is smaller. No
/// layer is empty.
pub(super) fn spread(files: Vec<SourceFile>, layering: &Layering, max_layers: usize) -> Vec<Vec<SourceFile>> {
    let (large, small): (Vec<_>, Vec<_>) = files.into_iter().partition(|file| file.size >= layering.own_layer_bytes);
    let room = max_layers.max(2);
    // Large files and bundles compete for the room. Bundles may take what large files leave, and half of the room in
    // any case. Where this is not enough, bundles and groups of large files grow beyond their usual size.
    let bundle_room = room.saturating_sub(large.len()).max(room / 2);
    let bundles = group(small, layering.bundle_bytes, bundle_room);
    let mut layers = group(large, 0, room - bundles.len());
    layers.extend(bundles);
    layers
}

/// Groups neighbours so that each group holds at most `cap` bytes, or one file. Where this makes more than `room`
/// groups, a binary search finds the smallest cap that makes at most `room`.
fn group(files: Vec<SourceFile>, cap: u64, room: usize) -> Vec<Vec<SourceFile>> {
    if count_groups(&files, cap) <= room {
        return cut(files, cap);
    }
    let (mut too_small, mut enough) = (cap, files.iter().map(|file| file.size).sum());
    while too_small + 1 < enough {
        let middle = too_small + (enough - too_small) / 2;
        if count_groups(&files, middle) <= room {
            enough = middle;
        } else {
            too_small = middle;
        }
    }
    cut(files, enough)
}

/// Returns how many groups [`cut`] makes, without making them.
fn count_groups(files: &[SourceFile], cap: u64) -> usize {
    let (mut groups, mut filled) = (0, None);
    for file in files {
        filled = match filled {
            Some(bytes) if bytes + file.size <= cap => Some(bytes + file.size),
            _ => {
                groups += 1;
                Some(file.size)
            }
        };
    }
    groups
}

/// Begins a new group where the next file would lift the current group above `cap` bytes.
fn cut(files: Vec<SourceFile>, cap: u64) -> Vec<Vec<SourceFile>> {
    let mut groups: Vec<Vec<SourceFile>> = Vec::new();
    let mut filled = 0;
    for file in files {
        match groups.last_mut() {
            Some(group) if filled + file.size <= cap => {
                filled += file.size;
                group.push(file);
            }
            _ => {
                filled = file.size;
                groups.push(vec![file]);
            }
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn file(index: usize, size: u64) -> SourceFile {
        SourceFile { path: format!("f{index:05}").parse().unwrap(), size, content: None }
    }

    fn sizes(layers: &[Vec<SourceFile>]) -> Vec<Vec<u64>> {
        layers.iter().map(|layer| layer.iter().map(|file| file.size / MIB).collect()).collect()
    }

    #[test]
    fn large_files_stand_alone_and_small_ones_share() {
        let files = [10, 64, 200, 50, 63, 100].iter().enumerate().map(|(at, mib)| file(at, mib * MIB)).collect();
        let layers = spread(files, &Layering::default(), 120);
        assert_eq!(sizes(&layers), [vec![64], vec![200], vec![100], vec![10, 50, 63]]);
    }

    #[test]
    fn bundles_stay_below_their_size() {
        let layers = spread((0..10).map(|at| file(at, 60 * MIB)).collect(), &Layering::default(), 120);
        assert_eq!(sizes(&layers), [vec![60; 4], vec![60; 4], vec![60; 2]]);
    }

    #[test]
    fn bundles_grow_only_where_the_room_is_short() {
        let files = (0..301).map(|at| file(at, if at == 7 { 65 * MIB } else { 60 * MIB })).collect();
        let layers = spread(files, &Layering::default(), 119);
        assert_eq!(layers.len(), 1 + 75);
        let files = (0..1000).map(|at| file(at, if at == 7 { 65 * MIB } else { 60 * MIB })).collect();
        let layers = spread(files, &Layering::default(), 119);
        assert_eq!(layers.len(), 1 + 111, "nine files of 60 MiB each");
    }

    #[test]
    fn many_large_files_share_layers_evenly() {
        let layers = spread((0..163).map(|at| file(at, 4000 * MIB)).collect(), &Layering::default(), 119);
        assert!(layers.len() <= 119);
        assert_eq!(layers.iter().map(Vec::len).max(), Some(2));
        assert_eq!(layers.iter().map(Vec::len).sum::<usize>(), 163);
    }

    #[test]
    fn the_limit_holds_whatever_the_files() {
        let files: Vec<_> =
            (0..9000).map(|at| file(at, if at % 30 == 0 { 65 * MIB } else { 40 * MIB + at as u64 })).collect();
        for room in [2, 3, 10, 119] {
            let layers = spread(files.clone(), &Layering::default(), room);
            assert!(layers.len() <= room, "{} > {room}", layers.len());
            assert_eq!(layers.iter().map(Vec::len).sum::<usize>(), 9000);
        }
    }

    #[test]
    fn empty_files_are_files() {
        let layers = spread(vec![file(0, 0), file(1, 0)], &Layering::default(), 120);
        assert_eq!(layers.len(), 1);
        assert_eq!(layers[0].len(), 2);
    }
}
