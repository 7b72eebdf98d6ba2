//! A command line that can't be parsed: what clap says about it, and what modelcar calls the words of other tools.

use std::ffi::OsString;

use clap::{
    CommandFactory, Error,
    error::{ContextKind, ContextValue, ErrorKind},
};

use crate::{cli::Cli, resolve};

/// Commands that other tools have, with what to use here.
const COMMANDS: &[(&[&str], &str)] = &[
    (
        &["pull", "fetch", "clone", "get"],
        "`modelcar download SOURCE DIR` writes a model's files into a folder; an image is pulled by its node, or with skopeo",
    ),
    (&["upload", "publish"], "`modelcar push SOURCE IMAGE` puts a model into a registry as an image"),
    (
        &["validate", "lint", "verify", "scan"],
        "`modelcar inspect --lint IMAGE` checks an image, `modelcar check FILE` checks pods",
    ),
    (
        &["login", "logout", "auth"],
        concat!(
            "modelcar uses the logins of other tools: `docker login REGISTRY` or `gcloud auth application-default login` for \
             a registry, HF_TOKEN for the Hub; see ",
            docs!("registries.md")
        ),
    ),
    (&["ls", "list", "show", "info", "images", "describe"], "`modelcar inspect IMAGE` shows what is in an image"),
    (
        &["pack", "package", "create", "save", "export", "convert"],
        "`modelcar build SOURCE --output oci-archive:FILE` writes an image to disk",
    ),
    (
        &["tag", "retag"],
        "`modelcar push SOURCE IMAGE --tag TAG` gives an image another tag; what is there is not sent again",
    ),
    (
        &["copy", "cp", "sync", "mirror"],
        "`modelcar push SOURCE IMAGE --reuse-from OTHER --copy` copies layers of another registry",
    ),
    (&["diagnose", "ping", "test"], "`modelcar doctor IMAGE` checks whether a push can work"),
    (
        &["deploy", "apply", "serve", "run", "template", "generate", "manifest"],
        "`modelcar render IMAGE | kubectl apply -f -` serves an image with KServe",
    ),
    (
        &["status", "wait"],
        "`kubectl get isvc,deploy,rs,pod,events,nodes -o json | modelcar check -` says whether pods are Ready",
    ),
    (
        &["diff"],
        "`modelcar plan --check FILE` compares a lock file with its model, `modelcar pin IMAGE FILE --dry-run` shows a diff",
    ),
    (&["dry-run"], "`modelcar plan SOURCE IMAGE` shows what a push would do, and uploads nothing"),
    (&["version"], "`modelcar --version` prints the version"),
];

/// Options that other tools have, by the commands that they are typed behind, with what to use here.
const OPTIONS: &[(&[&str], &[&str], &str)] = &[
    (
        &["push", "build"],
        &["--dry-run", "--dryrun", "--plan-only"],
        "`modelcar plan SOURCE IMAGE` shows what a push would do, and uploads nothing",
    ),
    (
        &["push", "plan"],
        &["-t"],
        "the tag is a part of IMAGE: `modelcar push SOURCE REGISTRY/REPOSITORY:TAG`; --tag TAG gives the image another one",
    ),
    (&["build"], &["-t", "--tag"], "the name is a part of the output: `modelcar build SOURCE --output oci:DIR:NAME`"),
    (
        &["push", "plan", "build", "download"],
        &["--revision", "--rev", "--branch", "--commit"],
        "the revision is a part of SOURCE: owner/name@REVISION",
    ),
    (
        &["push", "plan", "build", "download"],
        &["--token", "--hf-token"],
        "set the variable HF_TOKEN to the Hub's token: every user of the machine can read the options of a command",
    ),
    (
        &["push", "plan", "inspect", "doctor", "render"],
        &["--password", "-p", "-u", "--user", "--creds"],
        "`--username NAME --password-stdin` reads the password from stdin; without both, the logins of docker and podman are used",
    ),
    (
        &["push"],
        &["-o", "--output"],
        "`modelcar build SOURCE --output oci:DIR` writes the image to disk; `modelcar push SOURCE IMAGE --digest-file FILE` \
         writes the digest into a file",
    ),
    (&["render"], &["-o", "--output"], "the manifests are written to stdout: `modelcar render IMAGE >FILE`"),
    (
        &["push", "plan", "build", "download", "inspect", "doctor", "pin", "check"],
        &["--json", "-o", "--output-format"],
        "`--format json` prints the answer as JSON",
    ),
    (
        &["push", "plan", "inspect", "doctor", "render"],
        &["--insecure", "--tls-verify", "--skip-tls-verify", "--insecure-registry", "-k"],
        "`--plain-http` is for a registry without TLS, `--ca-file FILE` for a private authority, \
         `--insecure-skip-tls-verify` for neither",
    ),
    (
        &["push", "build", "download"],
        &["-j", "--max-workers", "--workers", "--parallel", "--concurrency"],
        "`--jobs N` sets how many layers are in flight, `--connections N` the connections to the Hub",
    ),
    (
        &["download"],
        &["--local-dir", "--dir", "-o", "--output"],
        "the folder comes behind SOURCE: `modelcar download SOURCE DIR`",
    ),
    (
        &["download"],
        &["--cache-dir"],
        "`modelcar download SOURCE DIR --layout hf-cache` writes a Hugging Face cache into DIR",
    ),
    (
        &["push", "plan", "build"],
        &["--arch", "--os"],
        "`--platform OS/ARCH` chooses a platform, for example linux/arm64",
    ),
    (&["push", "plan", "build"], &["--label", "-l"], "`--annotation KEY=VALUE` adds an annotation to the image"),
    (&["push", "plan", "build"], &["--from", "--base-image"], "`--base IMAGE` names the base image"),
    (
        &["push", "plan", "build", "download"],
        &["--allow-patterns", "--ignore-patterns"],
        "`--include GLOB` and `--exclude GLOB` choose files",
    ),
    (&["push"], &["--force", "-f"], "a push moves the tag without a question; `--no-reuse` sends every layer again"),
    (
        &["check", "pin"],
        &["-f", "--file", "--filename"],
        "the file is an argument: `modelcar check FILE`, `modelcar pin IMAGE FILE`",
    ),
];

/// Returns the text for stderr about a command line that can't be parsed. `args` is this command line.
pub(crate) fn told(mut error: Error, args: &[OsString]) -> String {
    name_the_missing_image(&mut error, args);
    let advice = advice(&error, args);
    if advice.is_some() {
        for kind in [ContextKind::Suggested, ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand] {
            error.remove(kind);
        }
    }
    let text = error.render().to_string().replace("\n  tip: ", "\nhint: ");
    // What Rust's parsers of numbers say.
    let text = text.replace("invalid digit found in string", "expected a whole number");
    let Some(advice) = advice else { return text.trim_end().to_owned() };
    let (said, rest) = text.trim_end().split_once("\n\n").unwrap_or((text.trim_end(), ""));
    format!("{said}\n\nhint: {advice}\n\n{rest}")
}

/// Returns what to type instead of a word of other tools, or where a missing name goes.
fn advice(error: &Error, args: &[OsString]) -> Option<String> {
    let word = |kind| match error.get(kind) {
        Some(ContextValue::String(word)) => Some(word.as_str()),
        Some(ContextValue::Strings(words)) => words.first().map(String::as_str),
        _ => None,
    };
    match error.kind() {
        ErrorKind::InvalidSubcommand => {
            let given = word(ContextKind::InvalidSubcommand)?;
            COMMANDS.iter().find(|(words, _)| words.contains(&given)).map(|(_, advice)| (*advice).to_owned())
        }
        ErrorKind::UnknownArgument => {
            let (command, given) = (command(args)?, word(ContextKind::InvalidArg)?);
            let given = given.split('=').next().unwrap_or(given);
            let fits = |(commands, words, _): &&(&[&str], &[&str], &str)| {
                commands.contains(&command.as_str()) && words.contains(&given)
            };
            OPTIONS.iter().find(fits).map(|(_, _, advice)| (*advice).to_owned())
        }
        ErrorKind::MissingRequiredArgument if word(ContextKind::InvalidArg) == Some("<IMAGE>") => {
            let source = only_name(args)?;
            Some(format!("`{source}` is SOURCE; IMAGE comes behind it: REGISTRY/REPOSITORY:TAG"))
        }
        _ => None,
    }
}

/// Names IMAGE as missing where a push has one name that is no image. clap takes the only name for IMAGE, because a push
/// with --plan needs no SOURCE.
fn name_the_missing_image(error: &mut Error, args: &[OsString]) {
    let is_source = |value: &ContextValue| matches!(value, ContextValue::Strings(names) if *names == ["<SOURCE>"]);
    if error.kind() == ErrorKind::MissingRequiredArgument
        && error.get(ContextKind::InvalidArg).is_some_and(is_source)
        && only_name(args).is_some_and(|name| resolve::target(&name).is_err())
    {
        error.insert(ContextKind::InvalidArg, ContextValue::Strings(vec!["<IMAGE>".to_owned()]));
    }
}

/// Returns the command that is on the command line.
fn command(args: &[OsString]) -> Option<String> {
    let matches = Cli::command().ignore_errors(true).try_get_matches_from(args).ok()?;
    matches.subcommand_name().map(str::to_owned)
}

/// Returns the name that a push has in the place of IMAGE, if it has no SOURCE.
fn only_name(args: &[OsString]) -> Option<String> {
    let matches = Cli::command().ignore_errors(true).try_get_matches_from(args).ok()?;
    let push = matches.subcommand_matches("push")?;
    let name = |id| push.try_get_one::<String>(id).ok().flatten().cloned();
    if name("source").is_some() { None } else { name("image") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_names_commands_and_options_that_there_are() {
        let mut root = Cli::command();
        root.build();
        let all: Vec<String> = root
            .get_subcommands()
            .flat_map(clap::Command::get_arguments)
            .chain(root.get_arguments())
            .filter_map(|arg| arg.get_long().map(|long| format!("--{long}")))
            .collect();
        let texts = COMMANDS.iter().map(|(_, text)| text).chain(OPTIONS.iter().map(|(_, _, text)| text));
        for text in texts {
            for part in text.split('`').skip(1).step_by(2).filter_map(|code| code.split("modelcar ").nth(1)) {
                let command = part.split_whitespace().next().unwrap();
                assert!(command.starts_with("--") || root.find_subcommand(command).is_some(), "{text}");
            }
            for option in text.split(|c: char| c.is_whitespace() || c == '`').filter(|word| word.starts_with("--")) {
                assert!(all.contains(&option.trim_end_matches(',').to_owned()), "{option}: {text}");
            }
        }
    }

    #[test]
    fn words_of_other_tools_are_not_words_of_modelcar() {
        let mut root = Cli::command();
        root.build();
        for word in COMMANDS.iter().flat_map(|(words, _)| *words) {
            assert!(root.find_subcommand(word).is_none(), "{word}");
        }
        for (commands, words, _) in OPTIONS {
            for command in *commands {
                let command = root.find_subcommand(command).unwrap();
                let has = |word: &&&str| {
                    command.get_arguments().any(|arg| {
                        arg.get_long().is_some_and(|long| format!("--{long}") == ***word)
                            || arg.get_short().is_some_and(|short| format!("-{short}") == ***word)
                    })
                };
                // `-o` and `--output` are words of several tools: a command that has one of them needs no advice.
                let taken: Vec<_> = words.iter().filter(has).collect();
                assert!(taken.is_empty(), "{} has {taken:?}", command.get_name());
            }
        }
    }
}
