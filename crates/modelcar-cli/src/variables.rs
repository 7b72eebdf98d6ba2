//! The environment variables that modelcar reads, as one table: for the help, the man page and `docs/cli.md`.

use std::fmt::Write;

/// A row of the table.
pub(crate) struct Variable {
    /// The names, with commas between them. `*` stands for any letters.
    pub(crate) names: &'static str,
    /// What the variables do.
    pub(crate) purpose: &'static str,
    /// The options that go before them; empty if there is none.
    pub(crate) option: &'static str,
}

/// Makes a row.
const fn row(names: &'static str, purpose: &'static str, option: &'static str) -> Variable {
    Variable { names, purpose, option }
}

/// All variables. Tests below compare the names with the source code of `modelcar-env` and of this crate.
pub(crate) const VARIABLES: [Variable; 22] = [
    row("HF_TOKEN, HUGGING_FACE_HUB_TOKEN", "The Hub's token; HF_TOKEN goes before the older name", ""),
    row("HF_TOKEN_PATH", "File that holds the Hub's token [default: token in HF_HOME]", ""),
    row("HF_HOME", "Folder of the Hugging Face tools [default: ~/.cache/huggingface]", ""),
    row("HF_ENDPOINT", "Address of the Hub, for mirrors [default: https://huggingface.co]", ""),
    row("HF_HUB_OFFLINE", "1 turns access to the Hub off: models come from the Hugging Face cache", ""),
    row("HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE", "Folder of the Hugging Face cache [default: hub in HF_HOME]", ""),
    row("SOURCE_DATE_EPOCH", "Time of every entry of the image, in seconds since 1970 [default: 0]", ""),
    row("MODELCAR_BASE", "Base image where the command line names none", "--base, --base-binary"),
    row(
        "MODELCAR_REGISTRY_USERNAME, MODELCAR_REGISTRY_PASSWORD",
        "Login for the registry of IMAGE",
        "--username, --password-stdin",
    ),
    row(
        "MODELCAR_REGISTRY_CLIENT_CERT, MODELCAR_REGISTRY_CLIENT_KEY",
        "Certificate for the registry of IMAGE and its private key: PEM files",
        "--client-cert, --client-key",
    ),
    row("DOCKER_CONFIG", "Folder of Docker's config.json [default: ~/.docker]", "--username, --password-stdin"),
    row("REGISTRY_AUTH_FILE", "Login file of podman, buildah and skopeo", "--username, --password-stdin"),
    row(
        "GOOGLE_APPLICATION_CREDENTIALS, CLOUDSDK_CONFIG, GCE_METADATA_HOST",
        "Google's credentials: a file, gcloud's folder, HOST[:PORT] of the metadata server",
        "--username, --password-stdin",
    ),
    row(
        "AWS_*, GOOGLE_*, SERVICE_ACCOUNT",
        concat!("Credentials and settings for s3:// and gs://, for example AWS_REGION: see ", docs!("stores.md")),
        "",
    ),
    row(
        "MODELCAR_LOG",
        "Log filter without -v: a level, or levels of modules (debug, modelcar_core::registry=trace)",
        "-v",
    ),
    row("NO_COLOR, CLICOLOR_FORCE", "No colours; colours also where stderr is no terminal", "--color"),
    row("TERM", "dumb gives lines in place of progress bars", "--progress"),
    row("HTTPS_PROXY, HTTP_PROXY, ALL_PROXY", "Proxies, in capitals or small letters", ""),
    row("NO_PROXY", "Hosts that are reached without a proxy", ""),
    row("SSL_CERT_FILE", "Certificate authorities to trust, in PEM form; --ca-file names more", ""),
    row("XDG_CACHE_HOME", "Folder of the local cache and of the Hugging Face tools [default: ~/.cache]", "--cache-dir"),
    row("HOME, XDG_CONFIG_HOME, XDG_RUNTIME_DIR", "Where login files, tokens and caches lie", ""),
];

/// Returns the table for the long help.
pub(crate) fn help() -> String {
    let mut text = String::from("Environment:");
    for variable in VARIABLES {
        let _infallible = write!(text, "\n  {}\n          {}", variable.names, variable.purpose);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::CommandFactory;

    use super::VARIABLES;

    /// Names for which the code asks by their first letters.
    const OF_STORES: [&str; 3] = ["AWS_*", "GOOGLE_*", "SERVICE_ACCOUNT"];
    /// Names that the crates of the terminal ask for, and the one that `ui` asks for.
    const OF_TERMINALS: [&str; 3] = ["NO_COLOR", "CLICOLOR_FORCE", "TERM"];

    #[test]
    fn the_table_has_every_variable_that_is_read() {
        let table: Vec<&str> = VARIABLES.iter().flat_map(|variable| variable.names.split(", ")).collect();
        let names: BTreeSet<&str> = table.iter().copied().collect();
        assert_eq!(table.len(), names.len(), "a variable is there twice: {table:?}");
        let read = modelcar_env::VARIABLES.into_iter().chain([crate::log::MODELCAR_LOG]).chain(OF_STORES);
        let read = read.chain(OF_TERMINALS);
        assert_eq!(names, read.collect());
    }

    #[test]
    fn the_options_of_the_table_are_options_of_push() {
        let mut all = crate::cli::Cli::command();
        // Options of all commands are those of `push` too.
        all.build();
        let push = all.find_subcommand("push").unwrap();
        let options = VARIABLES.iter().flat_map(|variable| variable.option.split(", "));
        for option in options.filter(|option| option.starts_with("--")) {
            assert!(push.get_arguments().any(|arg| arg.get_long() == option.strip_prefix("--")), "{option}");
        }
    }
}
