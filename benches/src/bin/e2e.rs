//! Measures pushes end to end, side by side with a raw pipe and with other tools; prints medians.

use std::{io, path::PathBuf};

use bytesize::ByteSize;
use clap::{Args, Parser, Subcommand, ValueEnum};
use modelcar_benches::{Bench, Model, Pipe, PipeFile, Report, Row, Tools, hash_on_all_cores, rows};

/// Measure pushes end to end, side by side with a raw pipe and with other tools
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    table: TableArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Pump files from a Hub into a registry (a row of the table)
    #[command(hide = true)]
    Pipe(PipeArgs),
    /// Hash so many bytes on all cores (a row of the table)
    #[command(hide = true)]
    Hash { bytes: u64 },
}

#[derive(Debug, Args)]
struct TableArgs {
    /// Runs of each row
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
    #[arg(long, default_value = "512MiB")]
    shard_bytes: ByteSize,
    /// Folder for data and for everything that runs write
    #[arg(long, default_value = "target/bench-data")]
    data: PathBuf,
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

#[derive(Debug, Args)]
struct PipeArgs {
    #[arg(long)]
    hub: String,
    #[arg(long)]
    model: String,
    #[arg(long)]
    registry: String,
    #[arg(long)]
    repository: String,
    #[arg(long)]
    jobs: usize,
    files: Vec<PipeFile>,
}

fn main() -> io::Result<()> {
    let cli = Cli::parse();
    match cli.command {
        Some(Command::Pipe(PipeArgs { hub, model, registry, repository, jobs, files })) => {
            Pipe { hub, model, registry, repository }.pump(files, jobs)
        }
        Some(Command::Hash { bytes }) => {
            hash_on_all_cores(bytes);
            Ok(())
        }
        None => table(&cli.table),
    }
}

fn table(args: &TableArgs) -> io::Result<()> {
    let wanted = |row: &Row| {
        let name = row.to_string();
        let contains = |text: &String| name.contains(text.as_str());
        (args.only.is_empty() || args.only.iter().any(contains)) && !args.without.iter().any(contains)
    };
    let rows: Vec<Row> = rows().into_iter().filter(wanted).collect();
    if args.list {
        rows.iter().for_each(|row| println!("{row}"));
        return Ok(());
    }
    std::fs::create_dir_all(&args.data)?;
    let (data, venv) = (args.data.canonicalize()?, std::path::absolute(&args.venv)?);
    let model = Model::new(args.shards, args.shard_bytes.as_u64(), &data);
    model.write()?;
    let bytes = model.bytes();
    let bench = Bench::start(model, Tools::new(&venv), &data)?;
    let outcomes = bench.rounds(&rows, args.rounds, |round, row, result| {
        eprintln!("round {} of {}: {row}: {result}", round + 1, args.rounds);
    });
    let report = Report::new(outcomes, bytes);
    match args.format {
        Format::Text => println!("{report}"),
        Format::Json => println!("{}", serde_json::to_string_pretty(&report)?),
    }
    Ok(())
}
