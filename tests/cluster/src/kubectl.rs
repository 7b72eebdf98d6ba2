//! The cluster's API, asked with its own client.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;

use crate::{
    program::{output, output_of, run},
    wait::{Result, patiently},
};

/// `kubectl` with the administrator's login.
#[derive(Debug, Clone)]
pub(crate) struct Kubectl {
    program: PathBuf,
    config: PathBuf,
}

impl Kubectl {
    pub(crate) fn new(program: PathBuf, config: &Path) -> Self {
        Self { program, config: config.to_owned() }
    }

    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    /// The file with the login.
    pub(crate) fn config(&self) -> &Path {
        &self.config
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--kubeconfig").arg(&self.config).arg("--request-timeout=120s").args(args);
        command
    }

    /// Returns what `kubectl` prints.
    pub(crate) fn run(&self, args: &[&str]) -> Result<String> {
        patiently(|| run(&mut self.command(args)))
    }

    /// Returns status and output, whatever they are.
    pub(crate) fn output(&self, args: &[&str]) -> Result<Output> {
        output(&mut self.command(args))
    }

    pub(crate) fn json(&self, args: &[&str]) -> Result<Value> {
        Ok(serde_json::from_str(&self.run(&[args, &["-o", "json"]].concat())?)?)
    }

    /// Applies documents in YAML or JSON.
    pub(crate) fn apply(&self, args: &[&str], documents: &str) -> Result {
        self.feed(&[&["apply", "-f", "-"], args].concat(), documents).map(drop)
    }

    /// Runs `kubectl` with `documents` as its input and returns what it prints.
    pub(crate) fn feed(&self, args: &[&str], documents: &str) -> Result<String> {
        patiently(|| {
            let answer = output_of(&mut self.command(args), documents.as_bytes())?;
            if answer.status.success() {
                return Ok(String::from_utf8(answer.stdout)?);
            }
            Err(format!("kubectl {}: {}", args.join(" "), String::from_utf8_lossy(&answer.stderr).trim()).into())
        })
    }

    /// Merges a patch into an object.
    pub(crate) fn patch(&self, object: &[&str], patch: &Value) -> Result {
        let patch = patch.to_string();
        self.run(&[&["patch"], object, &["--type=merge", "-p", &patch]].concat()).map(drop)
    }
}
