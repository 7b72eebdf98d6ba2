//! Every public future is `Send`: a server awaits them in spawned tasks. A future that is not does not compile here.

use std::path::PathBuf;

use modelcar_core::{ImageRef, registry::Repository};

use crate::lint;

/// Takes a future as `tokio::spawn` takes one.
fn is_send(future: impl Future + Send) {
    drop(future);
}

/// What the futures are of; never called, since the compiler is the one who checks.
fn of_lint(repository: Repository, image: ImageRef, path: PathBuf) {
    is_send(async move {
        drop(lint::registry(&repository, &image, lint::LintOptions::default()).await);
        drop(lint::layout(&path, None, lint::LintOptions::default()).await);
    });
}

#[test]
fn every_public_future_is_send() {
    let _ = of_lint;
}
