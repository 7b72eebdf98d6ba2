//! All messages on one page of the guide, `docs/messages.md`, so that its search finds every one of them, and that a reader of
//! a change sees how a message changes. `UPDATE_MESSAGES=1 cargo test -p modelcar-testkit --test tidy` writes the page.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
};

use super::{code, flags::literals, product_files, workspace};

const CRATES: [&str; 4] = ["modelcar-core", "modelcar-env", "modelcar-kserve", "modelcar-cli"];
pub(super) const PAGE: &str = "docs/messages.md";

const HEAD: &str = "\
# All messages

Every text of three words or more that modelcar can print, by what the text is about. Search this page for a few words of your message: `…` stands
for a name, a number or a reason. Long messages are put together of several of these texts. An error says what to do on
the line `hint:`; the page that a heading links to says more. Messages with a code in brackets, such as `[no-shell]`, are
explained [by their code](troubleshooting.md).
";

/// What the texts of a part of the code are about, and the page that says more. The first part that fits counts.
const TOPICS: [(&str, &str, &str); 34] = [
    ("modelcar-core/base", "The base image", "registries.md#where-the-base-comes-from"),
    ("modelcar-core/registry/auth", "Logins", "artifact-registry.md#log-in"),
    ("modelcar-core/registry/doctor", "The checks of doctor", "troubleshooting.md#codes-of-doctor"),
    ("modelcar-core/registry", "Registries", "registries.md"),
    ("modelcar-core/http", "Connections and certificates", "troubleshooting.md#messages-of-modelcar"),
    ("modelcar-core/retry", "Connections and certificates", "troubleshooting.md#messages-of-modelcar"),
    ("modelcar-core/source/hub", "The Hub", "hub.md"),
    ("modelcar-core/source/cache", "The cache of the Hub", "air-gapped.md"),
    ("modelcar-core/source/store", "Models in a bucket", "stores.md"),
    ("modelcar-core/source", "Reading a model", "hub.md"),
    ("modelcar-core/facts", "The model's files", "selection.md"),
    ("modelcar-core/weights", "The model's files", "selection.md"),
    ("modelcar-core/path", "The model's files", "selection.md"),
    ("modelcar-core/plan", "Plans and lock files", "reuse.md"),
    ("modelcar-core/reuse", "Layers that are reused", "reuse.md"),
    ("modelcar-core/download", "Downloads", "hub.md"),
    ("modelcar-core/layout", "Image layouts and archives", "air-gapped.md"),
    ("modelcar-core/push", "A push or build", "first-push.md"),
    ("modelcar-core", "Images and layers", "how-it-works.md"),
    ("modelcar-env", "Variables and files of the environment", "cli.md"),
    ("modelcar-kserve/check", "Findings of check", "troubleshooting.md#codes-of-check"),
    ("modelcar-kserve/lint", "Findings of inspect --lint", "troubleshooting.md#codes-of-inspect---lint"),
    ("modelcar-kserve/pin", "Digests in manifests", "pin.md"),
    ("modelcar-kserve/render", "Warnings and refusals of render", "troubleshooting.md#codes-of-render"),
    ("modelcar-kserve/sizing", "The disk of a node", "node-sizing.md"),
    ("modelcar-kserve", "KServe", "kserve.md"),
    ("modelcar-cli/remedies/check", "What to do about a finding of check", "troubleshooting.md#codes-of-check"),
    ("modelcar-cli/remedies", "What to do about findings", "troubleshooting.md"),
    ("modelcar-cli/hint", "Hints", "troubleshooting.md#messages-of-modelcar"),
    ("modelcar-cli/mistyped", "Commands and options of other tools", "cli.md"),
    ("modelcar-cli/commands/render", "Warnings and refusals of render", "troubleshooting.md#codes-of-render"),
    ("modelcar-cli/commands/pin", "Digests in manifests", "pin.md"),
    ("modelcar-cli/ui", "Progress", "first-push.md"),
    ("modelcar-cli", "The command line", "cli.md"),
];

#[test]
fn every_message_is_on_one_page() {
    let mut topics: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
    for name in CRATES {
        let source = workspace().join("crates").join(name).join("src");
        for file in product_files(&source) {
            let path = format!("{name}/{}", file.strip_prefix(&source).unwrap().display());
            let topic = TOPICS.iter().position(|(part, ..)| path.starts_with(part)).expect(&path);
            // Topics that two parts of the code share are one.
            let first = TOPICS.iter().position(|(_, title, _)| *title == TOPICS[topic].1).unwrap();
            let texts = literals(&code(&file)).into_iter().filter(|text| is_message(text));
            topics.entry(first).or_default().extend(texts.map(|text| shown(&text)));
        }
    }
    let mut all = HEAD.to_owned();
    let mut count = 0;
    for (topic, texts) in topics.iter().filter(|(_, texts)| !texts.is_empty()) {
        let (_, title, link) = TOPICS[*topic];
        count += texts.len();
        let name = link.split('#').next().unwrap_or_default();
        all.extend(["\n## ", title, "\n\nMore: [", name, "](", link, ").\n\n"]);
        all.extend(texts.iter().map(|text| format!("- {text}\n")));
    }
    let page = workspace().join(PAGE);
    if env::var_os("UPDATE_MESSAGES").is_some() {
        fs::write(&page, &all).unwrap();
    }
    let kept = fs::read_to_string(&page).unwrap();
    let differs = all.lines().zip(kept.lines()).find(|(now, kept)| now != kept);
    assert!(all == kept, "read {PAGE} and write the page again; the first line that differs: {differs:?}");
    assert!(count > 800, "{count} messages");
}

/// Returns a literal as the page shows it: as code, with `…` in the place of what is filled in.
fn shown(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, from) = rest.split_at(at);
        plain.push_str(before);
        rest = if from.starts_with("{{") || from.starts_with("}}") {
            plain.push_str(&from[..1]);
            &from[2..]
        } else if let (true, Some(end)) = (from.starts_with('{'), from.find('}')) {
            plain.push('…');
            &from[end + 1..]
        } else {
            plain.push_str(&from[..1]);
            &from[1..]
        };
    }
    plain.push_str(rest);
    let plain = plain.split_whitespace().collect::<Vec<_>>().join(" ");
    let fence = if plain.contains('`') { "``" } else { "`" };
    let space = if plain.starts_with('`') || plain.ends_with('`') { " " } else { "" };
    format!("{fence}{space}{plain}{space}{fence}")
}

#[test]
fn what_is_filled_in_is_left_open() {
    assert_eq!(shown("read `{0}`: {why}"), "``read `…`: …``");
    assert_eq!(shown("imagePullSecrets: [{{name: NAME}}]"), "`imagePullSecrets: [{name: NAME}]`");
    assert_eq!(shown("`{image}` is\n   gone"), "`` `…` is gone ``");
}

/// Returns whether a literal is a text for people: more than two words of letters.
fn is_message(text: &str) -> bool {
    let is_word = |word: &&str| word.trim_matches(|c: char| !c.is_alphanumeric()).chars().all(char::is_alphabetic);
    text.split_whitespace().filter(is_word).filter(|word| word.len() > 1).count() > 2
}
