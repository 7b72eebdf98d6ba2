//! The guide: every page is in its list, every link leads somewhere, and every code that a command can print is on the page
//! that says what to do about the code.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use super::workspace;

const CODES_PAGE: &str = "docs/troubleshooting.md";

#[test]
fn every_page_of_the_guide_is_in_its_list() {
    let docs = workspace().join("docs");
    let summary = fs::read_to_string(docs.join("SUMMARY.md")).unwrap();
    let listed: BTreeSet<PathBuf> =
        links(&summary).into_iter().filter(|link| !link.is_empty()).map(|link| docs.join(link)).collect();
    let there: BTreeSet<PathBuf> = pages(&docs).into_iter().filter(|page| !page.ends_with("SUMMARY.md")).collect();
    assert!(there.len() > 15, "{there:?}");
    assert_eq!(listed, there);
}

#[test]
fn every_link_leads_somewhere() {
    let root = workspace();
    let mut texts = pages(&root.join("docs"));
    texts.extend(["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md"].map(|name| root.join(name)));
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for page in &texts {
        let text = fs::read_to_string(page).unwrap();
        for link in links(&text).into_iter().filter(|link| !link.is_empty() && !link.contains("://")) {
            seen += 1;
            if let Some(why) = broken(page, link) {
                wrong.push(format!("{}: {link} {why}", page.strip_prefix(&root).unwrap().display()));
            }
        }
    }
    assert!(seen > 50, "{seen} links");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Says why a relative link of `page` leads nowhere.
fn broken(page: &Path, link: &str) -> Option<String> {
    let (path, anchor) = link.split_once('#').map_or((link, None), |(path, anchor)| (path, Some(anchor)));
    let target = if path.is_empty() { page.to_owned() } else { page.parent().unwrap().join(path) };
    if !target.exists() {
        return Some("is not there".to_owned());
    }
    let anchor = anchor?;
    let text = fs::read_to_string(&target).unwrap();
    (!anchors(&text).contains(anchor)).then(|| "names no heading".to_owned())
}

#[test]
fn links_and_anchors_are_found() {
    let text = "# A `b-c` d, e\n[x](y.md#z) `[no](no.md)` [t]( u.md )\n```sh\n# not a heading\n[no](no)\n```\n## A `b-c` d, e\n";
    assert_eq!(links(text), ["y.md#z", "u.md"]);
    assert_eq!(anchors(text), ["a-b-c-d-e", "a-b-c-d-e-1"].map(str::to_owned).into());
    let page = workspace().join("docs/guide.md");
    assert!(broken(&page, "no-such-page.md").is_some() && broken(&page, "guide.md#no-such-heading").is_some());
}

#[test]
fn every_code_is_on_the_page_that_says_what_to_do() {
    let mut codes: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (heading, file) in [
        ("check", "modelcar-kserve/src/check/finding.rs"),
        ("check", "modelcar-kserve/src/check/wait.rs"),
        ("check", "modelcar-kserve/src/check/cause/pull.rs"),
        ("check", "modelcar-kserve/src/check/cause/refusal.rs"),
        ("check", "modelcar-kserve/src/check/cause/eviction.rs"),
        ("inspect --lint", "modelcar-kserve/src/lint/finding.rs"),
        ("render", "modelcar-kserve/src/render/warning.rs"),
    ] {
        let text = fs::read_to_string(workspace().join("crates").join(file)).unwrap();
        let found = codes_of_table(&text);
        assert!(found.len() > 8, "{file}: {found:?}");
        codes.entry(heading).or_default().extend(found);
    }
    codes.insert("doctor", super::flags::codes_of_doctor());
    let page = fs::read_to_string(workspace().join(CODES_PAGE)).unwrap();
    for (heading, codes) in codes {
        let listed = listed_codes(&page, heading);
        let missing: Vec<_> = codes.difference(&listed).collect();
        let unknown: Vec<_> = listed.difference(&codes).collect();
        assert!(
            missing.is_empty() && unknown.is_empty(),
            "{CODES_PAGE}, codes of `{heading}`: missing {missing:?}, not in the code {unknown:?}"
        );
    }
}

#[test]
fn what_the_guide_copies_is_still_in_its_place() {
    let file = |path: &str| fs::read_to_string(workspace().join(path)).unwrap();
    let example = file("crates/modelcar-core/examples/push.rs");
    let program = &example[example.find("\nuse ").unwrap()..];
    assert!(file("docs/library.md").contains(program), "docs/library.md has not the program of examples/push.rs");
    let (page, measured) = (file("docs/comparison.md"), file("benches/README.md"));
    let table = page.split_once("\n```text\n").unwrap().1.split_once("\n```").unwrap().0;
    let unknown: Vec<&str> = table.lines().filter(|row| !measured.contains(row)).collect();
    assert!(table.lines().count() > 5 && unknown.is_empty(), "not in benches/README.md: {unknown:#?}");
}

#[test]
fn the_guide_names_options_that_there_are() {
    let helps: BTreeMap<String, String> = fs::read_dir(workspace().join("tests/cli/snapshots"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter_map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().strip_prefix("cli__shown__help_")?;
            Some((name.strip_suffix("_long.snap")?.to_owned(), fs::read_to_string(&path).unwrap()))
        })
        .collect();
    assert!(helps.len() > 5, "{:?}", helps.keys());
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for page in guide() {
        let text = fs::read_to_string(&page).unwrap().replace("\\\n", " ");
        for (command, options) in codes(&text).into_iter().flat_map(commands) {
            for option in options {
                seen += 1;
                let has = |help: &String| help.contains(&format!("{option} ")) || help.contains(&format!("{option}\n"));
                let is_there = match command {
                    Some(command) => helps.get(command).is_some_and(has),
                    None => helps.values().any(has) || OF_OTHERS.contains(&option),
                };
                if !is_there {
                    wrong.push(format!("{}: {} {option}", page.display(), command.unwrap_or_default()));
                }
            }
        }
    }
    assert!(seen > 60, "{seen} options");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Options of other programs that the guide names alone.
const OF_OTHERS: [&str; 4] = ["--immutable-tags", "--previous", "--trust-remote-code", "--user"];

#[test]
fn the_guide_quotes_messages_that_there_are() {
    let messages = fs::read_to_string(workspace().join(super::messages::PAGE)).unwrap().replace('`', "");
    let mut quoted = Vec::new();
    for (page, heading) in [(CODES_PAGE, "Messages of modelcar"), ("docs/private-models.md", "What the messages mean")]
    {
        let text = fs::read_to_string(workspace().join(page)).unwrap();
        let section = text.split_once(&format!("\n## {heading}\n")).unwrap().1.split("\n## ").next().unwrap();
        let rows = section.lines().filter(|line| line.starts_with("| `"));
        quoted.extend(rows.map(|row| row.split('`').nth(1).unwrap().to_owned()));
    }
    assert!(quoted.len() > 25, "{quoted:?}");
    let parts = |message: &String| message.split('…').map(|part| part.trim().to_owned()).collect::<Vec<_>>();
    let unknown: Vec<String> = quoted.iter().flat_map(parts).filter(|part| !messages.contains(part)).collect();
    assert!(unknown.is_empty(), "no message has these words: {unknown:#?}");
}

/// Returns the pages that are written for users, without those of reference.
fn guide() -> Vec<PathBuf> {
    let docs = workspace().join("docs");
    let summary = fs::read_to_string(docs.join("SUMMARY.md")).unwrap();
    let guide = summary.split("\n# Reference\n").next().unwrap();
    links(guide).into_iter().map(|link| docs.join(link)).collect()
}

/// Returns the code of a page: the lines of its blocks, and what stands in backquotes.
fn codes(text: &str) -> Vec<&str> {
    let (mut codes, mut is_inside) = (Vec::new(), false);
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            is_inside = !is_inside;
        } else if is_inside {
            codes.push(line);
        } else {
            codes.extend(line.split('`').skip(1).step_by(2));
        }
    }
    codes
}

fn options(code: &str) -> Vec<&str> {
    code.split([' ', '=', ')', '"']).filter(|word| word.len() > 2 && word.starts_with("--")).collect()
}

/// Returns the commands of modelcar in a piece of code with their options; an option alone is of no command.
fn commands(code: &str) -> Vec<(Option<&str>, Vec<&str>)> {
    if code.starts_with("--") {
        return vec![(None, options(code))];
    }
    let starts = code.match_indices("modelcar ").filter(|(at, _)| !code[..*at].ends_with('-'));
    let parts = starts.map(|(at, name)| code[at + name.len()..].split(['|', '>', ';', '#']).next().unwrap());
    let lower = parts.filter(|part| part.starts_with(|c: char| c.is_ascii_lowercase()));
    lower.map(|part| (part.split_whitespace().next(), options(part))).collect()
}

/// Returns the codes in the first column of the table below the heading `## Codes of NAME`. Every row has a last column,
/// which says what to do.
fn listed_codes(page: &str, heading: &str) -> BTreeSet<String> {
    let start = format!("\n## Codes of `{heading}`\n");
    let section = page.split_once(&start).unwrap_or_else(|| panic!("{CODES_PAGE} has no heading{start}")).1;
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let mut listed = BTreeSet::new();
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        assert!(cells.len() == 3 && cells.iter().all(|cell| !cell.is_empty()), "{CODES_PAGE}: three cells, not {row}");
        listed.extend(cells[0].split('`').skip(1).step_by(2).map(str::to_owned));
    }
    listed
}

/// Returns the codes of a table of findings: what stands between `=>` and the comma behind it, in quotes.
fn codes_of_table(text: &str) -> BTreeSet<String> {
    let table = text.split_once("! {\n").unwrap().1.split_once("\n}\n").unwrap().0;
    let table: String =
        table.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let codes = table.split("=>").skip(1).flat_map(|row| row.split(',').next().unwrap().split('"').skip(1).step_by(2));
    let is_code = |text: &&str| text.chars().all(|c| c.is_ascii_lowercase() || c == '-');
    codes.filter(is_code).map(str::to_owned).collect()
}

/// Returns the pages in a folder and in the folders below it.
fn pages(folder: &Path) -> Vec<PathBuf> {
    let mut found = super::pages(folder);
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(pages(&path));
        }
    }
    found
}

/// Returns a page's lines outside of fenced blocks.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut inside = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        inside ^= is_fence;
        !inside && !is_fence
    })
}

/// Returns the targets of a page's links, without those in code.
fn links(text: &str) -> Vec<&str> {
    let outside_of_code = |line: &'_ str| {
        let mut spans = Vec::new();
        let mut from = 0;
        for (at, part) in line.split('`').enumerate() {
            if at % 2 == 1 {
                spans.push(from..from + part.len());
            }
            from += part.len() + 1;
        }
        spans
    };
    let mut found = Vec::new();
    for line in prose(text) {
        let code = outside_of_code(line);
        for (at, begin) in line.match_indices("](") {
            if code.iter().any(|span| span.contains(&at)) {
                continue;
            }
            let target = &line[at + begin.len()..];
            found.extend(target.split_once(')').map(|(target, _)| target.trim()));
        }
    }
    found
}

/// Returns the anchors of a page's headings, as GitHub and mdBook make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for line in prose(text).filter(|line| line.starts_with('#')) {
        let heading = line.trim_start_matches('#').trim().to_lowercase();
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        let anchor: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
        let taken = |anchor: &String| found.contains(anchor);
        let next = (1..).map(|n| format!("{anchor}-{n}"));
        let free = std::iter::once(anchor.clone()).chain(next).find(|anchor| !taken(anchor));
        found.extend(free);
    }
    found
}
