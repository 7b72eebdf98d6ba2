//! `modelcar`: parses the command line, runs one command, prints its answer and chooses the exit status.

mod args;
mod cli;
mod clients;
mod commands;
mod hint;
mod interrupt;
mod log;
mod outcome;
mod remedies;
mod resolve;
mod ui;

use std::process::ExitCode;

use clap::Parser;

use self::{
    cli::{Cli, Command},
    hint::Failure,
    interrupt::stoppable,
    outcome::Outcome,
};

/// The GNU C library gives large buffers back to the system when they are freed and faults them in again; a body
/// comes in thousands of them. It stops doing so for sizes up to the largest that it has seen freed (mallopt(3),
/// "dynamic mmap threshold"), so one is shown to it. The memory is never touched.
fn keep_freed_buffers() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(8 << 20)));
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Err(failure) = log::start(cli.verbose) {
        return ui::finish(Err(failure));
    }
    keep_freed_buffers();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return ui::finish(Err(Failure::new(error, "start the runtime"))),
    };
    let result = runtime.block_on(run(cli));
    // A blocking read of a source that nobody waits for must not hold up the exit.
    runtime.shutdown_background();
    ui::finish(result)
}

async fn run(cli: Cli) -> Result<Outcome, Failure> {
    match cli.command {
        Command::Plan(args) => stoppable(Box::pin(commands::plan::run(*args))).await,
        Command::Push(args) => commands::push::run(*args).await,
        Command::Build(args) => commands::build::run(*args).await,
        Command::Inspect(args) => stoppable(Box::pin(commands::inspect::run(args))).await,
        Command::Doctor(args) => commands::doctor::run(args).await,
        Command::Render(args) => stoppable(Box::pin(commands::render::run(*args))).await,
        Command::Check(args) => commands::check::run(&args),
    }
}
