//! The files of a model: headers of weights, and JSON.

use bytes::Bytes;
use libfuzzer_sys::fuzzer_mutate;
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
/// Bytes before the header of a safetensors file, which say how long the header is.
const LENGTH_BYTES: usize = 8;

pub(crate) fn gguf(data: &[u8]) {
    let examined = examined(data, [("model.gguf", data)]);
    planted(examined.facts.context_length.unwrap_or_default(), [5_000, 20_000, 60_000]);
}

pub(crate) fn safetensors(data: &[u8]) {
    let examined = examined(data, [("model.safetensors", data), ("config.json", b"{}")]);
    planted(examined.facts.parameters.unwrap_or_default(), [10, 36, 70]);
}

/// Changes the header with its structure: a digit becomes another number, or the bytes become what libFuzzer makes of
/// them. Then, for seven inputs of eight, the first bytes state how long the header is: without this nearly every change
/// makes a file without a header.
pub(crate) fn mutate_safetensors(data: &mut [u8], size: usize, seed: u32) -> usize {
    let size = match seed % 2 {
        0 => with_another_number(data, size, seed / 16).unwrap_or(size),
        _ => fuzzer_mutate(data, size, data.len()),
    };
    let header = data[..size].iter().rposition(|byte| *byte == b'}').map_or(0, |end| end + 1);
    if seed / 2 % 8 != 0 && header > LENGTH_BYTES {
        data[..LENGTH_BYTES].copy_from_slice(&((header - LENGTH_BYTES) as u64).to_le_bytes());
    }
    size
}

/// Writes a number of one to eight digits in the place of a digit. `None` without a digit, or without room.
fn with_another_number(data: &mut [u8], size: usize, seed: u32) -> Option<usize> {
    let digits: Vec<usize> = (LENGTH_BYTES..size).filter(|at| data[*at].is_ascii_digit()).collect();
    let at = *digits.get(seed as usize % digits.len().max(1))?;
    let number = (seed % 10_u32.pow(1 + seed / 1024 % 8)).to_string();
    let grown = size - 1 + number.len();
    data.get(..grown)?;
    data.copy_within(at + 1..size, at + number.len());
    data[at..at + number.len()].copy_from_slice(number.as_bytes());
    Some(grown)
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
