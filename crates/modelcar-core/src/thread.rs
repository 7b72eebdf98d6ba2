//! Threads for work that lasts as long as the upload of a layer.
//!
//! Such work does not run on tokio's blocking threads, which are for short work: their number is limited. Two long
//! tasks that need each other would wait for ever if the runtime had a thread for one of them only, and a program may
//! have set `max_blocking_threads` to one.

use std::{
    pin::Pin,
    task::{Context, Poll},
    thread,
};

use futures_util::FutureExt;
use tokio::sync::oneshot;

use crate::error::{Error, ErrorKind, ModelcarError, OtherError};

/// A task of the runtime panicked or was cancelled. Neither is expected, so the error is a defect of this library.
impl From<tokio::task::JoinError> for Error {
    fn from(error: tokio::task::JoinError) -> Self {
        OtherError::new("a worker task ended unexpectedly", ErrorKind::Internal, error).into()
    }
}

/// The operating system gave no thread, or the work panicked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a worker thread could not be started or ended unexpectedly")]
pub(crate) struct ThreadEnded;

impl ModelcarError for ThreadEnded {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Internal
    }
}

/// The result that a thread will give: a future. Dropping the future does not stop the thread, which ends by itself.
#[derive(Debug)]
pub(crate) struct Running<T>(oneshot::Receiver<T>);

/// Runs `work` on a thread of its own. `name` is the thread's name in debuggers and in lists of threads.
///
/// A thread that can't be started is told by the returned future and not here.
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
    /// The result of the work, or [`ThreadEnded`].
    type Output = Result<T, ThreadEnded>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll_unpin(context).map_err(|_| ThreadEnded)
    }
}
