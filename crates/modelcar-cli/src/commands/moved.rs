//! `modelcar plan --check`: is a lock file still what its names lead to?

use std::{collections::BTreeMap, path::Path, sync::Arc};

use modelcar_core::{
    ContentId, ImageRef, ModelPath,
    plan::LockFile,
    progress::{NoProgress, Progress},
    source::SourceFile,
};
use serde_json::json;

use super::{Outcome, read_lock, scheme};
use crate::{
    args::Format,
    connection::Connection,
    hint::Failure,
    names::{self, OpenSource, SourceName},
};

/// Most changed files that are told one by one.
const LISTED: usize = 20;

pub(crate) async fn run(file: &Path, connection: &Connection, format: Format) -> Result<Outcome, Failure> {
    let lock = read_lock(file)?;
    let (mut moved, base) = tokio::try_join!(source(&lock, connection), base(&lock, connection))?;
    moved.extend(base);
    let same = moved.is_empty();
    let answer = match format {
        Format::Json => json!({"schemaVersion": 1, "ok": same, "moved": moved}).to_string(),
        Format::Text if same => format!("{} and {} are as the lock file has them", lock.source, lock.base),
        Format::Text => moved.join("\n"),
    };
    Ok(if same { Outcome::Answer(answer) } else { Outcome::No(answer) })
}

/// Follows the names that the lock file was made from, not what they were pinned to.
async fn source(lock: &LockFile, connection: &Connection) -> Result<Vec<String>, Failure> {
    let origin = lock.plan.origin();
    let pinned = SourceName::parse(&scheme(lock))?;
    let name = match (pinned, &origin.version) {
        (SourceName::Hub { model, .. }, Some(revision)) => SourceName::Hub { model, revision: revision.clone() },
        (pinned, _) => pinned,
    };
    let open = match name.open(&connection.hub).await {
        Err(failure) if failure.is_not_found() => return Ok(vec![format!("source: {}", failure.cause())]),
        open => open?,
    };
    let mut moved = Vec::new();
    let now = open.source.origin();
    if now.commit != origin.commit {
        let text = |commit: &Option<String>| commit.clone().unwrap_or_else(|| "no commit".to_owned());
        let revision = origin.version.as_deref().unwrap_or("the revision");
        moved.push(format!("revision `{revision}` has moved: {} is now {}", text(&origin.commit), text(&now.commit)));
    }
    moved.extend(files(lock, &open).await?);
    Ok(moved)
}

async fn files(lock: &LockFile, open: &OpenSource) -> Result<Vec<String>, Failure> {
    let planned: Vec<&SourceFile> = lock.plan.layers().iter().flat_map(|layer| &layer.files).collect();
    let listed = open.source.list().await?;
    let mut there: BTreeMap<ModelPath, (u64, Option<ContentId>)> =
        listed.iter().map(|file| (file.path.clone(), (file.size, file.content))).collect();
    if let Some(dir) = &open.dir {
        let unchanged = planned.iter().filter(|file| there.get(&file.path).is_some_and(|found| found.0 == file.size));
        let unchanged = unchanged.map(|file| SourceFile { content: None, ..(*file).clone() }).collect();
        for file in dir.identify(unchanged).await? {
            there.insert(file.path, (file.size, file.content));
        }
    }
    let mut moved = Vec::new();
    for file in planned {
        let path = &file.path;
        match there.remove(path) {
            None => moved.push(format!("file `{path}` is gone")),
            Some((size, _)) if size != file.size => {
                moved.push(format!("file `{path}` has {size} bytes, it had {}", file.size));
            }
            Some((_, content)) if file.content.is_some() && content != file.content => {
                moved.push(format!("file `{path}` has other content"));
            }
            Some(_) => {}
        }
    }
    for file in lock.plan.left_out() {
        there.remove(&file.path);
    }
    moved.extend(there.keys().map(|path| format!("file `{path}` is new")));
    let more = moved.len().saturating_sub(LISTED);
    if more > 0 {
        moved.truncate(LISTED);
        moved.push(format!("and {more} more files"));
    }
    Ok(moved)
}

async fn base(lock: &LockFile, connection: &Connection) -> Result<Vec<String>, Failure> {
    let progress: Arc<dyn Progress> = Arc::new(NoProgress);
    let planned = lock.plan.base();
    // What a tag was resolved to is pinned; the question is what it points to now.
    let has_tag = |name: &&String| name.parse::<ImageRef>().is_ok_and(|image| image.tag().is_some());
    let name = planned.name.as_ref().filter(|_| lock.base.contains('@')).filter(has_tag).unwrap_or(&lock.base);
    let now = match names::open_base_named(name, connection, &progress).await {
        Err(failure) if failure.is_not_found() => return Ok(vec![format!("base: {}", failure.cause())]),
        open => open?.base.image,
    };
    if now.covers(planned) {
        return Ok(Vec::new());
    }
    let text =
        |digest: Option<modelcar_core::Digest>| digest.map_or("other layers".to_owned(), |digest| digest.to_string());
    Ok(vec![format!("base `{name}` has moved: {} is now {}", text(planned.digest), text(now.digest))])
}
