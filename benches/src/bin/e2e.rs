//! Measures pushes end to end, side by side with a raw pipe and with other tools; prints medians.

use std::{
    io,
    path::{Path, PathBuf},
};

use bytesize::ByteSize;
use clap::{Args, Parser, Subcommand, ValueEnum};
use modelcar_benches::{
    Bench, Cost, Measured, Model, Pipe, PipeFile, Report, Row, SmallFiles, SmallJob, Source, SyntheticPush, Tools,
    hash_on_all_cores, rows,
};

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
    /// Push synthetic models of several sizes: memory and CPU per GiB must not grow, and nothing is written
    Flat {
        /// Sizes of the models
        #[arg(long, value_delimiter = ',', default_value = "2GiB,50GiB")]
        sizes: Vec<ByteSize>,
        /// Folder for what runs write
        #[arg(long, default_value = "target/bench-data")]
        data: PathBuf,
    },
    /// Push one large file from a Hub that gives every connection so many bytes a second, with few and more ranges
    Throttle {
        /// Size of the file
        #[arg(long, default_value = "8GiB")]
        size: ByteSize,
        /// Bytes a second for each connection
        #[arg(long, default_value = "64MiB")]
        rate: ByteSize,
        /// Connections to the Hub
        #[arg(long, value_delimiter = ',', default_value = "1,4")]
        ranges: Vec<u16>,
        /// Folder for what runs write
        #[arg(long, default_value = "target/bench-data")]
        data: PathBuf,
    },
    /// Plan and push a model of many small files, beside a download of the same files by `hf download`
    Small {
        /// Number of files
        #[arg(long, default_value_t = 10_000)]
        files: usize,
        /// Size of each file
        #[arg(long, default_value = "2KiB")]
        file_bytes: ByteSize,
        /// Runs of each command
        #[arg(long, default_value_t = 3)]
        rounds: usize,
        /// Folder for data and for what runs write
        #[arg(long, default_value = "target/bench-data")]
        data: PathBuf,
        /// Virtual environment made by `benches/rivals.sh`
        #[arg(long, default_value = "target/rivals/venv")]
        venv: PathBuf,
    },
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
        Some(Command::Flat { sizes, data }) => {
            synthetic(sizes.iter().map(|size| SyntheticPush::of_size(size.as_u64())).collect(), &data)
        }
        Some(Command::Throttle { size, rate, ranges, data }) => {
            let push = |connections| SyntheticPush {
                shards: 1,
                shard_bytes: size.as_u64(),
                throttle: Some(rate.as_u64()),
                connections: Some(connections),
            };
            synthetic(ranges.into_iter().map(push).collect(), &data)
        }
        Some(Command::Small { files, file_bytes, rounds, data, venv }) => {
            std::fs::create_dir_all(&data)?;
            let bench = SmallFiles::start(files, file_bytes.as_u64(), &venv, &data.canonicalize()?)?;
            let told = |job: SmallJob, cost: &Cost| eprintln!("{job}: {:.2} s", cost.wall_seconds);
            println!("{}", bench.rounds(rounds, told)?);
            Ok(())
        }
        None => table(&cli.table),
    }
}

/// Prints a line for each push, and its wall time as a ratio to the first.
fn synthetic(pushes: Vec<SyntheticPush>, data: &Path) -> io::Result<()> {
    std::fs::create_dir_all(data)?;
    let mut first = None;
    println!("{}  first ÷ this", Measured::HEADS);
    for push in pushes {
        let measured = push.measure(data)?;
        let first = *first.get_or_insert(measured.wall_seconds());
        println!("{measured} {:>13.2}", first / measured.wall_seconds());
    }
    Ok(())
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
    if rows.iter().any(|row| row.from == Source::Folder) {
        model.write()?;
    }
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
