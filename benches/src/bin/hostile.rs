//! Prints what hostile inputs cost a binary of modelcar, beside another binary if there is one.

use std::{io, path::PathBuf, process::ExitCode};

use clap::Parser;
use modelcar_benches::hostile::{BOUND_MIB, Case, HEADS, Reading, cases};

/// Print peak memory and seconds of modelcar for each hostile input; exit status 1 if one is over the bound
#[derive(Debug, Parser)]
struct Cli {
    /// Binary to measure
    #[arg(long, default_value = "target/debug/modelcar")]
    binary: PathBuf,
    /// Another binary, measured beside it
    #[arg(long)]
    before: Option<PathBuf>,
    /// Only inputs whose name contains this text (can be repeated)
    #[arg(long, value_name = "TEXT")]
    only: Vec<String>,
    /// Folder for inputs; they need up to 1 GB
    #[arg(long, default_value = "target/bench-data")]
    data: PathBuf,
    /// Measure the command that follows, with its output in this file
    #[arg(long, hide = true, value_name = "FILE", requires = "command")]
    measure: Option<PathBuf>,
    /// The command to measure
    #[arg(hide = true, trailing_var_arg = true)]
    command: Vec<String>,
}

fn main() -> io::Result<ExitCode> {
    let cli = Cli::parse();
    if let Some(output) = &cli.measure {
        println!("{}", serde_json::to_string(&Reading::take(&cli.command, output)?)?);
        return Ok(ExitCode::SUCCESS);
    }
    table(&cli)
}

fn table(cli: &Cli) -> io::Result<ExitCode> {
    std::fs::create_dir_all(&cli.data)?;
    let data = cli.data.canonicalize()?;
    let binaries = [Some(&cli.binary), cli.before.as_ref()].into_iter().flatten();
    let binaries = binaries.map(|binary| binary.canonicalize()).collect::<io::Result<Vec<_>>>()?;
    let heads = if binaries.len() == 2 { format!("{HEADS}  before: {HEADS}") } else { HEADS.to_owned() };
    println!("{:<46}{heads}", "input");
    let wanted = |case: &Case| {
        let name = case.to_string();
        cli.only.is_empty() || cli.only.iter().any(|text| name.contains(text.as_str()))
    };
    let (mut count, mut over) = (0, 0);
    for case in cases().into_iter().filter(wanted) {
        let readings = case.measure(&binaries.iter().collect::<Vec<_>>(), &data)?;
        let columns: Vec<String> = readings.iter().map(ToString::to_string).collect();
        println!("{case:<46}{}", columns.join("          "));
        count += 1;
        over += usize::from(!readings[0].is_within());
    }
    println!("{count} inputs, {over} over {BOUND_MIB} MiB");
    Ok(if over == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
