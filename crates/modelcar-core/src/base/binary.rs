//! Makes a base layer of one static binary that provides many programs: busybox.
//!
//! The programs are symbolic links to the binary. The layer has fixed times, owners and order, so that the same binary
//! always gives the same digest.

use std::{
    io::{self, Read},
    path::Path,
};

use bytes::Bytes;
use tar::{EntryType, Header};

use super::BaseError;
use crate::{Platform, files};

/// Largest binary that is read, in bytes: far more than any busybox has, so that a wrong path does not fill the memory.
const MAX_BYTES: u64 = 64 * 1024 * 1024;
/// Size of a block of a tar file, in bytes.
const BLOCK: usize = 512;

/// Names that are linked to the binary: the programs that KServe's sidecar runs (`sh`, `[`, `echo`, `ln`, `ls`,
/// `mkdir`, `sleep`), and programs with which a person looks around. The names are sorted, and every busybox has these
/// programs.
const APPLETS: [&str; 37] = [
    "[", "ash", "basename", "cat", "chmod", "cp", "cut", "date", "df", "dirname", "du", "echo", "env", "false", "find",
    "grep", "head", "id", "ln", "ls", "mkdir", "mv", "printf", "ps", "pwd", "readlink", "rm", "sed", "sh", "sleep",
    "sort", "stat", "tail", "test", "touch", "true", "wc",
];

/// Reads the binary at `path`, and refuses a file that can't run alone in an image.
///
/// # Errors
/// [`BaseError::Io`] and [`BaseError::Binary`].
pub(super) fn read(path: &Path) -> Result<(Platform, Vec<u8>), BaseError> {
    let io_error = |act| move |source| BaseError::Io { act, path: path.to_owned(), source };
    let file = files::open(path).map_err(io_error("open"))?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(io_error("read"))?;
    let refused = |reason| BaseError::Binary { path: path.to_owned(), reason };
    if bytes.len() as u64 > MAX_BYTES {
        return Err(refused("is larger than 64 MiB, expected a static busybox"));
    }
    let platform = platform_of(&bytes).map_err(refused)?;
    Ok((platform, bytes))
}

/// Makes the layer: an uncompressed tar with the binary, its links and a `/tmp`.
pub(super) fn layer(binary: &[u8]) -> io::Result<Bytes> {
    let mut tar = Vec::with_capacity(binary.len() + (APPLETS.len() + 8) * BLOCK);
    directory(&mut tar, "bin/", 0o755)?;
    let mut names = APPLETS.to_vec();
    names.push("busybox");
    names.sort_unstable();
    for name in names {
        let path = format!("bin/{name}");
        if name == "busybox" {
            entry(&mut tar, &path, EntryType::Regular, 0o755, binary)?;
        } else {
            link(&mut tar, &path, "busybox")?;
        }
    }
    directory(&mut tar, "tmp/", 0o1777)?;
    // Two blocks of zeros end a tar file.
    tar.resize(tar.len() + 2 * BLOCK, 0);
    Ok(tar.into())
}

fn directory(tar: &mut Vec<u8>, path: &str, mode: u32) -> io::Result<()> {
    entry(tar, path, EntryType::Directory, mode, &[])
}

/// Appends an entry with `content`, padded to whole blocks.
fn entry(tar: &mut Vec<u8>, path: &str, kind: EntryType, mode: u32, content: &[u8]) -> io::Result<()> {
    let mut header = header(path, kind, mode)?;
    header.set_size(content.len() as u64);
    header.set_cksum();
    tar.extend_from_slice(header.as_bytes());
    tar.extend_from_slice(content);
    tar.resize(tar.len().next_multiple_of(BLOCK), 0);
    Ok(())
}

fn link(tar: &mut Vec<u8>, path: &str, target: &str) -> io::Result<()> {
    let mut header = header(path, EntryType::Symlink, 0o777)?;
    header.set_link_name(target)?;
    header.set_cksum();
    tar.extend_from_slice(header.as_bytes());
    Ok(())
}

/// Makes a header of an entry that belongs to root and has the time 0.
fn header(path: &str, kind: EntryType, mode: u32) -> io::Result<Header> {
    let mut header = Header::new_gnu();
    header.set_path(path)?;
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(0);
    Ok(header)
}

/// Reads an ELF header, and returns the platform of a static executable.
///
/// # Errors
/// Why the file is no static 64-bit executable for amd64 or arm64.
fn platform_of(elf: &[u8]) -> Result<Platform, &'static str> {
    const CUT: &str = "is cut short";
    const EXECUTABLE: u16 = 2;
    const POSITION_INDEPENDENT: u16 = 3;
    const INTERPRETER: u32 = 3;
    const HEADER_BYTES: usize = 64;
    const PROGRAM_HEADER_BYTES: usize = 56;
    if !elf.starts_with(b"\x7fELF") {
        return Err("is not an ELF binary");
    }
    if elf.len() < HEADER_BYTES {
        return Err(CUT);
    }
    if elf[4] != 2 || elf[5] != 1 {
        return Err("is not a 64-bit little-endian binary");
    }
    let architecture = match u16_at(elf, 18).ok_or(CUT)? {
        62 => "amd64",
        183 => "arm64",
        _ => return Err("is neither for x86-64 nor for aarch64"),
    };
    let entry_point = u64_at(elf, 24).ok_or(CUT)?;
    let kind = u16_at(elf, 16).ok_or(CUT)?;
    if !matches!(kind, EXECUTABLE | POSITION_INDEPENDENT) || entry_point == 0 {
        return Err("is not an executable");
    }
    let table = usize::try_from(u64_at(elf, 32).ok_or(CUT)?).map_err(|_| CUT)?;
    let step = usize::from(u16_at(elf, 54).ok_or(CUT)?);
    let count = usize::from(u16_at(elf, 56).ok_or(CUT)?);
    if count == 0 || step < PROGRAM_HEADER_BYTES {
        return Err("is not an executable");
    }
    let table = elf.get(table..).and_then(|rest| rest.get(..step * count)).ok_or(CUT)?;
    if table.chunks_exact(step).any(|program_header| u32_at(program_header, 0) == Some(INTERPRETER)) {
        return Err("is dynamically linked, expected a static busybox");
    }
    Ok(Platform::linux(architecture))
}

/// Returns the little-endian number at byte `at`; `None` past the end.
fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().copied().map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().copied().map(u64::from_le_bytes)
}
