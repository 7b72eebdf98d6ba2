//! Files that people keep to themselves, known by their names.

use crate::ModelPath;

/// Names of files with passwords, tokens or private keys, and where they are from.
const NAMES: [&str; 15] = [
    // Settings of programs that read their environment from a file.
    ".env",
    ".envrc",
    // Logins of curl, npm, PyPI and PostgreSQL. Those of git stay out in any case.
    ".netrc",
    "_netrc",
    ".npmrc",
    ".pypirc",
    ".pgpass",
    // Logins of the clouds and of a cluster.
    "application_default_credentials.json",
    "credentials.json",
    "service_account.json",
    "kubeconfig",
    // Private keys of SSH.
    "id_dsa",
    "id_ecdsa",
    "id_ed25519",
    "id_rsa",
];
/// Ends of the names of private keys.
const ENDS: [&str; 4] = [".key", ".p12", ".pfx", ".ppk"];
/// Ends of the paths of files whose names alone say nothing.
const PATHS: [&str; 4] = [".aws/credentials", ".docker/config.json", ".kube/config", "huggingface/token"];
/// Words at the end of a name that make it an example, which people publish.
const EXAMPLES: [&str; 4] = ["dist", "example", "sample", "template"];

/// Returns whether a file of this path usually holds a password, a token or a private key.
pub(super) fn is_private(path: &ModelPath) -> bool {
    let path = path.as_str();
    let name = path.rsplit('/').next().unwrap_or(path).to_ascii_lowercase();
    let is_example = name.rsplit('.').next().is_some_and(|end| EXAMPLES.contains(&end));
    // `.env.production` and the like.
    let is_named = NAMES.contains(&name.as_str()) || name.starts_with(".env.");
    let is_below = |end: &str| path.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('/'));
    !is_example && (is_named || ENDS.iter().any(|end| name.ends_with(end)) || PATHS.iter().any(|end| is_below(end)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known_by_their_names() {
        let is_private = |path: &&str| is_private(&path.parse().unwrap());
        let private = [
            ".env",
            "app/.env",
            ".env.production",
            ".netrc",
            "keys/id_rsa",
            "tls/server.key",
            "Service_Account.json",
            ".aws/credentials",
            "home/.kube/config",
            ".cache/huggingface/token",
        ];
        assert_eq!(private.iter().filter(|path| !is_private(path)).collect::<Vec<_>>(), [&""; 0]);
        let public = [
            ".env.example",
            "environment.yml",
            "config.json",
            "tokenizer.json",
            "special_tokens_map.json",
            "key.txt",
            "credentials",
            "my.aws/credentials",
            "id_rsa.pub",
            "model.safetensors",
            "service.key.template",
        ];
        assert_eq!(public.iter().filter(|path| is_private(path)).collect::<Vec<_>>(), [&""; 0]);
    }
}
