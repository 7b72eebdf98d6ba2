//! The files of a model: headers of weights, and JSON.

use bytes::Bytes;
use modelcar_core::{
    ModelPath,
    facts::{Examined, ModelFacts, count_tensors, examine},
    source::{MemorySource, Source},
};

use crate::{
    checks::{brief, planted},
    memory::{documents, wait},
};

/// Most paths of an input.
const FILES_MAX: usize = 16;

pub(crate) fn gguf(data: &[u8]) {
    let examined = examined(data, [("model.gguf", data)]);
    planted(examined.facts.context_length.unwrap_or_default(), [5_000, 20_000, 60_000]);
}

pub(crate) fn safetensors(data: &[u8]) {
    let examined = examined(data, [("model.safetensors", data), ("config.json", b"{}")]);
    planted(examined.facts.parameters.unwrap_or_default(), [10, 36, 70]);
}

/// Files of a model, each behind a line with its path.
pub(crate) fn model(data: &[u8]) {
    let named = documents(data).into_iter().filter_map(|document| {
        let end = document.iter().position(|byte| *byte == b'\n')?;
        Some((str::from_utf8(&document[..end]).ok()?, &document[end + 1..]))
    });
    let examined = examined(data, named.take(FILES_MAX));
    if examined.facts.chat_template == Some(true) {
        planted(examined.facts.architecture.as_deref().unwrap_or_default().len(), [29, 31, 33]);
    }
}

fn examined<'a>(data: &[u8], files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Examined {
    let file = |(path, bytes): (&str, &[u8])| Some((path.parse::<ModelPath>().ok()?, Bytes::copy_from_slice(bytes)));
    let source = MemorySource::new(files.into_iter().filter_map(file));
    wait(async {
        let files = source.list().await.expect("memory is listed");
        let all: Vec<_> = files.iter().collect();
        let examined = examine(&source, &all, &[]).await.expect("memory does not fail");
        assert_eq!(examine(&source, &all, &[]).await.ok().as_ref(), Some(&examined), "the same files, other facts");
        count_tensors(&source, &files).await.expect("memory does not fail");
        for flaw in &examined.flaws {
            brief(flaw, data);
        }
        assert_eq!(examined.facts.flaws.is_empty(), examined.flaws.is_empty(), "flaws without their kinds");
        facts_survive(&examined.facts);
        examined
    })
}

/// Checks that facts are the same after they were written and read.
fn facts_survive(facts: &ModelFacts) {
    let json = serde_json::to_vec(facts).expect("facts are JSON");
    assert_eq!(serde_json::from_slice::<ModelFacts>(&json).ok().as_ref(), Some(facts), "facts change as JSON");
    let stated = facts.to_annotations();
    assert_eq!(ModelFacts::from_annotations(&stated).to_annotations(), stated, "facts change as annotations");
}
