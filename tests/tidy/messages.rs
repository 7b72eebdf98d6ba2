//! All messages in one place, so that they can be read in one go: `tests/tidy/messages.txt`. A change of a message shows
//! there; `UPDATE_MESSAGES=1 cargo test -p modelcar-testkit --test tidy` writes the file.

use std::{collections::BTreeSet, env, fs};

use super::{code, flags::literals, product_files, workspace};

const CRATES: [&str; 4] = ["modelcar-core", "modelcar-env", "modelcar-kserve", "modelcar-cli"];

#[test]
fn every_message_stands_in_one_snapshot() {
    let mut all = String::from("Every text of more than two words in the product's code, by file.\n");
    for name in CRATES {
        let source = workspace().join("crates").join(name).join("src");
        let mut files = product_files(&source);
        files.sort();
        for file in files {
            let texts: BTreeSet<String> = literals(&code(&file)).into_iter().filter(|text| is_message(text)).collect();
            if !texts.is_empty() {
                let path = file.strip_prefix(&source).unwrap().display();
                let lines = texts.iter().map(|text| format!("  {text}\n"));
                all.extend(std::iter::once(format!("\n{name}/{path}\n")).chain(lines));
            }
        }
    }
    let snapshot = workspace().join("tests/tidy/messages.txt");
    if env::var_os("UPDATE_MESSAGES").is_some() {
        fs::write(&snapshot, &all).unwrap();
    }
    let kept = fs::read_to_string(&snapshot).unwrap();
    let differs = all.lines().zip(kept.lines()).find(|(now, kept)| now != kept);
    assert!(all == kept, "read tests/tidy/messages.txt and write it again; the first line that differs: {differs:?}");
    assert!(all.lines().count() > 800, "{} lines", all.lines().count());
}

/// Returns whether a literal is a text for people: more than two words of letters.
fn is_message(text: &str) -> bool {
    let is_word = |word: &&str| word.trim_matches(|c: char| !c.is_alphanumeric()).chars().all(char::is_alphabetic);
    text.split_whitespace().filter(is_word).filter(|word| word.len() > 1).count() > 2
}
