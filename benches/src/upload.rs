//! Owns one upload into a registry: POST, one PATCH with what a reader gives, PUT.

use std::io::{self, Read, Write as _};

use crate::http::{Connection, expect, place};

/// Bytes read and written at a time.
pub(crate) const BUFFER_BYTES: usize = 256 << 10;

/// Uploads the next `length` bytes of `source` as the blob with the SHA-256 `sha256` of `repository`.
///
/// `buffer` is used again for the next upload.
pub(crate) fn upload(
    registry: &mut Connection,
    repository: &str,
    source: &mut impl Read,
    length: u64,
    sha256: &str,
    buffer: &mut [u8],
) -> io::Result<()> {
    let target = format!("/v2/{repository}/blobs/uploads/");
    let session = expect(registry.exchange("POST", &target, "Content-Length: 0\r\n")?.0, 202, "POST")?;
    let headers = format!("Content-Type: application/octet-stream\r\nContent-Length: {length}\r\n");
    registry.send("PATCH", place(&session.location, "").1, &headers)?;
    let mut left = length;
    while left > 0 {
        let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let read = source.read(&mut buffer[..most])?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        registry.stream.get_mut().write_all(&buffer[..read])?;
        left -= read as u64;
    }
    let patched = registry.answer()?;
    registry.drain(patched.length)?;
    let patched = expect(patched, 202, "PATCH")?;
    let target = place(&patched.location, "").1;
    let sign = if target.contains('?') { '&' } else { '?' };
    let target = format!("{target}{sign}digest=sha256:{sha256}");
    expect(registry.exchange("PUT", &target, "Content-Length: 0\r\n")?.0, 201, "PUT")?;
    Ok(())
}
