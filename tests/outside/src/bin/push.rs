//! `push MODEL IMAGE BASE SECONDS`: a push with a progress bar, a deadline, Ctrl-C, and another try where that helps.
use std::{sync::Arc, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};
use modelcar_core::{
    BuildOptions, Error, ErrorKind, ImageRef,
    progress::{self, Event, Progress},
    push::{ModelContents, Push, Pushed},
};
use modelcar_env::Environment;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

fn bar() -> impl Progress {
    let style = ProgressStyle::with_template("{wide_bar} {bytes}/{total_bytes} {eta} {msg}").expect("a template");
    let bar = ProgressBar::no_length().with_style(style);
    progress::from_fn(move |event| match event {
        Event::Phase { phase } => bar.set_message(phase.to_string()),
        Event::Planned { bytes, .. } => bar.set_length(*bytes),
        Event::LayerAdvanced { bytes, .. } => bar.inc(*bytes),
        Event::LayerReused { size, .. } => bar.inc(*size),
        Event::Retrying { what, reason, .. } => bar.println(format!("{what} again: {reason}")),
        Event::Warning { message } => bar.println(format!("warning: {message}")),
        Event::Published { .. } => bar.finish(),
        _ => {}
    })
}

async fn push(args: &[String], stop: &CancellationToken) -> Result<Pushed, Error> {
    let image: ImageRef = args[1].parse()?;
    let contents = ModelContents::new(args[0].parse()?).with_base(args[2].parse()?);
    // Google's Application Default Credentials, and what else the environment has.
    let connections = Environment::read()?.connections(Some(&image))?;
    let options = BuildOptions { progress: Arc::new(bar()), ..BuildOptions::default() };
    let push = Push::new(contents, image, connections).with_build_options(options);
    push.prepare_until(stop.cancelled()).await?.run_until(stop.cancelled()).await
}

#[tokio::main]
async fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let stop = CancellationToken::new();
    let (deadline, canceller) = (Duration::from_secs(args[3].parse().expect("seconds")), stop.clone());
    tokio::spawn(async move {
        tokio::select! { _ = tokio::signal::ctrl_c() => {}, () = sleep(deadline) => {} }
        canceller.cancel();
    });
    let mut tries = 0;
    let error = loop {
        tries += 1;
        match push(&args, &stop).await {
            Ok(pushed) => return println!("{}", pushed.image),
            Err(error) if error.is_retryable() && tries < 3 => sleep(error.retry_after().unwrap_or_default()).await,
            Err(error) => break error,
        }
    };
    eprintln!("{} ({:?})", error.chain(), error.kind());
    std::process::exit(if error.kind() == ErrorKind::Stopped { 130 } else { 1 })
}
