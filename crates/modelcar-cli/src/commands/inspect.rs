//! `modelcar inspect`: what an image holds.

use std::{fmt::Write, sync::Arc};

use modelcar_core::{
    ImageRef,
    inspect::{self, Inspection},
    progress::{NoProgress, Progress},
};

use super::Outcome;
use crate::{
    args::{Format, InspectArgs},
    connection::Connection,
    hint::Failure,
    names::Output,
    ui::size,
};

pub(crate) async fn run(args: InspectArgs) -> Result<Outcome, Failure> {
    let inspection = if args.image.starts_with("oci:") {
        let Output::Layout { dir, name } = Output::parse(&args.image)? else {
            return Err(Failure::say(format!("`{}` is not a layout", args.image)));
        };
        inspect::layout(&dir, name.as_deref()).await?
    } else {
        let image: ImageRef = args.image.parse()?;
        let progress: Arc<dyn Progress> = Arc::new(NoProgress);
        let connection = Connection::open(&args.registry, Some((&args.login, &image)))?;
        inspect::registry(&connection.repository(&image, &progress)?, &image).await?
    };
    Ok(Outcome::Answer(match args.format {
        Format::Text => table(&args.image, &inspection),
        Format::Json => {
            serde_json::to_string(&inspection).map_err(|error| Failure::new(error, "write the answer as JSON"))?
        }
    }))
}

fn table(name: &str, inspection: &Inspection) -> String {
    let mut text = format!("image   {name}\ndigest  {}\n", inspection.digest);
    for (key, value) in &inspection.annotations {
        let _infallible = writeln!(text, "{key}  {value}");
    }
    for manifest in &inspection.manifests {
        let total = manifest.layers.iter().map(|layer| layer.size).sum();
        let _infallible = writeln!(text, "\n{}  {}  {}", manifest.platform, manifest.digest, size(total));
        for layer in &manifest.layers {
            let files = match layer.files.as_slice() {
                [] => layer.media_type.clone(),
                [file] => file.path.to_string(),
                files => format!(
                    "{} files: {}",
                    files.len(),
                    files.iter().take(4).map(|file| file.path.as_str()).collect::<Vec<_>>().join(", ")
                ),
            };
            let _infallible = writeln!(text, "  {}  {:>10}  {files}", layer.digest, size(layer.size));
        }
    }
    text
}
