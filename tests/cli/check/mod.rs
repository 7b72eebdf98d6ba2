//! `modelcar check` on one document for each situation: its state, exit status, code, container and remedy.
//!
//! The situations are those of public reports, in the words of the programs that say them; each row is a test.
#![expect(clippy::needless_pass_by_value, reason = "tables of documents, written in place")]

mod answer;
mod documents;
mod early;
mod healthy;
mod late;
mod page;
mod real;

use serde_json::Value;
use tempfile::TempDir;

use super::{Command, Stdio, fs, text};

/// What is right to say of a document.
struct Right<'a> {
    /// `ready`, `waiting`, `failing`, or empty for what no cluster tried.
    state: &'a str,
    /// The code of a finding; empty where nothing is found but information.
    code: &'a str,
    container: &'a str,
    /// A part of the remedy; empty where there is none.
    remedy: &'a str,
}

/// Runs `check` on a document, and compares what it answers.
fn judge(document: &Value, options: &[&str], right: &Right<'_>) {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("documents.json");
    fs::write(&file, document.to_string()).unwrap();
    let mut check = Command::new(env!("CARGO_BIN_EXE_modelcar"));
    check.arg("check").arg(&file).args(["--format", "json"]).args(options).env_clear().stdin(Stdio::null());
    let output = check.output().unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output.stderr)));
    let status = match right.state {
        "failing" => 1,
        "waiting" => 3,
        _ => 0,
    };
    assert_eq!(output.status.code(), Some(status), "{answer:#}");
    assert_eq!(answer["state"].as_str().unwrap_or_default(), right.state, "{answer:#}");
    let reports = answer["pods"].as_array().unwrap();
    let findings = || reports.iter().flat_map(|report| report["findings"].as_array().unwrap());
    let weighty: Vec<&Value> = findings().filter(|finding| finding["severity"] != "info").collect();
    if right.code.is_empty() {
        assert!(weighty.is_empty(), "{answer:#}");
        return;
    }
    let found = weighty.first().unwrap_or_else(|| panic!("nothing found: {answer:#}"));
    assert_eq!(found["code"], right.code, "{answer:#}");
    assert_eq!(found["container"].as_str().unwrap_or_default(), right.container, "{answer:#}");
    assert!(found["remedy"].as_str().unwrap_or_default().contains(right.remedy), "{answer:#}");
    // One cause is told once: nothing else is an error.
    let errors = weighty.iter().filter(|finding| finding["severity"] == "error").count();
    assert!(errors <= 1, "{answer:#}");
}

/// Declares a test for each row: its name, its document, and what is right to say of it.
macro_rules! situations {
    ($($name:ident: $document:expr $(, with $options:expr)? => $state:literal, $code:literal, $container:literal, $remedy:literal;)+) => {$(
        #[test]
        fn $name() {
            let options: Vec<&[&str]> = vec![$($options)?];
            let right = super::Right { state: $state, code: $code, container: $container, remedy: $remedy };
            super::judge(&$document, &options.concat(), &right);
        }
    )+};
}
use situations;
