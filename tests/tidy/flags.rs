//! The libraries know no command line: no text of theirs names an option or a command of `modelcar`, and what the
//! command line says about a finding is there for each.

use std::{collections::BTreeSet, fs};

use super::{code, product_files, workspace};

const LIBRARIES: [&str; 4] = ["modelcar-core", "modelcar-kserve", "modelcar-env", "twin-sha256"];
const COMMANDS: [&str; 11] =
    ["push", "plan", "build", "base", "download", "inspect", "doctor", "render", "pin", "check", "completions"];
/// Files that read or write the arguments of servers: a literal that is an argument and nothing else.
const SERVERS: [&str; 5] = [
    "modelcar-kserve/src/render/pods.rs",
    "modelcar-kserve/src/render/services.rs",
    "modelcar-kserve/src/render/conflicts.rs",
    "modelcar-kserve/src/render/resolved.rs",
    "modelcar-kserve/src/render/warnings/server.rs",
];

#[test]
fn libraries_name_no_option_and_no_command() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for library in LIBRARIES {
        for file in product_files(&workspace().join("crates").join(library).join("src")) {
            let of_server = SERVERS.iter().any(|end| file.ends_with(end));
            for text in literals(&code(&file)) {
                seen += 1;
                if of_server && text.starts_with("--") && !text.contains(char::is_whitespace) {
                    continue;
                }
                if names_option(&text) || names_command(&text) {
                    wrong.push(format!("{}: {text:?}", file.display()));
                }
            }
        }
    }
    assert!(seen > 1000, "{seen} literals");
    assert!(wrong.is_empty(), "say it in modelcar-cli's remedies.rs or hint.rs:\n{}", wrong.join("\n"));
}

#[test]
fn options_and_commands_are_found() {
    let code = r#"f("a \"q\" --not", '"', 'x', b'\'', "broken \
          --over lines"); // "--comment" "#;
    assert_eq!(literals(code), ["a \\\"q\\\" --not", "broken --over lines"]);
    let raw = "f(r#\"raw \"--raw\"\"#, r\"\\\")";
    assert_eq!(literals(raw), ["raw \"--raw\"", "\\"]);
    for text in ["use --native", "(--all reads them)", "--x", "kubectl get pod | f --native"] {
        assert!(names_option(text), "{text}");
    }
    for text in ["a -- b", "-----BEGIN", "--{name}", "x--y", "kubectl wait --timeout=30m isvc/m"] {
        assert!(!names_option(text), "{text}");
    }
    assert!(names_command("see `modelcar inspect --lint`") && names_command("modelcar check -"));
    assert!(!names_command("the modelcar checks") && !names_command("a-modelcar check"));
}

#[test]
fn every_finding_of_a_check_that_is_no_information_has_a_remedy() {
    let file = |path: &str| fs::read_to_string(workspace().join("crates").join(path)).unwrap();
    let text = file("modelcar-kserve/src/check/finding.rs");
    let table = text.split_once("pub enum Finding {").unwrap().1.split_once("\n}\n").unwrap().0;
    let all: BTreeSet<&str> = table.lines().filter_map(variant).collect();
    let verdicts = file("modelcar-kserve/src/check/verdict.rs");
    let (infos, _) = verdicts.split_once("=> Severity::Info").unwrap();
    let infos: BTreeSet<&str> = infos.split("Self::").skip(1).map(name).collect();
    assert!(all.len() > 50 && infos.len() > 5 && infos.is_subset(&all), "{all:?} {infos:?}");
    let remedies = file("modelcar-cli/src/remedies/check.rs");
    let told: BTreeSet<&str> = remedies.split(" Finding::").skip(1).map(name).collect();
    let missing: Vec<_> = all.difference(&infos).filter(|finding| !told.contains(*finding)).collect();
    assert!(missing.is_empty(), "remedies/check.rs says nothing of {missing:?}");
}

#[test]
fn the_page_lists_the_codes_of_doctor() {
    let codes = codes_of_doctor();
    let page = fs::read_to_string(workspace().join("docs/json.md")).unwrap();
    let listed = page.split_once("## Codes of doctor").unwrap().1.split('`').skip(1).step_by(2);
    assert_eq!(codes, listed.filter(|word| *word != "doctor").map(str::to_owned).collect());
}

/// Returns the codes of the checks of `doctor`.
pub(crate) fn codes_of_doctor() -> BTreeSet<String> {
    ["modelcar-core/src/registry/doctor.rs", "modelcar-cli/src/commands/doctor/row.rs"]
        .into_iter()
        .flat_map(codes_in)
        .collect()
}

/// Returns the codes that a file defines: its first enum whose name ends in `Code`.
fn codes_in(file: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(workspace().join("crates").join(file)).unwrap();
    let variants = text.split_once("Code {\n").unwrap().1.split_once("\n}\n").unwrap().0;
    let variants =
        variants.lines().filter(|line| line.ends_with(',') && !line.contains("//")).map(|line| name(line.trim()));
    let kebab = |variant: &str| -> String {
        let dashed =
            variant.chars().map(|c| if c.is_uppercase() { format!("-{}", c.to_ascii_lowercase()) } else { c.into() });
        dashed.collect::<String>().trim_start_matches('-').to_owned()
    };
    variants.map(kebab).collect()
}

/// Returns the variant that a row of the table begins with.
fn variant(line: &str) -> Option<&str> {
    let row = line.strip_prefix("        ").filter(|row| row.starts_with(|c: char| c.is_ascii_uppercase()))?;
    Some(name(row))
}

fn name(text: &str) -> &str {
    &text[..text.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(text.len())]
}

/// Returns whether a text names an option, but for those of `kubectl` behind its name.
fn names_option(text: &str) -> bool {
    let own = text.split('|').filter_map(|part| part.split("kubectl ").next());
    own.into_iter().any(|part| {
        part.match_indices("--").any(|(at, dashes)| {
            let begins = !part[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '-');
            begins && part[at + dashes.len()..].starts_with(|c: char| c.is_ascii_lowercase())
        })
    })
}

fn names_command(text: &str) -> bool {
    text.match_indices("modelcar ").any(|(at, found)| {
        let begins = !text[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '-');
        begins && COMMANDS.contains(&name(&text[at + found.len()..]))
    })
}

/// Returns the texts between quotes, each as one line, with its escapes.
pub(crate) fn literals(code: &str) -> Vec<String> {
    let (mut found, mut rest) = (Vec::new(), code);
    while let Some(at) = rest.find(['"', '\'', '/']) {
        let (before, from) = rest.split_at(at);
        let hashes = before.len() - before.trim_end_matches('#').len();
        let is_raw = before.trim_end_matches('#').ends_with('r');
        rest = match from.as_bytes() {
            [b'/', b'/', ..] => from.split_once('\n').map_or("", |(_, rest)| rest),
            [b'\'', b'\\', ..] => from[3..].split_once('\'').map_or("", |(_, rest)| rest),
            [b'\'', ..] => {
                let mut chars = from.chars().skip(1);
                let width = chars.next().map_or(0, char::len_utf8);
                if chars.next() == Some('\'') { &from[width + 2..] } else { &from[1..] }
            }
            [b'"', ..] if is_raw => {
                let end = format!("\"{}", "#".repeat(hashes));
                let (text, rest) = from[1..].split_once(&end).unwrap();
                found.push(text.to_owned());
                rest
            }
            [b'"', ..] => {
                let (text, rest) = from[1..].split_at(end_of_text(&from[1..]));
                found.push(joined(text));
                &rest[1..]
            }
            _ => &from[1..],
        };
    }
    found
}

/// Returns where the quote is that ends a text.
fn end_of_text(text: &str) -> usize {
    let mut escaped = false;
    let end = text.find(|c: char| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    end.unwrap()
}

/// Joins the lines of a text that `\` breaks.
fn joined(text: &str) -> String {
    let mut parts = text.split("\\\n");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |all, part| all + part.trim_start())
}
