//! Finds out whether an image to build on has files in the folder that the weights are put into, by what its documents say.
//! The layers are not read: a base may have gigabytes.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::{
    oci::{Descriptor, LAYER_FILES},
    text,
};

/// The folder of the weights.
const FOLDER: &str = "/models";

/// A step that made an image, as its config tells it.
#[derive(Debug, Deserialize)]
pub(super) struct Step {
    #[serde(default)]
    created_by: Option<String>,
}

/// A file in the annotation of a layer that modelcar made.
#[derive(Deserialize)]
struct File {
    path: String,
}

/// Returns a clause for each layer and each step that says of itself to put files into the folder of the weights.
pub(super) fn stated(layers: &[Descriptor], history: &[Step]) -> BTreeSet<String> {
    let in_layers = layers.iter().filter_map(|layer| {
        let files: Vec<File> = serde_json::from_str(layer.annotation(LAYER_FILES)?).ok()?;
        let (first, more) = files.split_first()?;
        let others = match more.len() {
            0 => String::new(),
            1 => " and one more file".to_owned(),
            count => format!(" and {count} more files"),
        };
        Some(format!("layer `{}` has `{}`{others}", layer.digest, text::excerpt(&first.path)))
    });
    let in_history = history.iter().filter_map(|step| {
        let command = step.created_by.as_deref().filter(|command| names_folder(command))?;
        Some(format!("a step of its build is `{}`", text::cut(&text::excerpt(command), 100)))
    });
    in_layers.chain(in_history).collect()
}

/// Returns whether a command names the folder, or a place in it, and not only a folder whose name begins or ends alike.
fn names_folder(command: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    command.match_indices(FOLDER).any(|(at, _)| {
        let (before, after) = (command[..at].chars().next_back(), command[at + FOLDER.len()..].chars().next());
        !before.is_some_and(|c| is_part(c) || c == '/' || c == '}') && !after.is_some_and(is_part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_names_the_folder_itself() {
        for (command, expected) in [
            ("COPY weights /models # buildkit", true),
            ("/bin/sh -c #(nop) ADD file:0a in /models/config.json ", true),
            (r#"RUN hf download acme/tiny --local-dir="/models""#, true),
            ("WORKDIR /models", true),
            ("COPY weights /opt/models/", false),
            ("COPY weights /models-old", false),
            ("RUN ls $HOME/models ${ROOT}/models ./models", false),
            ("weights: config.json", false),
        ] {
            assert_eq!(names_folder(command), expected, "{command}");
        }
    }
}
