//! The limit of files that a process may have open at once, which connections count towards too.

use std::{error::Error, io};

use rustix::{
    fd::OwnedFd,
    io::{Errno, fcntl_dupfd_cloexec},
    process::{Resource, getrlimit},
};

/// Number of files that every command needs at the least, beside those that are open at its start.
const LEAST: usize = 12;

/// Checks that the process may open the files that every command needs. The runtime panics with fewer.
///
/// # Errors
/// When the limit is too low.
pub(crate) fn check() -> io::Result<()> {
    let open = || (0..LEAST).map(|_| fcntl_dupfd_cloexec(io::stderr(), 0)).collect::<Result<Vec<OwnedFd>, Errno>>();
    match open() {
        Err(error @ (Errno::MFILE | Errno::NFILE)) => Err(error.into()),
        // Without a stderr nothing can be told; whatever fails later has its own error.
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Returns what to do if an error, or one of its causes, is that this process or the system has too many open files.
///
/// The system gives this error wherever a file is opened or a connection is made, so the hints for what was being done
/// would mislead.
pub(crate) fn hint(error: &(dyn Error + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        let system = error.downcast_ref::<io::Error>();
        match system.and_then(Errno::from_io_error) {
            Some(Errno::MFILE) => return Some(own_limit()),
            Some(Errno::NFILE) => {
                return Some("the whole system has too many open files: end other programs".to_owned());
            }
            _ => {}
        }
        // `source()` of an I/O error skips the error that it wraps.
        let wrapped = system.and_then(io::Error::get_ref);
        next = wrapped.map(|inner| inner as &(dyn Error + 'static)).or_else(|| error.source());
    }
    None
}

/// Names the limit of this process, and how to get by with it.
fn own_limit() -> String {
    let limit = getrlimit(Resource::Nofile).current.map_or_else(|| "so many".to_owned(), |limit| limit.to_string());
    format!(
        "this process may have {limit} files and connections open at once, which is too few: raise the limit with \
         `ulimit -n 1024`, or use fewer with --jobs 1 --connections 1"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_is_found_at_any_depth() {
        let found = |error: io::Error| hint(&error);
        let full = || io::Error::from(Errno::MFILE);
        assert!(found(full()).is_some_and(|hint| hint.contains("ulimit -n 1024")));
        assert!(found(io::Error::other(io::Error::other(full()))).is_some());
        assert!(found(io::Error::from(Errno::NFILE)).is_some_and(|hint| hint.contains("the whole system")));
        for other in [io::Error::from(Errno::NOENT), io::Error::other("too many open files")] {
            assert_eq!(found(other), None);
        }
    }
}
