//! What `-v` and `MODELCAR_LOG` show, what a push says on stderr, and that no secret is in any of it.

use modelcar_testkit::Auth;

use super::*;

/// A token that the fake Hub takes.
pub(super) const TOKEN: &str = "hf_never_shown";
/// The password of a login that the fake registries of this file ask for.
const PASSWORD: &str = "hunter2-never-shown";

/// What no run may show, whatever it logs: the token and the login of [`Env::logged`], in both of the login's forms, and
/// what the fakes hand out.
const SECRETS: [&str; 7] =
    [TOKEN, PASSWORD, "cm9ib3Q6aHVudGVyMi1uZXZlci1zaG93bg", "Bearer ", "token-", "Signature=", "_state="];

impl Env {
    /// Runs once more, with secrets and with everything in the log, and returns stderr, in which none of them is.
    pub(super) fn logged(&self, args: &[&str]) -> String {
        let mut command = self.command(&[args, &["-vv"]].concat());
        command.env("MODELCAR_REGISTRY_USERNAME", "robot").env("MODELCAR_REGISTRY_PASSWORD", PASSWORD);
        command.env("HF_TOKEN", TOKEN);
        let stderr = text(&command.output().unwrap().stderr);
        for secret in SECRETS {
            assert!(!stderr.contains(secret), "{args:?} shows {secret:?}:\n{stderr}");
        }
        stderr
    }
}

/// Masks what differs between two runs: addresses, digests, times.
fn same(env: &Env, stderr: &str) -> String {
    let hub = env.hub.endpoint();
    let shown = stderr.replace(&env.registry.host(), "REGISTRY").replace(&hub, "HUB");
    let shown = shown.replace(hub.trim_start_matches("http://"), "HUB");
    let lines = shown.lines().map(|line| {
        let line = match line.split_once("s  INFO ") {
            Some((seconds, rest)) if seconds.trim().parse::<f64>().is_ok() => format!("TIME INFO {rest}"),
            _ => line.to_owned(),
        };
        let line = between(&hashes(&line), "wait_ms=", " ", "MS");
        let line = if line.starts_with("try ") { between(&line, " in ", " s", "N") } else { line };
        let line = between(&between(&line, " sent in ", " s", "N"), "N s, ", "/s", "N");
        between(&line, "N/s, ", " s in all", "N")
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Replaces what stands between `start` and `end`.
fn between(line: &str, start: &str, end: &str, mask: &str) -> String {
    let Some((before, rest)) = line.split_once(start) else { return line.to_owned() };
    let Some((_, after)) = rest.split_once(end) else { return line.to_owned() };
    format!("{before}{start}{mask}{end}{after}")
}

/// Replaces digests and commits.
fn hashes(line: &str) -> String {
    let mut shown = String::new();
    for part in line.split_inclusive(|c: char| !c.is_ascii_hexdigit()) {
        let hex = part.trim_end_matches(|c: char| !c.is_ascii_hexdigit());
        match hex.len() {
            40 | 64 => shown.push_str(&part.replace(hex, "…")),
            _ => shown.push_str(part),
        }
    }
    shown
}

#[test]
fn a_push_that_meets_faults_tells_its_decisions_and_retries() {
    let env = Env::new();
    env.hub.add_repo("acme/one", "main", ModelTree::new().file("config.json", "{}"));
    env.hub.fault(FaultRule::new("/tree/", HubAction::status(503)).times(1));
    let fault = |path: &str, method: &str, action| {
        env.registry.fault(FaultRule::new(path, action).method(method).times(1));
    };
    fault("/blobs/uploads/", "PATCH", RegistryAction::StatusAfterBody(503));
    fault("/manifests/v1", "PUT", RegistryAction::status(502));
    // What is looked for to reuse is asked beside the source: their lines would come in any order.
    let output = env.run(&["-v", "push", "acme/one", &env.image("a/one:v1"), "--base", "scratch", "--no-reuse"]);
    let stderr = text(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let mut settings = insta::Settings::clone_current();
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!("push_with_faults", same(&env, &stderr)));
}

#[test]
fn every_request_is_shown_without_what_opens_doors() {
    let env = Env::new();
    let stderr = env.logged(&["push", MODEL, &env.image("a/b:v1"), "--base", "scratch"]);
    for said in ["request{method=PATCH url=http://", "/blobs/uploads/…", "attempt=1 bytes=", "ms=", "status=201"] {
        assert!(stderr.contains(said), "{said}: {stderr}");
    }
}

#[test]
fn a_login_is_not_shown_whatever_fails() {
    for auth in [Auth::basic("robot", PASSWORD), Auth::bearer("robot", PASSWORD)] {
        for (method, path, action) in [
            ("GET", "/token", RegistryAction::error(403, "DENIED")),
            ("POST", "/blobs/uploads/", RegistryAction::error(403, "DENIED")),
            ("PATCH", "/blobs/uploads/", RegistryAction::DropConnection { after_body_bytes: 1000 }),
            ("PUT", "/blobs/uploads/", RegistryAction::error(400, "DIGEST_INVALID")),
            ("PUT", "/manifests/", RegistryAction::error(400, "MANIFEST_INVALID")),
        ] {
            let mut env = Env::new();
            env.registry =
                FakeRegistry::start_blocking(RegistryConfig { auth: auth.clone(), ..RegistryConfig::default() });
            env.registry.fault(FaultRule::new(path, action).method(method));
            let push = ["push", MODEL, &env.image("a/b:v1"), "--base", "scratch", "--retry-budget", "1s"];
            assert!(env.logged(&push).contains("status=401"), "the login was asked for");
        }
    }
}

#[test]
fn the_variable_says_what_is_logged_where_no_flag_does() {
    let env = Env::new();
    let run = |level: &str, args: &[&str]| {
        let output = env.command(args).env("MODELCAR_LOG", level).output().unwrap();
        (output.status.code(), text(&output.stderr))
    };
    let image = env.image("a/b:v1");
    let push = ["push", MODEL, &image, "--base", "scratch", "--progress", "none"];
    assert_eq!(run("error", &push), (Some(0), String::new()));
    let (status, stderr) = run("modelcar_core=debug", &push);
    assert!(status == Some(0) && stderr.contains("request{method="), "{stderr}");
    let (status, stderr) = run("trace", &push);
    assert!(status == Some(0) && !stderr.contains("hyper"), "{stderr}");
    let (status, stderr) = run("modelcar_core=loud", &push);
    assert_eq!(status, Some(2), "{stderr}");
    assert!(stderr.contains("MODELCAR_LOG is `modelcar_core=loud`") && stderr.contains("hint: "), "{stderr}");
}

#[test]
fn a_push_ends_with_a_line_that_sums_it_up() {
    let env = Env::new();
    let push = ["push", MODEL, &env.image("a/b:v1"), "--tag", "v2", "--base", "scratch"];
    let last = |stderr: &[u8]| text(stderr).lines().last().unwrap_or_default().to_owned();
    let first = last(&env.run(&push).stderr);
    assert!(first.starts_with("pushed acme/tiny@") && first.contains(" as v1, v2: "), "{first}");
    assert!(first.contains(" sent); ") && !first.contains("reused"), "{first}");
    let again = last(&env.run(&push).stderr);
    assert!(again.contains(" reused); nothing sent, ") && !again.contains(" sent)"), "{again}");
}

#[test]
fn a_token_that_goes_over_plain_http_is_warned_of() {
    let env = Env::new();
    let mut plan = env.command(&["plan", MODEL, "--base", "scratch"]);
    plan.env("HF_ENDPOINT", "http://hub.example").env("HTTP_PROXY", env.hub.endpoint()).env("NO_PROXY", "127.0.0.1");
    let said = |plan: &mut Command| {
        let output = plan.output().unwrap();
        let stderr = text(&output.stderr);
        assert!(output.status.success() && !stderr.contains(TOKEN), "{stderr}");
        stderr.contains("warning: the Hub's token is sent to `hub.example` over plain HTTP")
    };
    assert!(!said(&mut plan));
    assert!(said(plan.env("HF_TOKEN", TOKEN)));
}
