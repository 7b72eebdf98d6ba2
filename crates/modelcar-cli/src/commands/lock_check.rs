//! `modelcar plan --check`: do source and base still have what a lock file pins?
//!
//! The check follows the names that the lock file was made from, such as a branch on the Hub and a tag of the base. It
//! compares what those names point to now with what the lock file pins.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use modelcar_core::{
    ContentId, Digest, ErrorKind, ModelPath, ModelcarError,
    base::BaseRef,
    plan::LockFile,
    progress::Progress,
    source::{OpenSource, SourceFile, SourceRef, Unwanted},
    text::one_line,
};
use serde::Serialize;

use super::{Outcome, cached, lock};
use crate::{args::Format, clients::Clients, hint::Failure, ui::count};

/// Number of changed files that are named in the text. The JSON answer has all of them.
const LISTED: usize = 20;

/// A difference between the lock file and what is there now.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
struct Moved {
    /// What has changed.
    kind: MovedKind,
    /// The source, revision, file or base that differs.
    name: String,
    /// The commit, size, content id or digest in the lock file. `None` for a file that is new.
    was: Option<String>,
    /// The same as it is now. `None` for what is gone.
    is: Option<String>,
    /// The difference as a sentence, for the text answer.
    #[serde(skip)]
    text: String,
}

/// What a lock file names that can change.
#[derive(Serialize, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
enum MovedKind {
    Source,
    Revision,
    File,
    Base,
}

impl Moved {
    /// Returns the difference of a file. `text` is the end of the sentence.
    fn file(path: &ModelPath, was: Option<String>, is: Option<String>, text: &str) -> Self {
        Self { kind: MovedKind::File, name: path.to_string(), was, is, text: format!("file `{path}` {text}") }
    }
}

/// The JSON answer.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) struct LockCheckAnswer<'a> {
    /// 1
    schema_version: u32,
    /// Whether source and base are as in the lock file.
    ok: bool,
    /// What has changed.
    moved: &'a [Moved],
}

/// Compares. The exit status is 0 if nothing differs, and 1 otherwise.
pub(crate) async fn run(
    file: &Path,
    connection: &Clients,
    progress: &Arc<dyn Progress>,
    format: Format,
) -> Result<Outcome, Failure> {
    let lock = lock::read(file)?;
    let (mut moved, base) = tokio::try_join!(source(&lock, connection, progress), base(&lock, connection, progress))?;
    moved.extend(base);
    let same = moved.is_empty();
    let answer = match format {
        Format::Json => {
            super::document(&LockCheckAnswer { schema_version: super::SCHEMA_VERSION, ok: same, moved: &moved })?
        }
        Format::Text if same => format!("{} and {} are as the lock file has them", lock.source, lock.base),
        Format::Text => text(&moved),
    };
    Ok(if same { Outcome::Answer(answer) } else { Outcome::No(answer) })
}

/// Returns all differences as lines. Of the files only the first [`LISTED`] are named.
fn text(moved: &[Moved]) -> String {
    let (files, others): (Vec<_>, Vec<_>) = moved.iter().partition(|moved| moved.kind == MovedKind::File);
    let more = files.len().saturating_sub(LISTED);
    let more = (more > 0).then(|| format!("and {}", count(more, "more file")));
    let told = others.iter().chain(files.iter().take(LISTED)).map(|moved| one_line(&moved.text));
    told.chain(more).collect::<Vec<_>>().join("\n")
}

/// Compares the commit of the revision, and the files, with the lock file.
async fn source(lock: &LockFile, connection: &Clients, progress: &Arc<dyn Progress>) -> Result<Vec<Moved>, Failure> {
    let origin = lock.plan.origin();
    let name = match (&lock.source, &origin.version) {
        (SourceRef::Hub(model), Some(revision)) => SourceRef::Hub(model.at(revision)?),
        (SourceRef::HubCache(model), Some(revision)) => SourceRef::HubCache(model.at(revision)?),
        (pinned, _) => pinned.clone(),
    };
    let connections = connection.connections(&name);
    let opened = match cached::cache_for(&name) {
        Some(cache) => cache.open(&name, progress).await,
        None => name.open_without(&Unwanted::all(), connections.reach(), progress).await,
    };
    let open = match opened {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let (name, text) = (lock.source.to_string(), format!("source: {error}"));
            return Ok(vec![Moved {
                kind: MovedKind::Source,
                name,
                was: Some(lock.source.to_string()),
                is: None,
                text,
            }]);
        }
        open => open?,
    };
    let mut moved = Vec::new();
    let now = open.source.origin();
    if now.commit != origin.commit {
        let shown = |commit: &Option<String>| commit.clone().unwrap_or_else(|| "no commit".to_owned());
        let revision = origin.version.as_deref().unwrap_or("the revision");
        moved.push(Moved {
            kind: MovedKind::Revision,
            name: revision.to_owned(),
            was: origin.commit.clone(),
            is: now.commit.clone(),
            text: format!("revision `{revision}` has moved: {} is now {}", shown(&origin.commit), shown(&now.commit)),
        });
    }
    moved.extend(files(lock, &open).await?);
    Ok(moved)
}

/// Compares the files by size and content id. The files of a directory or a store are read for that, if they have the same size.
async fn files(lock: &LockFile, open: &OpenSource) -> Result<Vec<Moved>, Failure> {
    let planned: Vec<&SourceFile> = lock.plan.layers().iter().flat_map(|layer| &layer.files).collect();
    let listed = open.source.list().await?;
    let mut there: BTreeMap<ModelPath, (u64, Option<ContentId>)> =
        listed.iter().map(|file| (file.path.clone(), (file.size, file.content))).collect();
    if listed.iter().any(|file| file.content.is_none()) {
        let unchanged = planned.iter().filter(|file| there.get(&file.path).is_some_and(|found| found.0 == file.size));
        let unchanged = unchanged.map(|file| SourceFile { content: None, ..(*file).clone() }).collect();
        for file in open.source.identify(unchanged).await? {
            there.insert(file.path, (file.size, file.content));
        }
    }
    let bytes = |size: u64| count(size, "byte");
    let id = |content: Option<ContentId>| content.map(|content| content.to_string());
    let mut moved = Vec::new();
    for file in planned {
        let path = &file.path;
        match there.remove(path) {
            None => moved.push(Moved::file(path, Some(bytes(file.size)), None, "is gone")),
            Some((size, _)) if size != file.size => {
                let text = format!("has {}, it had {}", bytes(size), file.size);
                moved.push(Moved::file(path, Some(bytes(file.size)), Some(bytes(size)), &text));
            }
            Some((_, content)) if file.content.is_some() && content != file.content => {
                moved.push(Moved::file(path, id(file.content), id(content), "has other content"));
            }
            Some(_) => {}
        }
    }
    for file in lock.plan.left_out() {
        there.remove(&file.path);
    }
    moved.extend(there.iter().map(|(path, (size, _))| Moved::file(path, None, Some(bytes(*size)), "is new")));
    Ok(moved)
}

/// Compares the digest of the base. Where the lock file pins a tag's digest, the tag is looked up again.
async fn base(lock: &LockFile, connection: &Clients, progress: &Arc<dyn Progress>) -> Result<Vec<Moved>, Failure> {
    let planned = lock.plan.base();
    // What a tag was resolved to is pinned; the question is what it points to now.
    let tagged = planned
        .name
        .as_deref()
        .and_then(|name| name.parse().ok())
        .filter(|name: &BaseRef| matches!(name, BaseRef::Registry(image) if image.tag().is_some()));
    let is_pinned = matches!(&lock.base, BaseRef::Registry(image) if image.digest().is_some());
    let name = tagged.filter(|_| is_pinned).unwrap_or_else(|| lock.base.clone());
    let digest = |digest: Option<Digest>| digest.map(|digest| digest.to_string());
    let moved = |is: Option<Digest>, text: String| {
        vec![Moved { kind: MovedKind::Base, name: name.to_string(), was: digest(planned.digest), is: digest(is), text }]
    };
    let now = match name.open(&connection.registries, progress).await {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(moved(None, format!("base: {error}"))),
        open => open?.base.image,
    };
    if now.covers(planned) {
        return Ok(Vec::new());
    }
    let shown = |found: Option<Digest>| digest(found).unwrap_or_else(|| "other layers".to_owned());
    let text = format!("base `{name}` has moved: {} is now {}", shown(planned.digest), shown(now.digest));
    Ok(moved(now.digest, text))
}
