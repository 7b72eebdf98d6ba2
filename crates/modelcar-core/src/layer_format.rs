//! The tar format of a layer, as `docs/layer-format.md` specifies it: headers as GNU tar writes them, byte for byte.
//!
//! The module is arithmetic on paths and sizes and does no I/O. So the size of a layer and the place of every byte in
//! it are known before the source has given any content. Two builds of the same files with the same time give the same
//! bytes.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use tar::{EntryType, Header};

use crate::source::SourceFile;

/// Version of the layer format that `docs/layer-format.md` specifies.
///
/// Any change of a layer's bytes raises the version. The version is a part of a layer's recipe, so that layers of two
/// versions are never taken for each other.
pub const LAYER_FORMAT: u32 = 1;

/// Size of a tar block in bytes (POSIX, "ustar Interchange Format"). Headers and padded contents are whole blocks.
const BLOCK_BYTES: u64 = 512;
/// Longest name in bytes that the name field of a header holds. A longer name is written in full into an entry of type
/// `L` (GNU tar's `././@LongLink`) before its header.
const NAME_MAX_BYTES: usize = 100;
/// Where a model lies in the image: KServe links to `/models`.
const ROOT: &str = "models/";
/// The bytes of padding and of the trailer, so that neither is allocated for each file.
static ZEROS: [u8; 1024] = [0; 1024];

/// One member of the tar: a folder, or a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    /// Full name; a folder's ends in `/`.
    pub(crate) name: String,
    /// The file, unless it is a folder.
    pub(crate) file: Option<&'a SourceFile>,
}

/// Returns the members that a layer of `files` holds, sorted by name in byte order.
///
/// The folder `models/` and every folder above a file are members of every layer that needs them. So the mode of a
/// folder does not depend on which layer a runtime unpacks first.
pub(crate) fn entries(files: &[SourceFile]) -> impl Iterator<Item = Entry<'_>> {
    let mut entries: BTreeMap<String, Option<&SourceFile>> = BTreeMap::from([(ROOT.to_owned(), None)]);
    for file in files {
        for folder in file.path.ancestors() {
            entries.insert(format!("{ROOT}{folder}/"), None);
        }
        entries.insert(format!("{ROOT}{}", file.path), Some(file));
    }
    entries.into_iter().map(|(name, file)| Entry { name, file })
}

/// Returns the size of the layer in bytes: headers, contents, padding and trailer.
///
/// The sum does not overflow for sizes that a plan admits.
pub(crate) fn size(files: &[SourceFile]) -> u64 {
    let member = |entry: Entry<'_>| {
        let content = entry.file.map_or(0, |file| file.size);
        header_bytes(&entry.name) + content + padding_bytes(content)
    };
    entries(files).map(member).sum::<u64>() + trailer().len() as u64
}

/// Returns the zeros that follow the content of a file of `size` bytes, up to the end of its last block: none when
/// `size` is a multiple of 512.
pub(crate) fn padding(size: u64) -> Bytes {
    let len = usize::try_from(padding_bytes(size)).unwrap_or_default();
    Bytes::from_static(&ZEROS[..len])
}

/// Returns the end of the archive: two blocks of zeros (POSIX, "ustar Interchange Format").
///
/// GNU tar fills the archive up to a whole record, of 10,240 bytes by default. A layer is not filled up.
pub(crate) fn trailer() -> Bytes {
    Bytes::from_static(&ZEROS)
}

/// Returns the header of `entry`, one block, after the entry for a long name if `entry` has a name that is too long.
///
/// `mtime` is in seconds since 1970. Files have the mode 0644 and folders 0755, so that a server of any user can read
/// them.
pub(crate) fn header(entry: &Entry<'_>, mtime: u64) -> Bytes {
    let (kind, mode) = match entry.file {
        Some(_) => (EntryType::Regular, 0o644),
        None => (EntryType::Directory, 0o755),
    };
    let size = entry.file.map_or(0, |file| file.size);
    let name = entry.name.as_bytes();
    let mut bytes = BytesMut::new();
    if name.len() > NAME_MAX_BYTES {
        let len = name.len() as u64 + 1;
        bytes.extend_from_slice(&block(b"././@LongLink", EntryType::GNULongName, 0o644, len, 0));
        bytes.extend_from_slice(name);
        bytes.extend_from_slice(&[0]);
        bytes.extend_from_slice(&padding(len));
    }
    bytes.extend_from_slice(&block(name, kind, mode, size, mtime));
    bytes.freeze()
}

/// Returns one header block. The owner and the group have the number 0 and no name. The device numbers stay empty, as
/// GNU tar leaves them for files.
///
/// `size` is in bytes and `mtime` in seconds. A number that its octal field can't hold, such as a size of 8 GiB or
/// more, is written in base 256 (an extension of GNU tar). Only the first 100 bytes of `name` are written.
fn block(name: &[u8], kind: EntryType, mode: u32, size: u64, mtime: u64) -> [u8; 512] {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(size);
    header.set_mtime(mtime);
    let head = &name[..name.len().min(NAME_MAX_BYTES)];
    header.as_old_mut().name[..head.len()].copy_from_slice(head);
    set_checksum(&mut header);
    *header.as_bytes()
}

/// Writes the checksum as GNU tar does: six octal digits, NUL and a space. The `tar` crate writes seven digits.
///
/// The checksum is the sum of all bytes of the block, where the checksum field itself counts as eight spaces.
fn set_checksum(header: &mut Header) {
    header.as_old_mut().cksum = *b"        ";
    let sum: u32 = header.as_bytes().iter().copied().map(u32::from).sum();
    header.as_old_mut().cksum.copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

/// Returns the number of bytes that [`header`] gives for an entry of this name.
///
/// The content of an `L` entry is the name and a NUL, padded like any other content.
fn header_bytes(name: &str) -> u64 {
    if name.len() <= NAME_MAX_BYTES {
        return BLOCK_BYTES;
    }
    let record = name.len() as u64 + 1;
    BLOCK_BYTES + record + padding_bytes(record) + BLOCK_BYTES
}

/// Returns the number of bytes from `size` to the next multiple of a block.
fn padding_bytes(size: u64) -> u64 {
    (BLOCK_BYTES - size % BLOCK_BYTES) % BLOCK_BYTES
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use proptest::prelude::*;

    use super::*;

    fn file(path: &str, size: u64) -> SourceFile {
        SourceFile { path: path.parse().unwrap(), size, content: None }
    }

    fn whole(files: &[SourceFile], mtime: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        for entry in entries(files) {
            bytes.extend_from_slice(&header(&entry, mtime));
            let size = entry.file.map_or(0, |file| file.size);
            bytes.resize(bytes.len() + usize::try_from(size).unwrap(), b'x');
            bytes.extend_from_slice(&padding(size));
        }
        bytes.extend_from_slice(&trailer());
        bytes
    }

    #[test]
    fn folders_stand_before_what_is_in_them() {
        let files = [file("a/b/c", 1), file("a.txt", 2), file("z", 0)];
        let names: Vec<String> = entries(&files).map(|entry| entry.name).collect();
        assert_eq!(names, ["models/", "models/a.txt", "models/a/", "models/a/b/", "models/a/b/c", "models/z"]);
    }

    #[test]
    fn sizes_from_eight_gib_are_base_256() {
        let block = block(b"models/x", EntryType::Regular, 0o644, 9 << 30, 0);
        assert_eq!(block[124], 0x80);
        assert_eq!(u64::from_be_bytes(block[128..136].try_into().unwrap()), 9 << 30);
        assert_eq!(size(&[file("x", 9 << 30)]), 512 + 512 + (9 << 30) + 1024);
    }

    proptest! {
        #[test]
        fn the_tar_crate_reads_back_what_is_written(
            names in proptest::collection::btree_set("[a-z]{1,60}(/[a-zü]{1,90}){0,3}", 1..8),
            size_seed in 0..2000_u64,
            mtime in 0..4_000_000_000_u64,
        ) {
            let names: Vec<_> = names.iter().filter(|name| !names.iter().any(|n| n.starts_with(&format!("{name}/")))).collect();
            let files: Vec<_> = names.iter().map(|name| file(name, size_seed.wrapping_mul(name.len() as u64) % 1500)).collect();
            let bytes = whole(&files, mtime);
            prop_assert_eq!(bytes.len() as u64, size(&files));
            let mut archive = tar::Archive::new(bytes.as_slice());
            let mut expected = entries(&files);
            for member in archive.entries().unwrap() {
                let mut member = member.unwrap();
                let entry = expected.next().unwrap();
                let name = member.path_bytes().into_owned();
                prop_assert_eq!(name.as_slice(), entry.name.as_bytes());
                prop_assert_eq!(member.header().mode().unwrap(), if entry.file.is_some() { 0o644 } else { 0o755 });
                prop_assert_eq!(member.header().mtime().unwrap(), mtime);
                prop_assert_eq!(member.header().uid().unwrap() + member.header().gid().unwrap(), 0);
                let mut content = Vec::new();
                member.read_to_end(&mut content).unwrap();
                prop_assert_eq!(content.len() as u64, entry.file.map_or(0, |file| file.size));
            }
            prop_assert!(expected.next().is_none());
        }
    }
}
