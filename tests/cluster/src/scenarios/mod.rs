//! The scenarios, run side by side where they leave each other alone, and the table of what came of them.

mod admission;
mod changes;
mod cold;
mod failing;
mod guide;
mod images;
mod kinds;
mod models;
mod options;
mod strict;
mod users;

use std::{
    path::PathBuf,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Instant,
};

use clap::ValueEnum;

use self::models::Models;
use crate::{
    cluster::Cluster,
    scene::{Scene, text},
    wait::{Result, is_interrupted},
};

/// Something broken on purpose, to see that the scenarios notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sabotage {
    /// Manifests have a group without a user, as the first ones had
    GroupAlone,
    /// KServe's webhook for pods is not registered
    NoWebhook,
}

impl Sabotage {
    /// Returns the name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::GroupAlone => "group-alone",
            Self::NoWebhook => "no-webhook",
        }
    }
}

/// What became of a scenario.
#[derive(Debug)]
enum Outcome {
    /// Ready, and every file's hash in the server is the source's.
    Ready { files: usize },
    /// It is as it should be, in words.
    As(String),
    /// It was refused as it should be: by whom, and with what words.
    Refused { by: &'static str, why: String },
    /// A part of the machine is missing.
    Skipped(String),
}

/// One thing that is tried.
struct Scenario {
    name: String,
    /// Whether it changes what others rely on.
    alone: bool,
    /// Whether it runs only where its name is asked for: it measures, and proves nothing that others don't.
    on_request: bool,
    act: Box<Act>,
}

type Act = dyn Fn(&Scene<'_>, &Models) -> Result<Outcome> + Send + Sync;

impl Scenario {
    fn new(name: &str, act: impl Fn(&Scene<'_>, &Models) -> Result<Outcome> + Send + Sync + 'static) -> Self {
        Self { name: name.to_owned(), alone: false, on_request: false, act: Box::new(act) }
    }

    /// One that runs when no other one does.
    fn alone(name: &str, act: impl Fn(&Scene<'_>, &Models) -> Result<Outcome> + Send + Sync + 'static) -> Self {
        Self { alone: true, ..Self::new(name, act) }
    }
}

/// A line of the table.
struct Row {
    name: String,
    seconds: f32,
    outcome: Result<Outcome>,
}

/// Runs the scenarios whose name holds one of `only`, or all, and prints the table. Returns whether all passed.
pub(crate) fn run(cluster: &Cluster, only: &[String], jobs: usize, sabotage: Option<Sabotage>) -> Result<bool> {
    if sabotage == Some(Sabotage::NoWebhook) {
        cluster.kubectl.run(&["delete", "mutatingwebhookconfiguration", "inferenceservice.serving.kserve.io"])?;
    }
    let models = Models::push(cluster)?;
    let all: Vec<Scenario> = [
        kinds::scenarios(),
        options::scenarios(),
        images::scenarios(),
        strict::scenarios(),
        admission::scenarios(),
        changes::scenarios(),
        users::scenarios(),
        guide::scenarios(),
        failing::scenarios(),
        cold::scenarios(),
    ]
    .into_iter()
    .flatten()
    .filter(|scenario| match only {
        [] => !scenario.on_request,
        only => only.iter().any(|text| scenario.name.contains(text)),
    })
    .collect();
    let (alone, together): (Vec<_>, Vec<_>) = all.into_iter().partition(|scenario| scenario.alone);
    let start = Instant::now();
    let mut rows = side_by_side(cluster, &models, &together, jobs, sabotage);
    rows.extend(alone.iter().map(|scenario| try_one(cluster, &models, scenario, sabotage)));
    print_table(&rows, start.elapsed().as_secs());
    Ok(!rows.is_empty() && rows.iter().all(|row| passed(&row.outcome)))
}

fn side_by_side(
    cluster: &Cluster,
    models: &Models,
    scenarios: &[Scenario],
    jobs: usize,
    sabotage: Option<Sabotage>,
) -> Vec<Row> {
    let (next, rows) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, 32) {
            scope.spawn(|| {
                while let Some(scenario) = scenarios.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let row = try_one(cluster, models, scenario, sabotage);
                    rows.lock().unwrap_or_else(PoisonError::into_inner).push((scenario.name.clone(), row));
                }
            });
        }
    });
    let mut rows = rows.into_inner().unwrap_or_else(PoisonError::into_inner);
    let place = |name: &str| scenarios.iter().position(|scenario| scenario.name == name);
    rows.sort_by_key(|(name, _)| place(name));
    rows.into_iter().map(|(_, row)| row).collect()
}

fn try_one(cluster: &Cluster, models: &Models, scenario: &Scenario, sabotage: Option<Sabotage>) -> Row {
    let start = Instant::now();
    let outcome = if is_interrupted() {
        Err("interrupted".into())
    } else {
        Scene::new(cluster, &scenario.name, sabotage).and_then(|scene| {
            let outcome = (scenario.act)(&scene, models);
            if outcome.is_err() {
                keep_documents(&scene);
            }
            scene.leave();
            outcome
        })
    };
    let row = Row { name: scenario.name.clone(), seconds: start.elapsed().as_secs_f32(), outcome };
    eprintln!("{}", line(&row));
    row
}

/// Writes what the cluster says of a scenario that failed beside the logs.
fn keep_documents(scene: &Scene<'_>) {
    let file: PathBuf = crate::cluster::logs_folder(&scene.cluster.parts).join(format!("{}.json", scene.namespace));
    if let Ok(documents) = scene.kubectl(&["get", "isvc,llmisvc,deploy,rs,ds,pod,events", "-o", "json"]) {
        std::fs::write(file, documents).ok();
    }
}

fn passed(outcome: &Result<Outcome>) -> bool {
    match outcome {
        // What a clean machine for the tests must have is no reason to leave a scenario out.
        Ok(Outcome::Skipped(_)) => std::env::var_os("MODELCAR_REQUIRE_INTEROP").is_none(),
        Ok(_) => true,
        Err(_) => false,
    }
}

fn print_table(rows: &[Row], seconds: u64) {
    println!("\n{:<34} {:>7}  {:<8} outcome", "scenario", "seconds", "hashes");
    for row in rows {
        println!("{}", line(row));
    }
    let (good, bad): (Vec<&Row>, Vec<&Row>) = rows.iter().partition(|row| passed(&row.outcome));
    println!("\n{} passed, {} failed\nscenarios took {seconds} s", good.len(), bad.len());
    // Whoever sees the end of a log alone has to see what failed.
    for row in bad {
        println!("{}", line(row));
    }
}

fn line(row: &Row) -> String {
    let (hashes, outcome) = match &row.outcome {
        Ok(Outcome::Ready { files }) => (format!("{files} equal"), "Ready".to_owned()),
        Ok(Outcome::As(what)) => (String::new(), what.clone()),
        Ok(Outcome::Refused { by, why }) => (String::new(), format!("refused by {by}: {why}")),
        Ok(Outcome::Skipped(why)) => (String::new(), format!("SKIPPED: {why}")),
        Err(error) => (String::new(), format!("FAILED: {error}")),
    };
    let outcome: String = outcome.replace('\n', " ").chars().take(400).collect();
    format!("{:<34} {:>7.1}  {:<8} {outcome}", row.name, row.seconds, hashes)
}

/// Returns the refusal of a command that must fail.
fn refusal(by: &'static str, answer: &std::process::Output) -> Result<Outcome> {
    if answer.status.success() {
        return Err(format!("{by} refused nothing").into());
    }
    let said = text(&answer.stderr);
    Ok(Outcome::Refused { by, why: said.lines().next().unwrap_or_default().to_owned() })
}
