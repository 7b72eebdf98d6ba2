//! Documents that real clusters wrote, of pods that fail each in its own way.
//!
//! `make cluster-test ARGS='--only pod- --documents DIR'` writes them, with what was right to say when they were
//! written. The folders in `fixtures/pods` are named by the versions of the cluster.

use std::{fs, path::Path};

use super::{Command, Stdio, Value, text};

/// The fewest situations of one cluster.
const FEWEST: usize = 40;

#[test]
fn what_real_clusters_write_is_told_right() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/pods");
    let mut wrong = Vec::new();
    for folder in fs::read_dir(fixtures).unwrap().map(|entry| entry.unwrap().path()) {
        let verdicts = fs::read_to_string(folder.join("verdicts.txt")).unwrap();
        for line in verdicts.lines() {
            let told = told(&folder, line.split(' ').next().unwrap());
            if told != line {
                wrong.push(format!("{told}, not {line}"));
            }
        }
        assert!(verdicts.lines().count() >= FEWEST, "{}", folder.display());
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Returns the name, the exit status and the code of the worst finding that is no information.
fn told(folder: &Path, name: &str) -> String {
    let mut check = Command::new(env!("CARGO_BIN_EXE_modelcar"));
    check.arg("check").arg(folder.join(format!("{name}.json"))).args(["--format", "json"]);
    let output = check.env_clear().stdin(Stdio::null()).output().unwrap();
    let status = output.status.code().unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output.stderr)));
    let findings = answer["pods"].as_array().unwrap().iter().flat_map(|pod| pod["findings"].as_array().unwrap());
    let worst = |severity: &str| findings.clone().find(|finding| finding["severity"] == severity);
    let code = worst("error").or_else(|| worst("warning")).and_then(|finding| finding["code"].as_str());
    format!("{name} {status} {}", code.unwrap_or("-"))
}
