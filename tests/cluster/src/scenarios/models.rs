//! The models that scenarios serve, pushed once.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    cluster::Cluster,
    images::{Run, real_parts},
    registry,
    scene::{Model, push, push_to},
    wait::Result,
};

/// A static shell for the base of images.
pub(super) const SHELL: [&str; 2] = ["--base-binary", "/usr/bin/busybox"];

/// Models in the test registries.
pub(super) struct Models {
    /// A model that generates text.
    pub(super) tiny: Model,
    /// The same with another shard.
    pub(super) revised: Model,
    /// The first one, where a login is needed.
    pub(super) private: Model,
    /// The first one without anything below its weights.
    pub(super) scratch: Model,
    /// The first one with a file of its own, which no node has.
    pub(super) slow: Model,
    /// One file in GGUF.
    pub(super) gguf: Model,
    /// Images with a shell and no model: of user 1010, of root, and of a user with a name.
    pub(super) shell: String,
    pub(super) root: String,
    pub(super) named: String,
    /// A sentence embedder that works, or why there is none.
    pub(super) real: std::result::Result<Real, String>,
}

/// A real model with the Python that serves it.
pub(super) struct Real {
    pub(super) model: Model,
    pub(super) python: PathBuf,
    pub(super) folder: PathBuf,
}

impl Models {
    pub(super) fn push(cluster: &Cluster) -> Result<Self> {
        let tiny = cluster.parts.workspace.join("fixtures/tiny-model");
        let (revised, gguf) = (cluster.state.join("models/revised"), cluster.state.join("models/gguf"));
        copy(&tiny, &revised)?;
        let shard = revised.join("model-00002-of-00002.safetensors");
        let mut bytes = fs::read(&shard)?;
        if let Some(last) = bytes.last_mut() {
            *last ^= 1;
        }
        fs::write(shard, bytes)?;
        let slow = cluster.state.join("models/slow");
        copy(&tiny, &slow)?;
        fs::write(slow.join("notes.txt"), noise(6 << 20))?;
        fs::create_dir_all(&gguf)?;
        fs::write(gguf.join("tiny-Q4_K_M.gguf"), gguf_bytes())?;
        fs::copy(tiny.join("config.json"), gguf.join("config.json"))?;
        let real = real_parts().and_then(|(python, folder)| {
            let make = || {
                cluster.images.real_server(&cluster.parts, &python)?;
                push(cluster, &folder, "minilm", &SHELL)
            };
            let model = make().map_err(|error| error.to_string())?;
            Ok(Real { model, python, folder })
        });
        Ok(Self {
            tiny: push(cluster, &tiny, "tiny", &SHELL)?,
            revised: push(cluster, &revised, "tiny", &SHELL)?,
            private: push_to(cluster, &tiny, registry::PRIVATE, "tiny", &SHELL)?,
            scratch: push(cluster, &tiny, "scratch", &["--base", "scratch"])?,
            slow: push(cluster, &slow, "slow", &SHELL)?,
            gguf: push(cluster, &gguf, "gguf", &SHELL)?,
            shell: bare(cluster, "shell", "1010")?,
            root: bare(cluster, "as-root", "0")?,
            named: bare(cluster, "as-nobody", "nobody")?,
            real,
        })
    }
}

/// Pushes an image with a shell and without a model.
fn bare(cluster: &Cluster, tag: &str, user: &str) -> Result<String> {
    cluster.images.derive(tag, "huggingface", Run { user, entrypoint: &[] })?;
    cluster.images.push(tag, &format!("{}/models/{tag}:v1", registry::OPEN))
}

fn copy(from: &Path, to: &Path) -> Result {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Returns bytes that no other file has and that no runtime can make smaller.
fn noise(count: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()[3]
    };
    (0..count).map(|_| next()).collect()
}

/// Returns the header of a GGUF file with one entry and no tensors, and bytes behind it.
fn gguf_bytes() -> Vec<u8> {
    let mut bytes = b"GGUF".to_vec();
    bytes.extend(3_u32.to_le_bytes());
    bytes.extend(0_u64.to_le_bytes());
    bytes.extend(1_u64.to_le_bytes());
    let text = |bytes: &mut Vec<u8>, text: &str| {
        bytes.extend((text.len() as u64).to_le_bytes());
        bytes.extend(text.as_bytes());
    };
    text(&mut bytes, "general.architecture");
    bytes.extend(8_u32.to_le_bytes());
    text(&mut bytes, "llama");
    bytes.extend([7_u8; 4096]);
    bytes
}
