//! `modelcar`: parses the command line, runs one command, prints its answer and chooses the exit status.
//!
//! The answer goes to stdout. Progress, warnings, errors, hints and the log go to stderr. The exit status is 0 for
//! success, 1 for a check that found a problem, 2 for an error and 130 for a command that was interrupted.
#![allow(rustdoc::bare_urls, reason = "the comments of commands and options are help texts")]

/// The address of a page of the guide: who has the binary alone has no folder `docs`.
macro_rules! docs {
    ($page:literal) => {
        concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/docs/", $page)
    };
}

mod args;
mod cli;
mod clients;
mod commands;
mod hint;
mod interrupt;
mod log;
mod mistyped;
mod open_files;
mod outcome;
#[cfg(test)]
mod reference_tests;
mod remedies;
mod resolve;
#[cfg(test)]
mod schema_tests;
mod ui;
mod variables;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use self::{
    cli::{Cli, Command},
    hint::Failure,
    interrupt::stoppable,
    outcome::Outcome,
};

/// Keeps the GNU C library from giving large buffers back to the system as soon as they are freed.
///
/// A layer comes in thousands of large buffers, and memory that was given back has to be faulted in again. The library
/// stops giving buffers back that are not larger than the largest buffer which it has seen freed (mallopt(3), "dynamic
/// mmap threshold"). So one large buffer is allocated and freed here. Its memory is never touched.
fn keep_freed_buffers() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(8 << 20)));
}

/// Sets up the log and the runtime, and runs the command to its end.
fn main() -> ExitCode {
    ui::start_colors();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // The help and the version, which somebody asked for.
        Err(error) if !error.use_stderr() => error.exit(),
        Err(error) => {
            let args: Vec<_> = std::env::args_os().collect();
            ui::refuse(&mistyped::told(error, &args));
            return ExitCode::from(2);
        }
    };
    let format = cli.command.format();
    let finish = |result| ui::finish(Outcome::or_document(result, format));
    ui::start(cli.progress(), cli.quiet);
    if let Err(failure) = log::start(cli.verbose) {
        return finish(Err(failure));
    }
    keep_freed_buffers();
    if let Err(error) = open_files::check() {
        return finish(Err(Failure::new(error, "start")));
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return finish(Err(Failure::new(error, "start the runtime"))),
    };
    let result = runtime.block_on(run(cli));
    // A blocking read of a source that nobody waits for must not hold up the exit.
    runtime.shutdown_background();
    finish(result)
}

/// Runs the command.
///
/// A command that writes nothing outside this machine can be stopped anywhere ([`stoppable`]). `push`, `build` and
/// `doctor` wait for the interrupt themselves, because they have to remove upload sessions or unfinished files.
/// The others wait for no network and are ended by the signal itself.
async fn run(cli: Cli) -> Result<Outcome, Failure> {
    match cli.command {
        Command::Plan(args) => stoppable(Box::pin(commands::plan::run(*args))).await,
        Command::Push(args) => Box::pin(commands::push::run(*args)).await,
        Command::Build(args) => commands::build::run(*args).await,
        Command::Download(args) => commands::download::run(*args).await,
        Command::Inspect(args) => stoppable(Box::pin(commands::inspect::run(args))).await,
        Command::Base(args) => commands::base::run(args).await,
        Command::Doctor(args) => Box::pin(commands::doctor::run(args)).await,
        Command::Render(args) => stoppable(Box::pin(commands::render::run(*args))).await,
        Command::Pin(args) => commands::pin::run(&args),
        Command::Check(args) => commands::check::run(&args),
        Command::Completions(args) => commands::completions::run(&args, &Cli::command()),
        Command::Man(args) => commands::man::run(&args, Cli::command()),
    }
}
