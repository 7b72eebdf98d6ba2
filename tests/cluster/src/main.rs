//! A one-node Kubernetes with KServe on this machine, and what modelcar's manifests do on it.
//!
//! `test` runs every scenario and prints a table; `up`, `apply`, `exec` and `down` are the same cluster for work by hand.
#![allow(clippy::print_stderr, clippy::print_stdout, reason = "a program whose answer is what it prints")]

mod cluster;
mod control_plane;
mod documents;
mod images;
mod kserve;
mod kubectl;
mod node;
mod parts;
mod program;
mod registry;
mod scenarios;
mod scene;
mod slow;
mod space;
mod wait;

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use clap::{Args, Parser, Subcommand};

use crate::{
    cluster::{Cluster, kubeconfig, logs_folder},
    parts::Parts,
    program::{output, run},
    scenarios::Sabotage,
    space::Space,
    wait::{Look, Result, heed_signals, soon, within},
};

/// A one-node Kubernetes with KServe, for modelcar's manifests
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Task,
    #[command(flatten)]
    choice: Choice,
}

/// What is run.
#[derive(Debug, Args)]
struct Choice {
    /// Release of KServe, one of those in tests/cluster/modules
    #[arg(long, global = true, value_name = "VERSION", default_value = "0.20.0")]
    kserve: String,
    /// The modelcar that is tried; default: built from this clone
    #[arg(long, global = true, value_name = "PATH")]
    modelcar: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Build the cluster's programs
    Build,
    /// Start a cluster and run the scenarios
    Test(TestArgs),
    /// Start a cluster and leave it running
    Up,
    /// Apply manifests in the running cluster, wait until every service is Ready, and check its pods
    Apply {
        /// Manifests; - reads them from stdin
        file: PathBuf,
    },
    /// Run a command in the running cluster's network, with kubectl and modelcar on its PATH
    Exec {
        /// The command
        #[arg(trailing_var_arg = true, required = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// End the running cluster
    Down,
    /// The cluster from inside: used by `up`
    #[command(hide = true)]
    InsideUp,
    /// The scenarios from inside: used by `test`
    #[command(hide = true)]
    InsideTest(TestArgs),
}

#[derive(Debug, Clone, Args)]
struct TestArgs {
    /// Only scenarios whose name holds this (can be repeated)
    #[arg(long, value_name = "TEXT")]
    only: Vec<String>,
    /// Scenarios side by side
    #[arg(long, value_name = "N", default_value_t = 8)]
    jobs: usize,
    /// Write the documents of the pods that fail into this folder, with what is right to say of them
    #[arg(long, value_name = "DIR")]
    documents: Option<PathBuf>,
    /// Break something that the scenarios must notice
    #[arg(long, value_enum)]
    sabotage: Option<Sabotage>,
}

fn main() -> ExitCode {
    match work(&Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("cluster: {error}");
            ExitCode::from(2)
        }
    }
}

fn work(cli: &Cli) -> Result<ExitCode> {
    heed_signals()?;
    let parts = Parts::new(&cli.choice.kserve)?;
    let space = Space::new(&parts)?;
    match &cli.command {
        Task::Build => {
            Parts::machine_has_all()?;
            parts.build()?;
            Ok(ExitCode::SUCCESS)
        }
        Task::Test(args) => {
            let modelcar = prepare(&parts, &space, &cli.choice)?;
            let mut inside = space.enter(&inside_test(args, &cli.choice, &modelcar), false)?;
            let status = space.wait(&mut inside)?;
            space.end()?;
            Ok(ExitCode::from(u8::try_from(status.code().unwrap_or(2)).unwrap_or(2)))
        }
        Task::Up => {
            let modelcar = prepare(&parts, &space, &cli.choice)?;
            let mut inside = space.enter(&inside("inside-up", &cli.choice, &modelcar), true)?;
            if let Err(error) = space.wait_until_up(&mut inside) {
                space.end()?;
                return Err(error);
            }
            println!("export KUBECONFIG={}", kubeconfig(&parts).display());
            eprintln!("The cluster is up. `make cluster-exec RUN='kubectl get nodes'` runs a command in it.");
            Ok(ExitCode::SUCCESS)
        }
        Task::Apply { file } => apply(&parts, &space, &cli.choice, file),
        Task::Exec { command } => {
            let words: Vec<&str> = command.iter().map(String::as_str).collect();
            let status = inside_command(&parts, &space, &cli.choice, &words)?.status()?;
            Ok(ExitCode::from(u8::try_from(status.code().unwrap_or(2)).unwrap_or(2)))
        }
        Task::Down => {
            space.end()?;
            Ok(ExitCode::SUCCESS)
        }
        Task::InsideUp => stay(&parts, &space, cli.choice.modelcar.as_deref()),
        Task::InsideTest(args) => test(&parts, args, cli.choice.modelcar.as_deref()),
    }
}

/// Builds everything. Returns the `modelcar` that is tried.
fn prepare(parts: &Parts, space: &Space, choice: &Choice) -> Result<PathBuf> {
    Parts::machine_has_all()?;
    space.is_free()?;
    parts.build()?;
    // What an earlier run could not put away.
    space.end()?;
    modelcar(parts, choice)
}

fn modelcar(parts: &Parts, choice: &Choice) -> Result<PathBuf> {
    if let Some(given) = &choice.modelcar {
        return Ok(given.canonicalize()?);
    }
    let mut cargo = Command::new("cargo");
    cargo.current_dir(&parts.workspace).args(["build", "--locked", "--quiet", "-p", "modelcar-cli"]);
    // A target that is set would put the program elsewhere.
    run(cargo.env_remove("CARGO_BUILD_TARGET"))?;
    Ok(parts.workspace.join("target/debug/modelcar"))
}

fn inside(task: &str, choice: &Choice, modelcar: &Path) -> Vec<String> {
    let modelcar = modelcar.display().to_string();
    let words = [task, "--kserve", &choice.kserve, "--modelcar", &modelcar];
    words.into_iter().map(str::to_owned).collect()
}

fn inside_test(args: &TestArgs, choice: &Choice, modelcar: &Path) -> Vec<String> {
    let mut words = inside("inside-test", choice, modelcar);
    words.extend(args.only.iter().map(|text| format!("--only={text}")));
    words.push(format!("--jobs={}", args.jobs));
    words.extend(args.documents.as_ref().map(|folder| format!("--documents={}", folder.display())));
    words.extend(args.sabotage.map(|sabotage| format!("--sabotage={}", sabotage.name())));
    words
}

/// Returns a command in the cluster's network, with the cluster's programs at hand.
fn inside_command(parts: &Parts, space: &Space, choice: &Choice, words: &[&str]) -> Result<Command> {
    let mut command = space.command()?;
    let modelcar = modelcar(parts, choice)?;
    let tools = modelcar.parent().ok_or("modelcar lies in a folder")?.display().to_string();
    command.args(words).env("KUBECONFIG", kubeconfig(parts));
    command.env("PATH", format!("{tools}:{}", parts.search_path()));
    Ok(command)
}

fn apply(parts: &Parts, space: &Space, choice: &Choice, file: &Path) -> Result<ExitCode> {
    let inside = |words: &[&str]| inside_command(parts, space, choice, words);
    let status = inside(&["kubectl", "apply", "-f", &file.display().to_string()])?.status()?;
    if !status.success() {
        return Ok(ExitCode::from(2));
    }
    let ask = "kubectl get isvc,llmisvc,deploy,rs,pod,events --all-namespaces -o json | modelcar check -";
    let checked = soon("every service to be Ready", || {
        let answer = output(&mut inside(&["sh", "-c", ask])?)?;
        let said = String::from_utf8_lossy(&answer.stdout).into_owned();
        Ok(if answer.status.success() { Look::Done(said) } else { Look::NotYet(said) })
    })?;
    print!("{checked}");
    Ok(ExitCode::SUCCESS)
}

/// Keeps a cluster up until `down` asks for its end.
fn stay(parts: &Parts, space: &Space, modelcar: Option<&Path>) -> Result<ExitCode> {
    let cluster = Cluster::start(parts, modelcar.unwrap_or(Path::new("modelcar")))?;
    std::fs::write(space.ready_file(), "")?;
    // There is no limit to how long somebody works with it.
    let asked = within("the end", u64::MAX, || {
        cluster.all_run()?;
        Ok(if space.stop_file().exists() { Look::Done(()) } else { Look::NotYet(String::new()) })
    });
    cluster.end();
    asked.map(|()| ExitCode::SUCCESS)
}

fn test(parts: &Parts, args: &TestArgs, modelcar: Option<&Path>) -> Result<ExitCode> {
    let mut cluster = Cluster::start(parts, modelcar.unwrap_or(Path::new("modelcar")))?;
    cluster.documents.clone_from(&args.documents);
    let passed = scenarios::run(&cluster, &args.only, args.jobs, args.sabotage);
    cluster.end();
    if !passed? {
        eprintln!("logs: {}", logs_folder(parts).display());
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}
