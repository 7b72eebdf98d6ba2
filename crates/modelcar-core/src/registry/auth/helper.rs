//! Runs credential helpers with the protocol of docker-credential-helpers: the server on stdin, JSON on stdout.

use std::{process::Stdio, time::Duration};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{Child, Command},
    time::timeout,
};

use super::keychain::Credential;
use crate::{registry::error::KeychainError, text};

/// The answer of a helper that has no login (docker-credential-helpers, `credentials` package).
pub(super) const NOT_FOUND: &str = "credentials not found in native keychain";
/// Largest answer of a helper that is read, in bytes.
const ANSWER_MAX_BYTES: u64 = 1 << 20;
/// Shortest text that may be a token, in bytes.
const LEAST_TOKEN: usize = 20;

/// Asks the helper `docker-credential-<suffix>` for the credentials of `server`; `None` if the helper has none.
///
/// The helper and the processes that it started are killed after `patience`, and when the future is dropped.
///
/// # Errors
/// [`KeychainError::NoHelper`] when the helper is not installed; [`KeychainError::Helper`] when `suffix` can't be the name of a program, and when the helper can't be started, fails,
/// takes too long or answers no JSON.
pub(super) async fn ask(suffix: &str, server: &str, patience: Duration) -> Result<Option<Credential>, KeychainError> {
    let helper = format!("docker-credential-{suffix}");
    let failed = |reason: String| KeychainError::Helper { helper: helper.clone(), reason };
    if !suffix.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')) {
        return Err(failed("is not the name of a program".to_owned()));
    }
    ask_program(&helper, server, patience).await
}

/// As [`ask`], with the whole name or path of the program.
pub(super) async fn ask_program(
    program: &str,
    server: &str,
    patience: Duration,
) -> Result<Option<Credential>, KeychainError> {
    let failed = |reason: String| KeychainError::Helper { helper: program.to_owned(), reason };
    let mut group = Group::start(program).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => KeychainError::NoHelper { helper: program.to_owned() },
        _ => failed(format!("can't be started: {error}")),
    })?;
    let (success, said) = match timeout(patience, group.talk(server)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => return Err(failed(error.to_string())),
        Err(_) => return Err(failed(format!("gave no answer for {} s and was killed", patience.as_secs_f32()))),
    };
    let answer: Option<Value> = serde_json::from_slice(&said).ok();
    if !success {
        let said = String::from_utf8_lossy(&said);
        return match answer {
            _ if said.contains(NOT_FOUND) => Ok(None),
            // By the protocol stdout holds the reason of a failure. Text that may be a login is not shown.
            None if !said.contains(['{', '"']) && !said.trim().is_empty() => {
                Err(failed(format!("failed: {}", text::excerpt(&without_tokens(&said, server)))))
            }
            _ => Err(failed("failed without saying why".to_owned())),
        };
    }
    let answer = answer.ok_or_else(|| failed("answered no JSON".to_owned()))?;
    let field = |key| answer.get(key).and_then(Value::as_str).unwrap_or_default();
    Ok(match (field("Username"), field("Secret")) {
        (_, "") => None,
        (username, secret) => Some(Credential::from_pair(username, secret)),
    })
}

/// Returns the reason that a helper gives, without the words that may be a token: a helper may repeat the token that was
/// refused or has expired.
fn without_tokens(reason: &str, server: &str) -> String {
    let word = |word| if may_be_token(word, server) { "[secret]" } else { word };
    reason.split_whitespace().map(word).collect::<Vec<_>>().join(" ")
}

/// Returns whether a word may be or hold a token: a part of it is long, has letters and digits, and is neither a path nor of
/// the server's name.
fn may_be_token(word: &str, server: &str) -> bool {
    let parts = word.split(['=', ':', ',', ';', '\'', '`', '(', ')', '<', '>']);
    let mut long = parts.filter(|part| part.len() >= LEAST_TOKEN && !part.starts_with(['/', '~', '.']));
    long.any(|part| {
        let has = |is: fn(&u8) -> bool| part.as_bytes().iter().any(is);
        has(u8::is_ascii_digit) && has(u8::is_ascii_alphabetic) && !server.contains(part)
    })
}

/// The process group of a helper: helpers are often scripts that start another program. The group is killed when this
/// value is dropped before the helper has ended.
struct Group {
    /// The helper, which leads the group.
    child: Child,
    /// Whether the helper has ended, so that its process id may belong to another process now.
    ended: bool,
}

impl Group {
    /// Starts `program get` in a new process group. stderr is dropped.
    fn start(program: &str) -> std::io::Result<Self> {
        let child = Command::new(program)
            .arg("get")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // A helper that traces itself may write the secret to stderr.
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        Ok(Self { child, ended: false })
    }

    /// Sends `server` to the program and waits for its end. Returns whether the program succeeded, and the first
    /// [`ANSWER_MAX_BYTES`] of its output.
    async fn talk(&mut self, server: &str) -> std::io::Result<(bool, Vec<u8>)> {
        if let Some(mut stdin) = self.child.stdin.take() {
            // The exit status explains why a helper ended without reading.
            let _broken_pipe = stdin.write_all(format!("{server}\n").as_bytes()).await;
        }
        let mut said = Vec::new();
        if let Some(stdout) = self.child.stdout.take() {
            stdout.take(ANSWER_MAX_BYTES).read_to_end(&mut said).await?;
        }
        let status = self.child.wait().await?;
        self.ended = true;
        Ok((status.success(), said))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let leader = self.child.id().and_then(|id| rustix::process::Pid::from_raw(i32::try_from(id).ok()?));
        if let (false, Some(leader)) = (self.ended, leader) {
            let _gone_already = rustix::process::kill_process_group(leader, rustix::process::Signal::KILL);
        }
    }
}
