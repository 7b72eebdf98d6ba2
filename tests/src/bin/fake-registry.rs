//! Owns the command line of a stand-alone fake registry.

use std::io::Write as _;
use std::process::ExitCode;

use modelcar_testkit::{FakeRegistry, RegistryConfig, Storage};

const USAGE: &str = "usage: fake-registry [--port N] [--storage memory|count|count-no-hash]";

fn main() -> ExitCode {
    match start(std::env::args().skip(1)) {
        Ok(registry) => {
            println!("registry={}", registry.host());
            // The line matters to a waiting parent; without stdout there is nobody to tell.
            std::io::stdout().flush().ok();
            loop {
                std::thread::park();
            }
        }
        Err(message) => {
            eprintln!("{message}\n{USAGE}");
            ExitCode::FAILURE
        }
    }
}

fn start(mut args: impl Iterator<Item = String>) -> Result<FakeRegistry, String> {
    let mut config = RegistryConfig::default();
    while let Some(option) = args.next() {
        let value = args.next().ok_or_else(|| format!("{option} needs a value"))?;
        match (option.as_str(), value.as_str()) {
            ("--port", port) => {
                config.port = port.parse().map_err(|_| format!("not a port: {port}"))?;
            }
            ("--storage", "memory") => config.storage = Storage::Memory,
            ("--storage", "count") => config.storage = Storage::Count,
            ("--storage", "count-no-hash") => config.storage = Storage::CountNoHash,
            ("--storage", other) => return Err(format!("unknown storage {other}")),
            _ => return Err(format!("unknown option {option}")),
        }
    }
    Ok(FakeRegistry::start_blocking(config))
}
