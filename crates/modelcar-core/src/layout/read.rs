//! Reads an OCI image layout (OCI image-spec, image-layout.md), and defines the form of its files for reader and
//! writers.

use std::{
    fs,
    io::{self, Read},
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use futures_util::{
    FutureExt, StreamExt,
    stream::{self, BoxStream},
};
use serde_json::{Value, json};
use sha2::Digest as _;
use tokio::sync::mpsc;

use super::error::{LayoutError, io_error};
use crate::{
    Digest,
    blob::{self, Blob, OpenBlob, VerifiedBlob},
    error::Result,
    files,
    oci::{Descriptor, MAX_JSON_BYTES},
    sink::ManifestBlob,
    thread,
};

/// The file by which a directory says that it is an image layout, and of which version.
pub(super) const LAYOUT_FILE: &str = "oci-layout";
pub(super) const LAYOUT_JSON: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;
/// The file that lists the images of a layout.
pub(super) const INDEX_FILE: &str = "index.json";
/// The folder of all blobs, manifests and indexes; their file names are their digests in hexadecimal.
pub(super) const BLOBS: &str = "blobs/sha256";

const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";
/// The annotation in `index.json` that gives an image its name in the layout (OCI image-spec, annotations.md).
pub(super) const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// Bytes of a blob that are read at a time.
const READ_BYTES: usize = 1024 * 1024;
/// Chunks that are read ahead of whoever takes them.
const CHANNEL_CHUNKS: usize = 4;

/// An OCI image layout directory to read from. Nothing is locked while it is read.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    dir: PathBuf,
}

impl Layout {
    /// Opens the layout at `dir`.
    ///
    /// # Errors
    /// [`LayoutError::NotALayout`] without a file `oci-layout`, [`LayoutError::Invalid`] for a version that is not
    /// known, and [`LayoutError::Io`].
    pub(crate) async fn open(dir: &Path) -> Result<Self, LayoutError> {
        let dir = dir.to_owned();
        blocking(move || {
            fs::read_dir(&dir).map_err(io_error("read", &dir))?;
            check_layout_file(&dir)?;
            Ok(Self { dir })
        })
        .await
    }

    /// Returns the descriptors that `index.json` lists; none if there is no such file.
    ///
    /// # Errors
    /// [`LayoutError::Invalid`] when the file is not a list of descriptors, [`LayoutError::TooLarge`] and
    /// [`LayoutError::Io`].
    pub(crate) async fn images(&self) -> Result<Vec<Descriptor>, LayoutError> {
        let dir = self.dir.clone();
        blocking(move || {
            let path = dir.join(INDEX_FILE);
            let Some(json) = read_index(&dir)? else { return Ok(Vec::new()) };
            listed(json, &path)
        })
        .await
    }

    /// Returns the image whose annotation `org.opencontainers.image.ref.name` is `name`; with `None` the only image of
    /// the layout.
    ///
    /// # Errors
    /// [`LayoutError::NoSuchImage`] when no image has the name, [`LayoutError::Ambiguous`] when several images fit,
    /// and [`LayoutError::Empty`] when no name is given and there is no image.
    pub(crate) async fn pick(&self, name: Option<&str>) -> Result<Descriptor, LayoutError> {
        let images = self.images().await?;
        let names = images.iter().filter_map(|image| ref_name(image).map(str::to_owned)).collect();
        let path = self.dir.clone();
        let mut fitting = images.into_iter().filter(|image| name.is_none() || ref_name(image) == name);
        match (fitting.next(), fitting.count(), name) {
            (Some(image), 0, _) => Ok(image),
            (Some(_), others, _) => Err(LayoutError::Ambiguous { path, count: others + 1, names }),
            (None, _, Some(name)) => Err(LayoutError::NoSuchImage { path, name: name.to_owned(), names }),
            (None, _, None) => Err(LayoutError::Empty { path }),
        }
    }

    /// Reads a manifest, index or config of at most [`MAX_JSON_BYTES`] and checks its digest.
    ///
    /// # Errors
    /// [`LayoutError::Corrupt`] when the file has another digest, [`LayoutError::TooLarge`] and [`LayoutError::Io`].
    pub(crate) async fn read(&self, digest: &Digest) -> Result<Bytes, LayoutError> {
        let path = blob_path(&self.dir, digest);
        let digest = *digest;
        blocking(move || {
            let bytes = read_bounded(&path)?;
            let found = Digest::of(&bytes);
            if found == digest { Ok(bytes.into()) } else { Err(LayoutError::Corrupt { path, found }) }
        })
        .await
    }

    /// Returns a blob of any size, which is opened and verified only when it is read. `size` is that of its
    /// descriptor.
    pub(crate) fn body(&self, title: String, digest: Digest, size: u64) -> Arc<dyn Blob> {
        Arc::new(LayoutBlob { title, path: blob_path(&self.dir, &digest), digest, size })
    }
}

/// Returns the name that an entry of `index.json` has in its layout, if it has one.
pub(crate) fn ref_name(entry: &Descriptor) -> Option<&str> {
    entry.annotation(REF_NAME)
}

/// A blob of a layout that is read when somebody opens it.
#[derive(Debug)]
struct LayoutBlob {
    title: String,
    path: PathBuf,
    /// The digest that the descriptor states.
    digest: Digest,
    /// The size in bytes that the descriptor states.
    size: u64,
}

impl Blob for LayoutBlob {
    fn title(&self) -> String {
        self.title.clone()
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn digest(&self) -> Option<Digest> {
        Some(self.digest)
    }

    fn reread(&self, range: Range<u64>) -> BoxStream<'static, Result<Bytes>> {
        blob::reread_from_start(self, range)
    }

    /// Starts a thread that reads and hashes the file. When the stream is dropped, the thread ends at its next chunk.
    fn open(&self) -> OpenBlob {
        let (sender, receiver) = mpsc::channel(CHANNEL_CHUNKS);
        let (path, digest, size) = (self.path.clone(), self.digest, self.size);
        let reader = thread::spawn("modelcar-read", move || {
            let outcome = send_blob(&path, size, &sender);
            match outcome {
                Ok(Some(found)) if found == digest => {
                    Ok(VerifiedBlob { digest, size, diff_id: digest, files: Vec::new() })
                }
                Ok(Some(found)) => Err(LayoutError::Corrupt { path, found }),
                Ok(None) => Err(LayoutError::Unfinished { path }),
                // The reader of the stream gets the cause.
                Err(error) => {
                    drop(sender.blocking_send(Err(error.into())));
                    Err(LayoutError::Unfinished { path })
                }
            }
        });
        let verified = async move { Ok(reader.await??) };
        let chunks = stream::unfold(receiver, |mut receiver| async move {
            let chunk = receiver.recv().await?;
            Some((chunk, receiver))
        });
        OpenBlob { stream: chunks.boxed(), verified: verified.boxed() }
    }
}

/// Sends the content of a file and returns its digest; `None` when the receiver was dropped.
///
/// # Errors
/// [`LayoutError::WrongSize`] when the file does not have `size` bytes, and [`LayoutError::Io`].
fn send_blob(path: &Path, size: u64, to: &mpsc::Sender<Result<Bytes>>) -> Result<Option<Digest>, LayoutError> {
    let mut file = files::open(path).map_err(io_error("open", path))?;
    let found = file.metadata().map_err(io_error("read", path))?.len();
    if found != size {
        return Err(LayoutError::WrongSize { path: path.to_owned(), found, expected: size });
    }
    let mut hasher = sha2::Sha256::new();
    let mut sent = 0;
    while sent < size {
        let len = usize::try_from(size - sent).unwrap_or(READ_BYTES).min(READ_BYTES);
        let mut chunk = vec![0; len];
        file.read_exact(&mut chunk).map_err(io_error("read", path))?;
        hasher.update(&chunk);
        if to.blocking_send(Ok(chunk.into())).is_err() {
            return Ok(None);
        }
        sent += len as u64;
    }
    Ok(Some(Digest::from(<[u8; 32]>::from(hasher.finalize()))))
}

/// Returns the path of a blob in the layout at `dir`.
pub(super) fn blob_path(dir: &Path, digest: &Digest) -> PathBuf {
    dir.join(BLOBS).join(digest.hex())
}

/// Checks that `dir` has a file `oci-layout` of version 1.0.0, the only version there is.
///
/// # Errors
/// [`LayoutError::NotALayout`] when there is no such file, [`LayoutError::Invalid`] when it says something else.
pub(super) fn check_layout_file(dir: &Path) -> Result<(), LayoutError> {
    let path = dir.join(LAYOUT_FILE);
    if !path.exists() {
        return Err(LayoutError::NotALayout { path: dir.to_owned() });
    }
    let bytes = read_bounded(&path)?;
    check_version(&bytes, path)
}

/// Checks the content of `oci-layout`, the file at `path`.
pub(super) fn check_version(bytes: &[u8], path: PathBuf) -> Result<(), LayoutError> {
    let json: Value = serde_json::from_slice(bytes).map_err(|error| not_valid(&path, error))?;
    match json["imageLayoutVersion"].as_str() {
        Some("1.0.0") => Ok(()),
        other => Err(LayoutError::Invalid {
            path,
            reason: match other {
                Some(version) => format!("layout version `{version}` is not known"),
                None => "it has no `imageLayoutVersion`".to_owned(),
            },
            source: None,
        }),
    }
}

/// Reads `index.json`. `None` when there is no such file, as in a layout whose first build was killed.
pub(super) fn read_index(dir: &Path) -> Result<Option<Value>, LayoutError> {
    let path = dir.join(INDEX_FILE);
    let bytes = match read_bounded(&path) {
        Ok(bytes) => bytes,
        Err(LayoutError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    parse_index(&bytes, path).map(Some)
}

/// Parses the content of `index.json`, the file at `path`.
pub(super) fn parse_index(bytes: &[u8], path: PathBuf) -> Result<Value, LayoutError> {
    let json: Value = serde_json::from_slice(bytes).map_err(|error| not_valid(&path, error))?;
    if !json["manifests"].is_array() {
        let reason = "it has no list `manifests`".to_owned();
        return Err(LayoutError::Invalid { path, reason, source: None });
    }
    Ok(json)
}

/// Returns the entries of `index.json`, the file at `path`.
pub(super) fn listed(mut index: Value, path: &Path) -> Result<Vec<Descriptor>, LayoutError> {
    serde_json::from_value(index["manifests"].take()).map_err(|error| not_valid(path, error))
}

/// Reads a file of at most [`MAX_JSON_BYTES`], so that a hostile layout can't fill the memory.
fn read_bounded(path: &Path) -> Result<Vec<u8>, LayoutError> {
    let file = files::open(path).map_err(io_error("open", path))?;
    let mut bytes = Vec::new();
    file.take(MAX_JSON_BYTES + 1).read_to_end(&mut bytes).map_err(io_error("read", path))?;
    let size = bytes.len() as u64;
    if size > MAX_JSON_BYTES {
        let size = fs::metadata(path).map_or(size, |found| found.len());
        return Err(LayoutError::TooLarge { path: path.to_owned(), size, max: MAX_JSON_BYTES });
    }
    Ok(bytes)
}

fn not_valid(path: &Path, error: serde_json::Error) -> LayoutError {
    LayoutError::Invalid { path: path.to_owned(), reason: "unexpected JSON".to_owned(), source: Some(error) }
}

/// Returns an `index.json` that lists no image.
pub(super) fn empty_index() -> Value {
    json!({ "schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [] })
}

/// Adds `image` to the list of an `index.json`. Other entries stay as they are, also with fields that are not known
/// here.
///
/// A name refers to one image: an older entry of the same name is removed. Without a name, an image that is listed
/// already is not listed a second time.
///
/// # Errors
/// What is wrong with `index`, as the end of a sentence.
pub(super) fn add_to_index(index: &mut Value, image: &ManifestBlob, name: Option<&str>) -> Result<(), &'static str> {
    let Some(manifests) = index["manifests"].as_array_mut() else { return Err("it has no list `manifests`") };
    let digest = image.digest.to_string();
    let mut entry = json!({ "mediaType": image.media_type, "digest": digest, "size": image.bytes.len() });
    match name {
        Some(name) => {
            manifests.retain(|old| {
                let old_name = old["annotations"][REF_NAME].as_str();
                old_name != Some(name) && !(old_name.is_none() && old["digest"] == entry["digest"])
            });
            entry["annotations"] = json!({ REF_NAME: name });
        }
        None if manifests.iter().any(|old| old["digest"] == entry["digest"]) => return Ok(()),
        None => {}
    }
    manifests.push(entry);
    Ok(())
}

/// Returns JSON without spaces and with sorted keys, so that equal documents have equal bytes.
pub(super) fn canonical(mut json: Value) -> Vec<u8> {
    // Sorted by itself, unless another crate of the build asks serde_json to keep the order.
    json.sort_all_objects();
    json.to_string().into_bytes()
}

/// Runs file system work on a blocking thread of the runtime. The work goes on when the returned future is dropped.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LayoutError> + Send + 'static,
) -> Result<T, LayoutError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) => Err(LayoutError::Task(error)),
    }
}
