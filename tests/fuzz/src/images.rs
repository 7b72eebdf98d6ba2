//! Indexes, manifests and configs; the files of a layout; lock files.

use modelcar_core::{
    Digest,
    facts::ModelFacts,
    layout::fuzz,
    plan::LockFile,
    reader::{Configs, Extent, read_image},
    sink::ManifestBlob,
};
use modelcar_kserve::lint::{self, Depth, LintOptions};

use crate::{
    checks::{brief, brief_error, planted},
    memory::{Stored, documents, image, wait},
};

/// Documents of an image, the top one last. `@0` to `@9` stand for the digests of the documents before.
pub(crate) fn manifest(data: &[u8]) {
    let (mut stored, mut digests) = (Stored::default(), Vec::new());
    for document in documents(data).into_iter().take(10) {
        digests.push(stored.add(with_digests(document, &digests)));
    }
    let extent = Extent { every_platform: true, configs: Configs::All };
    let tree = match wait(read_image(&stored, "v1", extent)) {
        Ok(tree) => tree,
        Err(error) => return brief_error(&error, data),
    };
    let again = wait(read_image(&stored, &tree.digest.to_string(), extent)).expect("the same image was read");
    assert_eq!(format!("{tree:?}"), format!("{again:?}"), "tag and digest differ");
    assert!(tree.images.iter().all(|image| stored.has(&image.digest)), "an image out of nothing");
    assert!(tree.missing.iter().all(|missing| !stored.has(&missing.digest)), "a manifest that is there is missing");
    let stated = ModelFacts::from_annotations(&tree.annotations).to_annotations();
    assert_eq!(ModelFacts::from_annotations(&stated).to_annotations(), stated, "facts change when they are read");
    // Layers may be missing.
    match wait(lint::registry(&stored, &image(), LintOptions { depth: Depth::Names, ..LintOptions::default() })) {
        Ok(report) => {
            report.findings.iter().for_each(|finding| brief(finding, data));
            report.platforms.iter().flat_map(|platform| &platform.findings).for_each(|finding| brief(finding, data));
        }
        Err(error) => brief_error(&error, data),
    }
    let found = tree.images.iter().find(|image| image.config.is_some() && !image.manifest.layers.is_empty());
    planted(found.map_or(0, |image| image.platform.to_string().len()), [14, 16, 18]);
}

fn with_digests(document: &[u8], digests: &[Digest]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = document;
    while let Some((first, after)) = rest.split_first() {
        let number = after.first().filter(|digit| *first == b'@' && digit.is_ascii_digit());
        match number.and_then(|digit| digests.get(usize::from(digit - b'0'))) {
            Some(digest) => {
                bytes.extend(digest.to_string().bytes());
                rest = &after[1..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    bytes
}

/// `index.json`, and `oci-layout` behind it.
pub(crate) fn layout(data: &[u8]) {
    let documents = documents(data);
    if let Some(Err(error)) = documents.get(1).map(|version| fuzz::version(version)) {
        brief_error(&error, data);
    }
    let entries = match fuzz::entries(documents[0]) {
        Ok(entries) => entries,
        Err(error) => return brief_error(&error, data),
    };
    let bytes = b"{}";
    let added = ManifestBlob {
        bytes: bytes.as_slice().into(),
        media_type: "application/vnd.oci.image.index.v1+json".to_owned(),
        digest: Digest::of(bytes),
    };
    for name in [Some("v1"), None] {
        let index = fuzz::with(documents[0], &added, name).expect("a list that was read takes an image");
        let after = fuzz::entries(&index).expect("what is written is read");
        let named = after.iter().filter(|entry| name.is_some() && fuzz::name(entry) == name);
        assert_eq!(named.count(), usize::from(name.is_some()), "a name means one image");
        assert!(after.iter().any(|entry| entry.digest == added.digest), "the image is not listed");
        assert!(after.len() <= entries.len() + 1, "entries out of nothing");
        assert_eq!(fuzz::with(&index, &added, name).ok().as_ref(), Some(&index), "to add twice is to add once");
    }
    let named = entries.iter().filter(|entry| entry.platform().is_some()).find_map(fuzz::name);
    planted(named.unwrap_or_default().len(), [4, 6, 8]);
}

/// A lock file.
pub(crate) fn lock(data: &[u8]) {
    let lock = match LockFile::parse(data) {
        Ok(lock) => lock,
        Err(error) => return brief_error(&error, data),
    };
    let text = lock.to_json();
    let again = LockFile::parse(text.as_bytes()).expect("what is written is read");
    assert_eq!(again, lock, "another lock file is read than was written");
    assert_eq!(again.to_json(), text, "another lock file is written than was read");
    planted(lock.plan.origin().title.as_deref().unwrap_or_default().len(), [9, 11, 13]);
}
