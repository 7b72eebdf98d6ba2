//! What the user can do when a source does not give the model. It depends on who refused, not on the status alone.

use modelcar_core::{
    ErrorKind, ModelcarError,
    source::{Answerer, GateReason, SourceError, StoreFailure, StoreTrouble, TokenUse},
};

use modelcar_env::Environment;

use super::kind::{Object, UNTRUSTED, by_kind, certificate_hint};

pub(super) fn source_hints(error: &SourceError) -> Vec<String> {
    if let Some(hint) = refusal_hint(error) {
        return vec![hint];
    }
    let hint = match error {
        SourceError::RevisionNotFound { .. } => "name a branch, a tag or a full commit after `@`",
        SourceError::Http { source, .. } if source.is_untrusted() => certificate_hint(source),
        SourceError::InvalidName(_) | SourceError::Unknown(_) => {
            "a model is written owner/name[@revision], one in a store gs://BUCKET/PREFIX or s3://BUCKET/PREFIX, a directory \
             ./name"
        }
        SourceError::InvalidStore { .. } => {
            concat!(
                "name the bucket and the folder in it; credentials are taken from the environment: see ",
                docs!("stores.md")
            )
        }
        SourceError::EmptyStore { .. } => {
            "name the folder that holds the model's files, not a file in it; names are case-sensitive"
        }
        SourceError::NoCondition { .. } => "copy the model to a store that gives entity tags, or into a directory",
        SourceError::NotCached { .. } if Environment::is_offline() => {
            "HF_HUB_OFFLINE is set: unset it, name a revision that is there, or bring it here with `modelcar download MODEL \
             CACHE --layout hf-cache` where the Hub can be reached"
        }
        SourceError::NotCached { .. } => {
            "name a revision that is there, or leave hf-cache:// out for the model on the Hub"
        }
        SourceError::NotWhole { .. } => "download it again: `modelcar download MODEL CACHE --layout hf-cache`",
        SourceError::Unfinished { .. } => {
            "end the download with the tool that began it, or remove the file when nothing downloads"
        }
        SourceError::NoCacheFolder { .. } => "set HF_HUB_CACHE to the folder of the Hugging Face cache",
        SourceError::Offline { .. } => "unset HF_HUB_OFFLINE, or name a directory",
        SourceError::InvalidRepository(_) => "a model is written owner/name; a directory ./name",
        SourceError::BadEntry { .. } => {
            "move it out of the directory, or leave it out with --exclude; links may point only inside it"
        }
        SourceError::DanglingLink { .. } => {
            "bring back what the link points to, remove the link, or leave it out with --exclude"
        }
        SourceError::Io { act: "list" | "look at", .. } => "make it readable, or leave it out with --exclude",
        SourceError::NotADirectory { .. } => "name the folder that holds the model's files",
        SourceError::BadEndpoint { .. } => {
            "HF_ENDPOINT sets the Hub's address: write https://HOST, or unset the variable for huggingface.co"
        }
        SourceError::BadToken => "write the token in HF_TOKEN or the token file anew, on one line",
        SourceError::NotListed { .. } => {
            "a lock file is replayed with the files that it names: check the folder, or write the lock file again with \
             `modelcar plan SOURCE --output`"
        }
        SourceError::Http { source, .. } if source.is_without_tls() => {
            "the server does not speak TLS: write http:// in HF_ENDPOINT if the mirror speaks plain HTTP"
        }
        SourceError::TooManyLinked { .. } => {
            "links to folders multiply what is in them: remove those that lead to the same files again"
        }
        SourceError::Changed { .. } => "run again when nothing changes the source",
        SourceError::NoHash { .. } => {
            "the mirror leaves out what the Hub lists: unset HF_ENDPOINT to ask the Hub itself, or name another mirror"
        }
        SourceError::Http { by: Answerer::Mirror(host), .. } if error.kind() == ErrorKind::Network => {
            return vec![format!(
                "HF_ENDPOINT names {host}, which did not respond or failed: check the address, network and proxy, or unset \
                 the variable for huggingface.co"
            )];
        }
        other => return by_kind(other.kind(), Object::Source),
    };
    vec![hint.to_owned()]
}

/// What to do about a refusal, by who refused and what became of the token.
fn refusal_hint(error: &SourceError) -> Option<String> {
    Some(match error {
        SourceError::RepositoryNotFound { token, .. } => format!("check the name; {}", private(token)),
        SourceError::Gated { token: TokenUse::Sent, reason, .. } => gated(*reason).to_owned(),
        SourceError::Gated { token: TokenUse::Withheld { refused, .. }, .. } => ask_directly(refused),
        SourceError::Gated { token, .. } => {
            format!("ask for access on the model's page, then {}", set_token(token, "a token of that account"))
        }
        SourceError::HostileListing { entry: Some(name), .. } => {
            format!("leave the entry out with --exclude '{}'", pattern(name))
        }
        SourceError::NotTheFile { by, .. } => match by {
            Answerer::Store(host) => let_through(host),
            _ => format!(
                "a proxy or filter may answer in place of {}, or its copy is not the one it lists: try again, or ask \
                 another one (HF_ENDPOINT)",
                by.host()
            ),
        },
        SourceError::Http { by: Answerer::Proxy(_), .. } => {
            "put the proxy's user and password into HTTPS_PROXY, as http://USER:PASSWORD@HOST:PORT".to_owned()
        }
        SourceError::Http { by: Answerer::Store(host), source, .. }
            if source.status.is_some_and(|status| status.is_client_error())
                && error.kind() != ErrorKind::RateLimited =>
        {
            let_through(host)
        }
        SourceError::Http { token: TokenUse::Withheld { refused, .. }, .. }
            if matches!(error.kind(), ErrorKind::Auth | ErrorKind::Denied) =>
        {
            ask_directly(refused)
        }
        SourceError::Store { source, act } => store_hint(source, act)?,
        SourceError::Http { by, token, .. } => match error.kind() {
            ErrorKind::Auth => {
                format!("{}, or `hf auth login`", set_token(token, &format!("a token that {} takes", by.host())))
            }
            ErrorKind::Denied => {
                format!("the account or its token may not read this: give the token that right on {}", by.host())
            }
            _ => return None,
        },
        _ => return None,
    })
}

/// What to do about a store that fails; `act` names the store.
fn store_hint(failure: &StoreFailure, act: &str) -> Option<String> {
    let is_google = act.contains("gs://");
    let login = if is_google {
        "run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS to a key file; for a public \
             bucket set GOOGLE_SKIP_SIGNATURE=true"
    } else {
        "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, for example with `eval \"$(aws configure export-credentials \
             --format env)\"`; for a public bucket set AWS_SKIP_SIGNATURE=true"
    };
    let right =
        if is_google { "storage.objects.list and storage.objects.get" } else { "s3:ListBucket and s3:GetObject" };
    Some(match failure.trouble {
        StoreTrouble::NoBucket => "check the name of the bucket".to_owned(),
        StoreTrouble::NoObject => "check the names of the bucket and of the folder".to_owned(),
        StoreTrouble::NoCredentials => login.to_owned(),
        StoreTrouble::Credentials => format!("the credentials are wrong or have expired: {login}"),
        StoreTrouble::Denied => format!("give the account the rights {right} on the bucket, or use another one: {login}"),
        StoreTrouble::Region => "set AWS_REGION to the bucket's region, or AWS_ENDPOINT_URL to its server".to_owned(),
        StoreTrouble::Busy => "wait and run again, or ask for less at once with fewer --connections".to_owned(),
        StoreTrouble::Untrusted => UNTRUSTED.to_owned(),
        StoreTrouble::Other => {
            "check the variables AWS_* or GOOGLE_* that are set; a server that speaks plain HTTP needs AWS_ALLOW_HTTP=true"
                .to_owned()
        }
        _ => return None,
    })
}

fn private(token: &TokenUse) -> String {
    match token {
        TokenUse::Sent => "a private model needs a token whose account may read it".to_owned(),
        TokenUse::Withheld { refused, .. } => format!("if it is private, {}", ask_directly(refused)),
        token => format!("for a private model {}", set_token(token, "a token that may read it")),
    }
}

fn set_token(token: &TokenUse, which: &str) -> String {
    match token {
        TokenUse::Unreadable(_) => format!("make the token's file readable, or set HF_TOKEN to {which}"),
        _ => format!("set HF_TOKEN to {which}"),
    }
}

fn ask_directly(host: &str) -> String {
    format!("ask the host directly that the mirror redirects to: HF_ENDPOINT=https://{host}")
}

fn let_through(host: &str) -> String {
    format!(
        "the bytes of files come from {host}, which knows nobody's account: have the firewall or proxy let {host} \
         through, or name a mirror with HF_ENDPOINT"
    )
}

fn gated(reason: GateReason) -> &'static str {
    match reason {
        GateReason::Pending => "wait until the model's authors decide; its page shows the state of the request",
        GateReason::Rejected => {
            "use a token of an account that has access, or ask the model's authors why they refused"
        }
        GateReason::TokenPermission => {
            "allow the token, in its settings, to read public gated repositories, or make a token of the type `read`"
        }
        _ => "ask for access on the model's page with the account that the token belongs to, and accept its terms",
    }
}

/// Returns a pattern that matches a name, whatever is in the name: it can be copied into a shell.
fn pattern(name: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "._-/+ ".contains(c);
    name.chars().map(|c| if plain(c) { c } else { '?' }).collect()
}

#[cfg(test)]
mod tests {
    use super::pattern;

    #[test]
    fn a_pattern_is_safe_in_a_shell() {
        assert_eq!(pattern("images\\loss.png"), "images?loss.png");
        assert_eq!(pattern("a'$(b)*/ü"), "a???b??/ü");
    }
}
