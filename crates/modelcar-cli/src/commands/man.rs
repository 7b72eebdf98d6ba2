//! `modelcar man`: writes the man pages, for those who make packages. The help does not list this command.

use std::{fs, io, path::PathBuf};

use clap::{Args, Command};
use clap_mangen::{
    Man,
    roff::{Roff, bold, roman},
};

use super::Outcome;
use crate::{hint::Failure, variables::VARIABLES};

#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Folder for the man pages; it is made if it is not there
    pub(crate) dir: PathBuf,
}

/// Writes a page for the command line `all` and one for each of its commands. The answer is the folder.
pub(crate) fn run(args: &ManArgs, all: Command) -> Result<Outcome, Failure> {
    let failed = |error: io::Error| {
        Failure::of_write(error, format!("write man pages into `{}`", args.dir.display()))
            .hint("name a folder in which this user may write")
    };
    fs::create_dir_all(&args.dir).map_err(failed)?;
    let mut root = all.disable_help_subcommand(true);
    root.build();
    let names: Vec<String> = commands(&root).map(|command| format!("modelcar-{}(1)", command.get_name())).collect();
    for command in commands(&root) {
        page(command, &["modelcar(1)".to_owned()]).and_then(|page| write(args, command, &page)).map_err(failed)?;
    }
    page(&root, &names).and_then(|page| write(args, &root, &page)).map_err(failed)?;
    Ok(Outcome::Answer(args.dir.display().to_string()))
}

fn commands(root: &Command) -> impl Iterator<Item = &Command> {
    root.get_subcommands().filter(|command| !command.is_hide_set())
}

/// Returns a command's page, whose last section names the pages `see_also`.
fn page(command: &Command, see_also: &[String]) -> io::Result<Vec<u8>> {
    let source = concat!("modelcar ", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command.clone()).source(source).manual("modelcar");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    let mut more = Roff::new();
    if let Some(after) = command.get_after_long_help() {
        below(&mut more, &after.to_string());
    }
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
        more.control("SH", ["ENVIRONMENT"]);
        for variable in VARIABLES {
            more.control("TP", []);
            more.text([bold(variable.names)]);
            let option = match variable.option {
                "" => String::new(),
                option => format!(" (goes before: {option})"),
            };
            more.text([roman(format!("{}{option}", variable.purpose))]);
        }
    }
    more.control("SH", ["SEE ALSO"]);
    more.text([roman(see_also.join(", "))]);
    page.extend(more.render().into_bytes());
    Ok(page)
}

/// Adds what stands below the options in the help: indented lines are examples, sentences are notes. The variables of the
/// environment have a section of their own.
fn below(page: &mut Roff, text: &str) {
    let own = text.split("Environment:\n").next().unwrap_or_default();
    let (examples, notes): (Vec<&str>, Vec<&str>) = own.lines().partition(|line| line.starts_with("  "));
    if !examples.is_empty() {
        page.control("SH", ["EXAMPLES"]);
        page.control("nf", []);
        for line in examples {
            page.text([roman(line.trim())]);
        }
        page.control("fi", []);
    }
    let notes: Vec<&str> = notes.into_iter().filter(|line| !line.is_empty() && *line != "Examples:").collect();
    if !notes.is_empty() {
        page.control("SH", ["NOTES"]);
        page.text([roman(notes.join(" "))]);
    }
}

fn write(args: &ManArgs, command: &Command, page: &[u8]) -> io::Result<()> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    fs::write(args.dir.join(format!("{name}.1")), page)
}
