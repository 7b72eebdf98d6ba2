//! Tests of the command line, and the page `docs/cli.md`, which a test writes and compares: every command, option and
//! environment variable.

use std::{env, fmt::Write, fs, path::Path};

use clap::{Arg, ArgAction, Command, CommandFactory};

use crate::{cli::Cli, variables::VARIABLES};

const HEAD: &str = "\
# Commands and options

This page has the texts of `modelcar help COMMAND`, for all commands. It is made from the definition of the command line:
`UPDATE_CLI=1 cargo test -p modelcar-cli --bin modelcar` writes the page again, and a test fails if the page is old.
`modelcar completions` and the [man pages](install.md#completions-and-man-pages) are made from the same definition.
";

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

/// Who has the binary alone has no folder `docs`.
#[test]
fn pages_of_the_guide_are_named_by_their_address() {
    let mut root = Cli::command();
    root.build();
    let mut helps = vec![root.render_long_help().to_string()];
    helps.extend(root.get_subcommands_mut().map(|command| command.render_long_help().to_string()));
    let address = docs!("").split_whitespace().collect::<String>();
    for help in helps {
        // A help is broken into lines between words only.
        let unnamed = help.split_whitespace().find(|word| word.contains("docs/") && !word.starts_with(&address));
        assert_eq!(unnamed, None, "{help}");
    }
}

#[test]
fn the_page_lists_what_the_command_line_has() {
    let page = page();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/cli.md");
    if env::var_os("UPDATE_CLI").is_some() {
        fs::write(&file, &page).unwrap();
    }
    let kept = fs::read_to_string(&file).unwrap();
    let differs = page.lines().zip(kept.lines()).find(|(now, kept)| now != kept);
    assert!(page == kept, "docs/cli.md is old: UPDATE_CLI=1 writes it again. First line that differs: {differs:?}");
    for said in ["## modelcar push", "| `--digest-file <FILE>` |", "| `HF_TOKEN`, ", "| `-v`, `--verbose` |"] {
        assert!(page.contains(said), "{said} is not on the page");
    }
}

fn page() -> String {
    let mut root = Cli::command();
    root.build();
    let mut page = HEAD.to_owned();
    let _infallible = write!(page, "\n{}\n", paragraphs(&root));
    page.push_str("\n| command | what it does |\n|---|---|\n");
    for command in commands(&root) {
        let name = command.get_name();
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        let _infallible = writeln!(page, "| [`{name}`](#modelcar-{name}) | {} |", cell(&about));
    }
    page.push_str("\n## Options of every command\n");
    let common: Vec<&Arg> = root.get_arguments().filter(|arg| !arg.is_hide_set()).collect();
    table(&mut page, "option", &common);
    for command in commands(&root) {
        section(&mut page, command, &common);
    }
    page.push_str(
        "\n## Environment variables\n\nAn empty variable counts as not set. An option goes before its variables.\n",
    );
    page.push_str("\n| variable | what it does | option |\n|---|---|---|\n");
    for variable in VARIABLES {
        let option = if variable.option.is_empty() { String::new() } else { codes(variable.option) };
        let _infallible = writeln!(page, "| {} | {} | {option} |", codes(variable.names), cell(variable.purpose));
    }
    page
}

/// Returns the commands that the help shows.
fn commands(root: &Command) -> impl Iterator<Item = &Command> {
    root.get_subcommands().filter(|command| !command.is_hide_set() && command.get_name() != "help")
}

/// Adds a command with its arguments, grouped by the headings of the help.
fn section(page: &mut String, command: &Command, common: &[&Arg]) {
    let name = command.get_name();
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ").lines().map(str::trim).collect::<Vec<_>>().join("\n");
    let _infallible = write!(page, "\n## modelcar {name}\n\n{}\n\n```text\n{usage}\n```\n", paragraphs(command));
    let (places, options): (Vec<&Arg>, Vec<&Arg>) = command
        .get_arguments()
        .filter(|arg| !arg.is_hide_set() && !common.iter().any(|other| other.get_id() == arg.get_id()))
        .partition(|arg| arg.is_positional());
    if !places.is_empty() {
        table(page, "argument", &places);
    }
    let mut headings: Vec<Option<&str>> = Vec::new();
    for heading in options.iter().map(|option| option.get_help_heading()) {
        if !headings.contains(&heading) {
            headings.push(heading);
        }
    }
    headings.sort_by_key(Option::is_some);
    for heading in headings {
        if let Some(heading) = heading {
            let _infallible = write!(page, "\n### {heading} (modelcar {name})\n");
        }
        let options: Vec<&Arg> =
            options.iter().copied().filter(|option| option.get_help_heading() == heading).collect();
        table(page, "option", &options);
    }
    if let Some(after) = command.get_after_long_help() {
        examples(page, &after.to_string());
    }
}

/// Adds what stands below the options in the help: examples in a block, sentences as they are.
fn examples(page: &mut String, text: &str) {
    let (examples, rest): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| line.starts_with("  "));
    let examples: Vec<&str> = examples.into_iter().map(str::trim).collect();
    let _infallible = write!(page, "\nExamples:\n\n```text\n{}\n```\n", examples.join("\n"));
    let rest = rest.join("\n").replace("Examples:", "");
    if !rest.trim().is_empty() {
        let _infallible = write!(page, "\n{}\n", rest.trim());
    }
}

/// Returns what a command does, in the words of its help.
fn paragraphs(command: &Command) -> String {
    let about = command.get_long_about().or_else(|| command.get_about()).map(ToString::to_string).unwrap_or_default();
    about.lines().map(escaped).collect::<Vec<_>>().join("\n")
}

/// Adds a table of arguments.
fn table(page: &mut String, kind: &str, args: &[&Arg]) {
    let _infallible = write!(page, "\n| {kind} | what it is |\n|---|---|\n");
    for arg in args {
        let _infallible = writeln!(page, "| {} | {} |", names(arg), purpose(arg));
    }
}

/// Returns the first cell of an argument: its names, and the name of its value.
fn names(arg: &Arg) -> String {
    let values: Vec<&str> = arg.get_value_names().unwrap_or_default().iter().map(clap::builder::Str::as_str).collect();
    let takes_value = matches!(arg.get_action(), ArgAction::Set | ArgAction::Append);
    let value = values.join(" ").replace('|', "\\|");
    let short = arg.get_short().map(|short| format!("`-{short}`"));
    let value_of_option = if takes_value { format!(" <{value}>") } else { String::new() };
    let long = arg.get_long().map(|long| format!("`--{long}{value_of_option}`"));
    let names: Vec<String> = short.into_iter().chain(long).collect();
    if names.is_empty() { format!("`{value}`") } else { names.join(", ") }
}

/// Returns the second cell of an argument: its long help, its default and its values.
fn purpose(arg: &Arg) -> String {
    let help = arg.get_long_help().or_else(|| arg.get_help()).map(ToString::to_string).unwrap_or_default();
    let mut text = cell(&ended(&help));
    let values: Vec<_> = arg.get_possible_values().into_iter().filter(|value| !value.is_hide_set()).collect();
    if !values.is_empty() && matches!(arg.get_action(), ArgAction::Set | ArgAction::Append) {
        let told = values.iter().map(|value| match value.get_help() {
            Some(help) => format!("`{}`: {}", value.get_name(), cell(&help.to_string())),
            None => format!("`{}`", value.get_name()),
        });
        let _infallible = write!(text, " Values: {}.", told.collect::<Vec<_>>().join("; "));
    }
    let default: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    if !default.is_empty() && matches!(arg.get_action(), ArgAction::Set | ArgAction::Append) {
        let _infallible = write!(text, " Default: `{}`.", default.join(" "));
    }
    text
}

/// Returns the first line of a help text, which ends without a full stop, and the sentences below it as one text.
fn ended(help: &str) -> String {
    let mut parts = help.split("\n\n");
    let first = parts.next().unwrap_or_default();
    let stop = if first.ends_with(['.', ']', ':']) { "" } else { "." };
    std::iter::once(format!("{first}{stop}")).chain(parts.map(str::to_owned)).collect::<Vec<_>>().join(" ")
}

/// Returns a text as one cell of a table.
fn cell(text: &str) -> String {
    escaped(&text.replace('\n', " ")).replace('|', "\\|")
}

/// Returns a text in which `<` begins no tag.
fn escaped(text: &str) -> String {
    let parts = text.split('`').enumerate();
    parts
        .map(|(at, part)| if at % 2 == 0 { part.replace('<', "&lt;") } else { part.to_owned() })
        .collect::<Vec<_>>()
        .join("`")
}

/// Returns names as code, each of its own.
fn codes(names: &str) -> String {
    names.split(", ").map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
