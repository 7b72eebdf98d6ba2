//! The scripts by which shells complete, and the man pages, each read by the program that they are for.

use super::*;

/// Returns whether a program is there. In CI each of them is.
fn has(program: &str) -> bool {
    let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output().unwrap().status.success();
    assert!(found || std::env::var_os("MODELCAR_REQUIRE_INTEROP").is_none(), "{program} is missing");
    if !found {
        println!("skipped: {program} is not installed");
    }
    found
}

/// Returns what bash offers for the last of `words`.
fn offered(script: &str, words: &str) -> Vec<String> {
    let run = format!(
        "source /dev/stdin; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
         $(complete -p modelcar | sed 's/.*-F \\([^ ]*\\).*/\\1/') modelcar \"${{COMP_WORDS[COMP_CWORD]}}\" \
         \"${{COMP_WORDS[COMP_CWORD-1]}}\"; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    );
    let mut bash = Command::new("bash");
    bash.args(["--norc", "-c", &run]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut bash = bash.spawn().unwrap();
    std::io::Write::write_all(&mut bash.stdin.take().unwrap(), script.as_bytes()).unwrap();
    let output = bash.wait_with_output().unwrap();
    assert_eq!(text(&output.stderr), "", "{words}");
    text(&output.stdout).lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_options_and_values() {
    if !has("bash") {
        return;
    }
    let script = Env::new().answer(&["completions", "bash"]);
    assert_eq!(offered(&script, "modelcar pu"), ["push"]);
    assert_eq!(offered(&script, "modelcar push --digest"), ["--digest-file"]);
    assert_eq!(offered(&script, "modelcar push --format ''"), ["text", "json"]);
    assert_eq!(offered(&script, "modelcar completions z"), ["zsh"]);
    let commands = offered(&script, "modelcar ''");
    assert!(commands.contains(&"inspect".to_owned()) && !commands.contains(&"man".to_owned()), "{commands:?}");
}

#[test]
fn each_shell_reads_its_script() {
    let env = Env::new();
    for (shell, said) in [("bash", "complete -F"), ("zsh", "#compdef modelcar"), ("fish", "complete -c modelcar")] {
        let script = env.answer(&["completions", shell]);
        assert!(script.contains(said) && script.contains("no-verify-push"), "{shell}");
        fs::write(env.dir.path().join(shell), &script).unwrap();
        if has(shell) {
            let output = Command::new(shell).arg("-n").arg(env.dir.path().join(shell)).output().unwrap();
            assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""), "{shell}");
        }
    }
    env.refused(&["completions", "tcsh"], &["bash, zsh, fish"]);
}

#[test]
fn fish_completes_commands_and_options() {
    if !has("fish") {
        return;
    }
    let env = Env::new();
    let script = env.dir.path().join("modelcar.fish");
    fs::write(&script, env.answer(&["completions", "fish"])).unwrap();
    let offered = |words: &str| {
        let mut fish = Command::new("fish");
        fish.args(["--no-config", "-c", &format!("source {}; complete -C '{words}'", script.display())]);
        let output = fish.env("HOME", env.dir.path()).output().unwrap();
        assert_eq!(text(&output.stderr), "", "{words}");
        let words = |line: &str| line.split('\t').next().unwrap().to_owned();
        text(&output.stdout).lines().map(words).collect::<Vec<_>>()
    };
    assert_eq!(offered("modelcar pu"), ["push"]);
    assert_eq!(offered("modelcar push --digest"), ["--digest-file"]);
}

#[test]
fn every_command_has_a_man_page_that_renders() {
    let env = Env::new();
    assert_eq!(env.answer(&["man", "new/man1"]), "new/man1");
    let folder = env.dir.path().join("new/man1");
    let mut names: Vec<String> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert!(names.contains(&"modelcar.1".to_owned()) && names.contains(&"modelcar-push.1".to_owned()), "{names:?}");
    let root = fs::read_to_string(folder.join("modelcar.1")).unwrap();
    for name in names.iter().filter_map(|name| name.strip_prefix("modelcar-")?.strip_suffix(".1")) {
        assert!(root.contains(&format!("modelcar\\-{name}(1)")), "modelcar.1 does not name {name}");
    }
    for section in [".SH ENVIRONMENT", "HF_TOKEN", ".SH EXAMPLES", ".SH \"SEE ALSO\""] {
        assert!(root.contains(section), "{section}");
    }
    if !has("groff") {
        return;
    }
    for name in &names {
        let mut groff = Command::new("groff");
        groff.args(["-man", "-Tutf8", "-ww", "-k", "-rLL=100n"]).arg(folder.join(name));
        let output = groff.output().unwrap();
        assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""), "{name}");
        let title = format!("{}(1)", name.strip_suffix(".1").unwrap());
        assert!(text(&output.stdout).contains(&title), "{name}");
    }
    fs::write(env.dir.path().join("file"), "").unwrap();
    env.refused(&["man", "file/x"], &["write man pages into `file/x`", "hint: "]);
}
