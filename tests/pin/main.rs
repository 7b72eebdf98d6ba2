//! `pin` on manifests as people write them: every byte that is no tag or digest stays.
//!
//! A file of `manifests/` marks what changes: `«:v1»` becomes `@sha256:…`, and `«old→new»` becomes `new`. `DIGEST` is the
//! digest. A first line `# paths: …` holds paths.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a broken set-up is a failed test")]

use std::{fs, path::Path};

use modelcar_kserve::pin::{PinTarget, Pinned, pin};
use proptest::prelude::*;

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// A manifest before and after.
#[derive(Debug, Clone)]
struct Case {
    name: String,
    before: String,
    after: String,
    /// Number of marks.
    changes: usize,
    paths: Vec<String>,
}

/// Reads all manifests.
fn cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/pin/manifests");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let case = |file: &std::path::PathBuf| {
        let marked = fs::read_to_string(file).unwrap().replace("DIGEST", DIGEST);
        let paths = marked.lines().next().and_then(|line| line.strip_prefix("# paths: ")).unwrap_or_default();
        let paths = paths.split(' ').filter(|path| !path.is_empty()).map(str::to_owned).collect();
        let (mut before, mut after) = (String::new(), String::new());
        let mut parts = marked.split('«');
        let first = parts.next().unwrap();
        before.push_str(first);
        after.push_str(first);
        let mut changes = 0;
        for part in parts {
            let (mark, rest) = part.split_once('»').unwrap();
            let tagged = format!("@{DIGEST}");
            let (old, new) = mark.split_once('→').unwrap_or((mark, &tagged));
            before.extend([old, rest]);
            after.extend([new, rest]);
            changes += 1;
        }
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        Case { name, before, after, changes, paths }
    };
    files.iter().map(case).collect()
}

fn target(paths: &[String]) -> PinTarget {
    let target = PinTarget::new(&format!("r.io/m/qwen:v9@{DIGEST}").parse().unwrap()).unwrap();
    paths.iter().fold(target, |target, path| target.with_path(path.parse().unwrap()))
}

/// Pins, and checks what holds for every text: outside the edits nothing changes, and a second run changes nothing.
fn pinned(before: &str, target: &PinTarget) -> Pinned {
    let done = pin(before, target).unwrap_or_else(|error| panic!("{error}\n{before}"));
    let (mut old, mut new) = (before, done.text.as_str());
    for edit in done.edits.iter().rev() {
        assert_eq!(&old[edit.range.end..], &new[new.len() - (old.len() - edit.range.end)..]);
        new = new[..new.len() - (old.len() - edit.range.end)].strip_suffix(edit.text.as_str()).unwrap();
        old = &old[..edit.range.start];
    }
    assert_eq!(old, new);
    let again = pin(&done.text, target).unwrap();
    assert_eq!((again.text.as_str(), again.edits.as_slice()), (done.text.as_str(), [].as_slice()));
    assert!(again.references.iter().all(modelcar_kserve::pin::Reference::is_pinned));
    done
}

#[test]
fn the_digest_alone_changes() {
    let cases = cases();
    assert!(cases.len() >= 40, "{} manifests", cases.len());
    for case in &cases {
        let done = pinned(&case.before, &target(&case.paths));
        assert_eq!(done.text, case.after, "{}", case.name);
        assert_eq!(done.edits.len(), case.changes, "{}", case.name);
    }
}

#[test]
fn the_digest_alone_changes_whatever_ends_the_lines() {
    for case in cases() {
        let crlf = |text: &str| text.replace("\r\n", "\n").replace('\n', "\r\n");
        let bom = |text: &str| format!("\u{feff}{text}");
        let bare = |text: &str| text.trim_end_matches(['\n', '\r']).to_owned();
        let framed = |text: &str| format!("# first\n{text}\n\n# last, without a line end");
        let same = |name: &str, before: &str, after: &str| {
            assert_eq!(pinned(before, &target(&case.paths)).text, after, "{} with {name}", case.name);
        };
        let (before, after) = (case.before.as_str(), case.after.as_str());
        same("CRLF", &crlf(before), &crlf(after));
        same("BOM", &bom(before), &bom(after));
        same("no line end", &bare(before), &bare(after));
        same("comments around", &framed(before), &framed(after));
    }
}

/// Manifests that stay YAML with other documents around them.
fn joinable() -> Vec<Case> {
    let is_alone = |case: &Case| {
        Path::new(&case.name).extension().is_some_and(|extension| extension == "json")
            || !case.paths.is_empty()
            || case.before.starts_with('%')
            || case.before.contains("{{")
            || case.before.len() > 10_000
    };
    cases().into_iter().filter(|case| !is_alone(case)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_order_of_documents_and_comments_keeps_every_other_byte(
        order in prop::collection::vec((any::<prop::sample::Index>(), "[ -~é🚗\t]{0,20}", any::<bool>()), 1..8),
    ) {
        let cases = joinable();
        let (mut before, mut after) = (String::new(), String::new());
        for (index, comment, has_crlf) in order {
            let case = index.get(&cases);
            let line_end = if has_crlf { "\r\n" } else { "\n" };
            for (text, part) in [(&mut before, &case.before), (&mut after, &case.after)] {
                let part = part.replace("\r\n", "\n").replace('\n', line_end);
                text.extend(["--- # ", &comment, line_end, &part, line_end]);
            }
        }
        prop_assert_eq!(pinned(&before, &target(&[])).text, after);
    }

    /// Whatever a text is, it is pinned as a whole or refused; outside the edits nothing changes.
    #[test]
    fn survives_any_text(text in "(storageUri: |model: |uri: |image: |patch: |oci://|r.io/m/qwen|:v1|[-\\[\\]{}:,&*!|>'\"%@#~? \n\ta1\\\\]){0,30}") {
        if pin(&text, &target(&[])).is_ok() {
            pinned(&text, &target(&[]));
        }
    }
}
