//! Threads for work that lasts as long as a layer flows.
//!
//! tokio's blocking threads are for short work. As many long ones as a runtime has of them would wait for each other for
//! ever, and a program may have set `max_blocking_threads` to one.

use std::{
    pin::Pin,
    task::{Context, Poll},
    thread,
};

use futures_util::FutureExt;
use tokio::sync::oneshot;

use crate::error::{Error, ErrorKind, ModelcarError, OtherError};

impl From<tokio::task::JoinError> for Error {
    fn from(error: tokio::task::JoinError) -> Self {
        OtherError::new("a worker task ended unexpectedly", ErrorKind::Internal, error).into()
    }
}

/// The thread could not be started, or panicked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a worker thread could not be started or ended unexpectedly")]
pub(crate) struct ThreadEnded;

impl ModelcarError for ThreadEnded {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Internal
    }
}

/// What a thread will give. Dropping it leaves the thread to end by itself.
#[derive(Debug)]
pub(crate) struct Running<T>(oneshot::Receiver<T>);

/// Runs `work` on a thread of its own, called `name` where threads are listed.
pub(crate) fn spawn<T: Send + 'static>(name: &str, work: impl FnOnce() -> T + Send + 'static) -> Running<T> {
    let (sender, receiver) = oneshot::channel();
    let run = move || {
        // Nobody may wait any more.
        let _nobody_waits = sender.send(work());
    };
    // Where the system gives no thread, the sender is dropped, and the receiver says so.
    drop(thread::Builder::new().name(name.to_owned()).spawn(run));
    Running(receiver)
}

impl<T> Future for Running<T> {
    type Output = Result<T, ThreadEnded>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll_unpin(context).map_err(|_| ThreadEnded)
    }
}
