//! Owns the question whether a tool is there, and where.

use std::{
    env,
    path::{Path, PathBuf},
};

use crate::{
    rows::{Row, Sink, Source, Tool},
    servers::beside,
};

/// The tools of one machine.
#[derive(Debug)]
pub struct Tools {
    /// The binaries of the virtual environment that `benches/rivals.sh` makes.
    venv: PathBuf,
}

impl Tools {
    /// Looks below `venv` and in `PATH`.
    pub fn new(venv: &Path) -> Self {
        Self { venv: venv.to_owned() }
    }

    /// Returns the path of a Python tool.
    pub(crate) fn python(&self, name: &str) -> PathBuf {
        self.venv.join("bin").join(name)
    }

    /// Returns the OCI layout of the base image that modelcar tools put below the weights.
    pub(crate) fn base_layout(&self) -> Option<PathBuf> {
        let folders = self.venv.join("lib").read_dir().ok()?;
        let mut layouts =
            folders.flatten().map(|python| python.path().join("site-packages/modelcar_base_image/embedded_oci_layout"));
        layouts.find(|layout| layout.exists())
    }

    /// Says why a row can't run here, if so.
    pub fn missing(&self, row: &Row) -> Option<String> {
        let docker = if row.to == Sink::Docker { &["docker-registry"][..] } else { &[] };
        let hf = if row.from == Source::Hub { &["hf"][..] } else { &[] };
        let (debian, python) = match row.tool {
            Tool::Hashes | Tool::Pipe => (&[][..], &[][..]),
            Tool::Modelcar => return beside("modelcar").err().map(|error| error.to_string()).or(not_in_path(docker)),
            Tool::OciModelcar(_) => (&[][..], &["oci-modelcar"][..]),
            Tool::Olot if hf.is_empty() => (&["skopeo"][..], &["olot"][..]),
            Tool::Olot => (&["skopeo"][..], &["olot", "hf"][..]),
            Tool::BuildahGzip | Tool::BuildahPlain => (&["buildah"][..], hf),
        };
        let no_python = || {
            let name = python.iter().find(|name| !self.python(name).exists())?;
            Some(format!("{name} is missing in {}: run benches/rivals.sh", self.venv.display()))
        };
        not_in_path(docker).or_else(|| not_in_path(debian)).or_else(no_python)
    }
}

fn not_in_path(names: &[&str]) -> Option<String> {
    let path = env::var_os("PATH").unwrap_or_default();
    let there = |name: &str| env::split_paths(&path).any(|folder| folder.join(name).is_file());
    let name = names.iter().find(|name| !there(name))?;
    Some(format!("{name} is not installed: apt-get install {name}"))
}
