//! Owns the raw pipe: the same bytes from the Hub into a registry, with blocking sockets, no tar and no hash.
//!
//! A thread for each pair of connections reads into one buffer and writes it out again. Digests are known beforehand.

use std::{io, str::FromStr, sync::Mutex, thread};

use crate::{
    http::{Connection, expect, place},
    upload::{BUFFER_BYTES, upload},
};

/// A file to pump.
#[derive(Debug, Clone)]
pub struct PipeFile {
    /// Path in the model.
    pub path: String,
    /// Size in bytes.
    pub size: u64,
    /// SHA-256 in hex.
    pub sha256: String,
}

impl FromStr for PipeFile {
    type Err = String;

    /// Parses `PATH=SIZE=SHA256`.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split('=');
        let mut next = || parts.next().ok_or_else(|| format!("`{text}` is not PATH=SIZE=SHA256"));
        let (path, size, sha256) = (next()?.to_owned(), next()?, next()?.to_owned());
        Ok(Self { path, size: size.parse().map_err(|_| format!("`{size}` is no size"))?, sha256 })
    }
}

/// From where to where.
#[derive(Debug)]
pub struct Pipe {
    /// URL of the Hub.
    pub hub: String,
    /// `owner/name`.
    pub model: String,
    /// Host of the registry.
    pub registry: String,
    /// Repository in the registry.
    pub repository: String,
}

impl Pipe {
    /// Pumps `files`, `jobs` at a time, the largest first.
    ///
    /// # Errors
    /// The first failure of a thread.
    pub fn pump(&self, mut files: Vec<PipeFile>, jobs: usize) -> io::Result<()> {
        files.sort_by_key(|file| file.size);
        let files = Mutex::new(files);
        thread::scope(|scope| {
            let jobs: Vec<_> = (0..jobs).map(|_| scope.spawn(|| self.pump_some(&files))).collect();
            jobs.into_iter().try_for_each(|job| job.join().map_err(|_| io::Error::other("a thread panicked"))?)
        })
    }

    fn pump_some(&self, files: &Mutex<Vec<PipeFile>>) -> io::Result<()> {
        let hub_host = place(&self.hub, "").0;
        let mut hub = Connection::open(hub_host)?;
        let mut registry = Connection::open(&self.registry)?;
        let mut cdn: Option<(String, Connection)> = None;
        let mut buffer = vec![0; BUFFER_BYTES];
        let next = || files.lock().ok()?.pop();
        while let Some(file) = next() {
            let target = format!("/{}/resolve/main/{}", self.model, file.path);
            hub.send("GET", &target, "Range: bytes=0-\r\n")?;
            let answer = hub.answer()?;
            if answer.status != 302 {
                self.upload(&mut registry, &mut hub, &file, answer.length, &mut buffer)?;
                continue;
            }
            hub.drain(answer.length)?;
            let (host, target) = place(&answer.location, hub_host);
            if cdn.as_ref().is_none_or(|(old, _)| old != host) {
                cdn = Some((host.to_owned(), Connection::open(host)?));
            }
            if let Some((_, cdn)) = &mut cdn {
                cdn.send("GET", target, "Range: bytes=0-\r\n")?;
                let answer = expect(cdn.answer()?, 206, &file.path)?;
                self.upload(&mut registry, cdn, &file, answer.length, &mut buffer)?;
            }
        }
        Ok(())
    }

    /// Uploads what `source` sends next.
    fn upload(
        &self,
        registry: &mut Connection,
        source: &mut Connection,
        file: &PipeFile,
        length: u64,
        buffer: &mut [u8],
    ) -> io::Result<()> {
        if length != file.size {
            return Err(io::Error::other(format!("{}: {length} bytes instead of {}", file.path, file.size)));
        }
        upload(registry, &self.repository, &mut source.stream, length, &file.sha256, buffer)
    }
}

#[cfg(test)]
mod tests {
    use modelcar_testkit::{FakeHub, FakeRegistry, HubConfig, RegistryConfig, synthetic_model};

    use super::*;

    #[test]
    fn a_strict_registry_takes_every_file() {
        let hub = FakeHub::start_blocking(HubConfig::default());
        let registry = FakeRegistry::start_blocking(RegistryConfig::default());
        let model = synthetic_model(3, 3_000_000);
        hub.add_repo("acme/large", "main", model.clone());
        let file = |(path, file): (&str, &std::sync::Arc<modelcar_testkit::TreeFile>)| {
            format!("{path}={}={}", file.size(), file.content.sha256()).parse().unwrap()
        };
        let files: Vec<PipeFile> = model.files().map(file).collect();
        let names = ["acme/large", "pushed"].map(str::to_owned);
        let [model_name, repository] = names;
        let pipe = Pipe { hub: hub.endpoint(), model: model_name, registry: registry.host(), repository };
        pipe.pump(files.clone(), 2).unwrap();
        for file in &files {
            let blob = registry.blob("pushed", &format!("sha256:{}", file.sha256));
            assert_eq!(blob.map(|blob| blob.len() as u64), Some(file.size), "{}", file.path);
        }
        let mut wrong = files[0].clone();
        wrong.sha256 = "0".repeat(64);
        assert!(pipe.pump(vec![wrong], 1).is_err());
    }
}
