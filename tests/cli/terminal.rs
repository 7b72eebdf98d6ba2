//! Answers and messages on a terminal: lines that are too long are broken between words. In a pipe a line stays one line.

use std::{io::Read, os::fd::OwnedFd};

use rustix::{
    fs::{self as files, Mode, OFlags},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};

use super::*;

/// What of a command's output a test looks at.
#[derive(Clone, Copy)]
enum Output {
    Answer,
    Messages,
}

/// Runs a command of whose output this goes to a terminal of this width, and returns it. The rest goes nowhere.
fn on_terminal(mut command: Command, output: Output, columns: u16) -> String {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap();
    let end: OwnedFd = files::open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
    tcsetwinsize(&end, Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    let mut child = match output {
        Output::Answer => command.stdout(end).stderr(Stdio::null()).spawn().unwrap(),
        Output::Messages => command.stderr(end).stdout(Stdio::null()).spawn().unwrap(),
    };
    // The command holds the other end of the terminal: without it the answer ends.
    drop(command);
    let mut answer = Vec::new();
    let _the_other_end_is_closed = fs::File::from(terminal).read_to_end(&mut answer);
    child.wait().unwrap();
    text(&answer).replace("\r\n", "\n")
}

/// Checks an answer, as [`same`] does, and returns it as in a pipe.
fn check(env: &Env, args: &[&str], columns: u16) -> String {
    let shown = on_terminal(env.command(args), Output::Answer, columns);
    let piped = text(&env.run(args).stdout);
    same(&shown, &piped, columns);
    piped
}

/// Checks that no line is wider than the terminal unless it is one word, or a name and one word, and that nothing but line
/// breaks and indents differs from what goes to a pipe.
fn same(shown: &str, piped: &str, columns: u16) {
    let wide = |line: &&str| line.chars().count() > usize::from(columns) && words(line).len() > 2;
    assert_eq!(shown.lines().find(wide), None, "{shown}");
    assert_eq!(words(shown), words(piped));
}

fn words(shown: &str) -> Vec<&str> {
    shown.split_whitespace().collect()
}

#[test]
fn lines_fit_into_the_terminal() {
    let env = Env::new();
    env.hub.add_repo(MODEL, "main", tiny_model().file("pytorch_model.bin", vec![7; 200_000]));
    let image = env.image("a/b:v1");
    env.answer(&["push", MODEL, &image, "--base", "scratch"]);
    for columns in [60, 80, 100] {
        let doctor = check(&env, &["doctor", &image], columns);
        assert!(doctor.lines().any(|line| line.chars().count() > 100), "{doctor}");
        let plan = check(&env, &["plan", MODEL, "--base", "scratch"], columns);
        assert!(plan.lines().any(|line| line.ends_with("and 1 more, which is packed")), "{plan}");
        check(&env, &["inspect", "--lint", &image], columns);
    }
    check(&env, &["inspect", &image], 100);
}

#[test]
fn messages_fit_into_the_terminal() {
    let env = Env::new();
    for args in [&["inspect", "oci:nowhere"][..], &["plan", "acme/nothing", "--base", "scratch"]] {
        let args = [args, &["--color", "never"]].concat();
        let piped = text(&env.run(&args).stderr);
        assert!(piped.lines().any(|line| line.chars().count() > 60), "{piped}");
        for columns in [50, 60] {
            let mut command = env.command(&args);
            command.env("TERM", "dumb");
            let shown = on_terminal(command, Output::Messages, columns);
            same(&shown, &piped, columns);
            assert!(shown.contains("error: ") && shown.contains("\n  caused by: "), "{shown}");
        }
    }
}
