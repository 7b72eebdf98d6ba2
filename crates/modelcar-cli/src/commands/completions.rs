//! `modelcar completions`: prints the script by which a shell completes commands, options and their values.

use clap::{Args, Command, ValueEnum};

use super::Outcome;
use crate::hint::Failure;

/// What stands at the end of the help.
pub(crate) const EXAMPLES: &str = "\
Examples:
  source <(modelcar completions bash)
  modelcar completions zsh >~/.zfunc/_modelcar
  modelcar completions fish >~/.config/fish/completions/modelcar.fish";

/// A shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    Bash,
    Zsh,
    Fish,
}

#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// Shell that the script is for
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

/// Prints the script for the command line `all`.
pub(crate) fn run(args: &CompletionsArgs, all: &Command) -> Result<Outcome, Failure> {
    let shell = match args.shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut shown(all), "modelcar", &mut script);
    let script = String::from_utf8(script).map_err(|error| Failure::new(error, "write the script"))?;
    Ok(Outcome::Answer(script))
}

/// Returns a command line without its hidden commands, which `clap_complete` would offer.
fn shown(all: &Command) -> Command {
    Command::new("modelcar")
        .version(env!("CARGO_PKG_VERSION"))
        .propagate_version(true)
        .args(all.get_arguments())
        .subcommands(all.get_subcommands().filter(|command| !command.is_hide_set()))
}
