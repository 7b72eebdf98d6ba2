//! Owns the command line of a stand-alone fake Hub.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use modelcar_testkit::{FakeHub, HubConfig, ModelTree, revised_model, synthetic_model};

const USAGE: &str = "usage: fake-hub [--port N] [--repo OWNER/NAME=DIR]... [--lfs-threshold BYTES]
                [--synthetic OWNER/NAME=SHARDSxBYTES]... [--token T]... [--throttle BYTES_PER_S]
                [--revised yes|no]  with a revision `next` of each synthetic model: another last shard";

fn main() -> ExitCode {
    match start(std::env::args().skip(1)) {
        Ok(hub) => {
            println!("hub={} cdn={}", hub.endpoint(), hub.cdn_endpoint());
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

fn start(mut args: impl Iterator<Item = String>) -> Result<FakeHub, String> {
    let mut config = HubConfig::default();
    let mut lfs_threshold = 10_000_000;
    let mut folders = Vec::new();
    let mut models = Vec::new();
    let mut revised = false;
    while let Some(option) = args.next() {
        let value = args.next().ok_or_else(|| format!("{option} needs a value"))?;
        match option.as_str() {
            "--port" => config.port = number(&value)?,
            "--token" => config.tokens.push(value),
            "--throttle" => config.throttle = Some(number(&value)?),
            "--lfs-threshold" => lfs_threshold = number(&value)?,
            "--revised" => revised = value == "yes",
            "--repo" => folders.push(pair(&value)?),
            "--synthetic" => models.push(pair(&value)?),
            _ => return Err(format!("unknown option {option}")),
        }
    }
    let hub = FakeHub::start_blocking(config);
    for (id, dir) in folders {
        let tree = ModelTree::from_dir(Path::new(&dir), lfs_threshold).map_err(|error| format!("{dir}: {error}"))?;
        add(&hub, &id, "main", tree);
    }
    for (id, shape) in models {
        let (shards, bytes) = shape.split_once('x').ok_or("expected SHARDSxBYTES")?;
        let model = synthetic_model(number(shards)?, number(bytes)?);
        add(&hub, &id, "main", model.clone());
        if revised {
            add(&hub, &id, "next", revised_model(&model));
        }
    }
    Ok(hub)
}

fn add(hub: &FakeHub, id: &str, revision: &str, tree: ModelTree) {
    tree.warm_up();
    hub.add_repo(id, revision, tree);
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| format!("no `=` in {text}"))?;
    Ok((name.to_owned(), value.to_owned()))
}

fn number<N: std::str::FromStr>(text: &str) -> Result<N, String> {
    text.parse().map_err(|_| format!("not a number: {text}"))
}
