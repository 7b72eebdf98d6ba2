//! Measures how long containerd takes to pull and unpack a model, in modelcar's layout and in others; prints medians.

use std::{io, path::PathBuf};

use bytesize::ByteSize;
use clap::{Parser, ValueEnum};
use modelcar_benches::{
    Model, Tools,
    pull::{Containerd, PullBench, PullRow, PullTable, pull_rows},
};

/// Measure how long containerd takes to pull and unpack a model, in modelcar's layout and in others (as root)
#[derive(Debug, Parser)]
struct Cli {
    /// Pulls of each row
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Only rows whose name contains this text (can be repeated)
    #[arg(long, value_name = "TEXT")]
    only: Vec<String>,
    /// Leave out rows whose name contains this text (can be repeated)
    #[arg(long, value_name = "TEXT")]
    without: Vec<String>,
    /// Print the rows' names and end
    #[arg(long)]
    list: bool,
    /// Number of shards
    #[arg(long, default_value_t = 4)]
    shards: usize,
    /// Size of a shard
    #[arg(long, default_value = "256MiB")]
    shard_bytes: ByteSize,
    /// Measure every row too with a registry that gives each connection so many bytes a second
    #[arg(long, value_name = "BYTES")]
    limit: Option<ByteSize>,
    /// Folder for the model and the registry: 9 times the model's bytes
    #[arg(long, default_value = "target/bench-data")]
    data: PathBuf,
    /// Folder for the files of each containerd: twice the model's bytes [default: the folder of --data]
    #[arg(long)]
    nodes: Option<PathBuf>,
    /// Folder with the `containerd` and `ctr` to measure beside those that are installed
    #[arg(long, default_value = "target/cluster/bin/containerd")]
    containerd: PathBuf,
    /// Virtual environment made by `benches/rivals.sh`
    #[arg(long, default_value = "target/rivals/venv")]
    venv: PathBuf,
    /// Form of the answer on stdout
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Format {
    #[default]
    Text,
    Json,
}

fn main() -> io::Result<()> {
    let cli = Cli::parse();
    let wanted = |row: &PullRow| {
        let name = row.to_string();
        let contains = |text: &String| name.contains(text.as_str());
        (cli.only.is_empty() || cli.only.iter().any(contains)) && !cli.without.iter().any(contains)
    };
    let containerds = [Containerd::built(&cli.containerd)?, Containerd::installed()?];
    let rows = pull_rows(&containerds, cli.limit.map(|limit| limit.as_u64()));
    let rows: Vec<PullRow> = rows.into_iter().filter(wanted).collect();
    if cli.list {
        rows.iter().for_each(|row| println!("{row}"));
        return Ok(());
    }
    let nodes = cli.nodes.as_ref().unwrap_or(&cli.data);
    for folder in [&cli.data, nodes] {
        std::fs::create_dir_all(folder)?;
    }
    let (data, nodes) = (cli.data.canonicalize()?, nodes.canonicalize()?);
    let model = Model::of_numbers(cli.shards, cli.shard_bytes.as_u64(), &data)?;
    let bench = PullBench::start(&rows, &model, &Tools::new(&std::path::absolute(&cli.venv)?), (&data, &nodes))?;
    let outcomes = bench.rounds(&rows, cli.rounds, |round, row, result| {
        eprintln!("round {} of {}: {row}: {result}", round + 1, cli.rounds);
    });
    let table = PullTable::new(outcomes, model.bytes(), &nodes);
    match cli.format {
        Format::Text => println!("{table}"),
        Format::Json => println!("{}", serde_json::to_string_pretty(&table)?),
    }
    Ok(())
}
