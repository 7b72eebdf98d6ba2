//! What stderr says, and in which colours: `--quiet`, `--color`, and causes that tell something.

use std::io::{BufRead, BufReader};

use super::*;

#[test]
fn quiet_leaves_errors_and_warnings() {
    let env = Env::new();
    env.hub.add_repo("acme/one", "main", ModelTree::new().file("config.json", "{}"));
    let said = |args: &[&str]| text(&env.run(args).stderr);
    let push = |model: &'static str, name: &str| {
        ["push".to_owned(), model.to_owned(), env.image(name), "--base".to_owned(), "scratch".to_owned()]
    };
    let quiet = |args: &[String], option: &'static str| {
        let args: Vec<&str> = args.iter().map(String::as_str).chain([option]).collect();
        said(&args)
    };
    assert_eq!(quiet(&push(MODEL, "a/b:v1"), "--quiet"), "");
    assert_eq!(quiet(&push("acme/one", "a/c:v1"), "-q"), "warning: no file holds weights\n");
    let error = quiet(&push("acme/none", "a/d:v1"), "--quiet");
    assert!(error.starts_with("error: ") && error.contains("\nhint: "), "{error}");
    assert!(said(&["-q", "-v", "plan", MODEL]).contains("cannot be used with"));
}

/// A warning of the library, which is no answer of a command.
#[test]
fn without_progress_warnings_stay() {
    let env = Env::new();
    env.answer(&["push", MODEL, &env.image("a/b:v1"), "--base", "scratch"]);
    env.hub.add_repo(MODEL, "main", tiny_model().file("new.json", "{}"));
    let output = env.run(&["push", MODEL, &env.image("a/b:v1"), "--base", "scratch", "--progress", "none"]);
    let stderr = text(&output.stderr);
    assert!(stderr.starts_with("warning: tag `v1` ") && stderr.lines().count() == 1, "{stderr}");
}

#[test]
fn colours_are_those_of_the_help() {
    let env = Env::new();
    let run = |args: &[&str], variable: Option<(&str, &str)>| {
        let mut command = env.command(args);
        command.envs(variable);
        text(&command.output().unwrap().stderr)
    };
    let gone = ["push", "acme/none", "r.example/a:v1", "--base", "scratch", "-q"];
    let with = |option: &'static str| [&gone[..], &["--color", option]].concat();
    let red = "\u{1b}[1m\u{1b}[31merror:\u{1b}[0m ";
    assert!(run(&with("always"), None).starts_with(red));
    assert!(run(&with("always"), None).contains("\n\u{1b}[32mhint:\u{1b}[0m "));
    assert!(run(&["--color", "always", "push", "--nope"], None).starts_with(red), "errors of the parser too");
    for (args, variable) in [
        (with("never"), None),
        (with("never"), Some(("CLICOLOR_FORCE", "1"))),
        (with("auto"), None),
        (gone.to_vec(), Some(("NO_COLOR", "1"))),
    ] {
        let said = run(&args, variable);
        assert!(said.starts_with("error: ") && !said.contains('\u{1b}'), "{args:?}: {said:?}");
    }
    assert!(run(&gone, Some(("CLICOLOR_FORCE", "1"))).starts_with(red));
    assert!(run(&with("loud"), None).contains("[possible values: auto, always, never]"));
}

#[test]
fn a_refused_connection_is_told_in_one_line() {
    let env = Env::new();
    // A port that nobody listens on: of a listener that is gone.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let output = env.run(&["inspect", &format!("127.0.0.1:{port}/a/b:v1"), "--plain-http"]);
    let stderr = text(&output.stderr);
    let cause = format!("  caused by: GET http://127.0.0.1:{port}/v2/a/b/manifests/v1: no answer: Connection refused");
    assert!(stderr.contains(&cause), "{stderr}");
    assert_eq!(stderr.lines().filter(|line| line.starts_with("  caused by: ")).count(), 1, "{stderr}");
}

/// The answer comes long after the line. Each command is ended when it has written the line.
#[test]
fn a_slow_registry_is_told() {
    let env = Env::new();
    let image = env.image("a/b:v1");
    env.answer(&["push", MODEL, &image, "--base", "scratch"]);
    env.registry.fault(FaultRule::new("/v2/", RegistryAction::DelayReply(std::time::Duration::from_mins(2))));
    let commands: [&[&str]; 4] =
        [&["doctor", &image], &["inspect", &image], &["inspect", "--lint", &image], &["render", &image, "--resolve"]];
    let started = commands.map(|args| {
        let mut command = env.command(args);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        (args, command.spawn().unwrap())
    });
    for (args, mut child) in started {
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let first = lines.next();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(first.as_ref().is_some_and(|line| line.starts_with("ask the registry: ")), "{args:?}: {first:?}");
    }
}
