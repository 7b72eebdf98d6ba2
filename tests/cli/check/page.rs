//! The words of a cluster on the page `docs/troubleshooting.md`: `check` finds the code that the page names for them.

use std::path::Path;

use modelcar_kserve::check::{self, Expected, Finding, Severity};
use serde_json::{Value, json};

use super::{documents::*, fs};

#[test]
fn check_finds_the_code_that_the_page_names_for_the_words_of_the_cluster() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().find(|folder| folder.join("Cargo.lock").exists());
    let page = fs::read_to_string(root.unwrap().join("docs/troubleshooting.md")).unwrap();
    let section = page.split_once("\n## Messages of the cluster\n").unwrap().1.split("\n## ").next().unwrap();
    let (mut seen, mut wrong) = (0, Vec::new());
    for row in section.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [words, place, code] = cells[..] else { panic!("three cells, not {row}") };
        for words in words.split('`').skip(1).step_by(2) {
            seen += 1;
            let found = codes(&document(place, &words.replace('…', "x")));
            if found.first() != Some(&code.trim_matches('`')) {
                wrong.push(format!("{words}: {code} on the page, {found:?} found"));
            }
        }
    }
    assert!(seen > 30, "{seen} rows");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Returns a document in which a cluster says these words at this place. Words without a space are a reason.
fn document(place: &str, words: &str) -> Value {
    let (reason, message) = if words.contains(' ') { (None, words) } else { (Some(words), "") };
    let in_server = |state, last, restarts| pod("m-0", spec(), server(state, last, restarts));
    match place {
        "the scheduler" => pod("m-0", spec(), unscheduled("Unschedulable", words)),
        "a pull" => pod("m-0", spec(), init(waiting(reason.unwrap_or("ErrImagePull"), message), json!({}), 0)),
        "a sandbox" => {
            let group_alone = with(spec(), "/securityContext", json!({"runAsGroup": 0}));
            list(&[
                pod("m-0", group_alone, beginning("False")),
                event("Warning", ("Pod", "m-0"), "FailedCreatePodSandBox", words),
            ])
        }
        "a start, image volume" => {
            pod("m-0", native_spec(), native(waiting("CreateContainerError", words), json!({}), 0))
        }
        "a start" if words.contains("\"sh\"") => {
            pod("m-0", spec(), init(waiting("RunContainerError", words), ended("StartError", 128, words), 1))
        }
        "a start" if words.contains("exec format") => in_server(back_off(), ended("StartError", 128, words), 4),
        "a start" => in_server(waiting("CreateContainerConfigError", words), json!({}), 0),
        "a refusal" => refused(&format!("pods \"m\" is forbidden: {words}")),
        "an eviction" => pod("m-0", spec(), failed("Evicted", words)),
        "the server's end" => in_server(back_off(), ended(reason.unwrap_or("Error"), 1, message), 6),
        "an event" => {
            let restarted = in_server(running(), ended("Error", 1, ""), 1);
            list(&[restarted, event("Normal", ("Pod", "m-0"), "Killing", words)])
        }
        other => panic!("no document for {other}"),
    }
}

/// Returns the codes of what `check` finds, without mere information.
fn codes(document: &Value) -> Vec<&'static str> {
    let report = check::check(document.to_string().as_bytes(), &Expected::default()).unwrap();
    let findings = report.pods.iter().flat_map(|pod| &pod.findings);
    findings.filter(|finding| finding.severity() != Severity::Info).map(Finding::code).collect()
}
