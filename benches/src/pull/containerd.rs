//! Owns the question which releases of containerd are there.

use std::{
    env, fmt, io,
    path::{Path, PathBuf},
    process::Command,
};

use serde::Serialize;

/// A release of containerd: a folder with the programs `containerd` and `ctr`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Containerd {
    folder: PathBuf,
    /// As the program prints the version, without what a distribution adds; empty if the program is missing.
    version: String,
    /// How to get the program.
    remedy: &'static str,
}

impl Containerd {
    /// The release that `make cluster-programs` builds, or another one in `folder`.
    ///
    /// # Errors
    /// When the program is there and can't be started.
    pub fn built(folder: &Path) -> io::Result<Self> {
        Self::new(std::path::absolute(folder)?, "make cluster-programs")
    }

    /// The release that is installed.
    ///
    /// # Errors
    /// When the program is there and can't be started.
    pub fn installed() -> io::Result<Self> {
        let path = env::var_os("PATH").unwrap_or_default();
        let folder = env::split_paths(&path).find(|folder| folder.join("containerd").is_file());
        Self::new(folder.unwrap_or_else(|| "/usr/bin".into()), "benches/rivals.sh")
    }

    fn new(folder: PathBuf, remedy: &'static str) -> io::Result<Self> {
        let mut new = Self { folder, version: String::new(), remedy };
        if new.missing().is_none() {
            let said = Command::new(new.program("containerd")).arg("--version").output()?.stdout;
            let said = String::from_utf8_lossy(&said).into_owned();
            let version = said.split_whitespace().nth(2).unwrap_or_default();
            version.trim_start_matches('v').split(['~', '+']).next().unwrap_or_default().clone_into(&mut new.version);
        }
        Ok(new)
    }

    /// Returns the path of a program.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Says which program is missing, if so.
    pub(crate) fn missing(&self) -> Option<String> {
        let name = ["containerd", "ctr"].into_iter().find(|name| !self.program(name).is_file())?;
        Some(format!("{} is missing: {}", self.program(name).display(), self.remedy))
    }

    /// Release 2 and later pull by the transfer service, as the kubelet does; in release 1 the client pulls.
    pub(crate) fn has_transfer_service(&self) -> bool {
        !self.version.starts_with("1.")
    }
}

impl fmt::Display for Containerd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.version.as_str() {
            "" => write!(f, "containerd in {}", self.folder.display()),
            version => write!(f, "containerd {version}"),
        }
    }
}
