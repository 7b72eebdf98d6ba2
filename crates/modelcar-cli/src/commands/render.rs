//! `modelcar render`: the manifests that serve an image.

use std::{fs, sync::Arc};

use modelcar_core::{
    ImageRef, inspect,
    progress::{NoProgress, Progress},
};
use modelcar_kserve::render::{self, Subject};

use super::Outcome;
use crate::{args::RenderArgs, connection::Connection, hint::Failure, ui};

pub(crate) async fn run(args: RenderArgs) -> Result<Outcome, Failure> {
    let image: ImageRef = args.image.trim_start_matches("oci://").parse()?;
    let template = args.template.as_ref().map(|file| {
        fs::read_to_string(file).map_err(|error| Failure::new(error, format!("read template `{}`", file.display())))
    });
    let template = template.transpose()?;
    let progress: Arc<dyn Progress> = Arc::new(NoProgress);
    let connection = Connection::open(&args.registry, Some((&args.login, &image)))?;
    let repository = connection.repository(&image, &progress)?;
    let inspection = inspect::registry(&repository, &image).await.map_err(Failure::of_image)?;
    if image.digest().is_none() && !args.resolve {
        let pinned = image.with_digest(&inspection.digest);
        return Err(Failure::say(format!("image `{image}` is named by a tag, which may move"))
            .hint(format!("name the digest it points to now, {pinned}, or let --resolve pin it")));
    }
    let rendered = render::render(&Subject::new(&image, &inspection), &args.options())?;
    for warning in &rendered.warnings {
        ui::warn(&warning.message);
    }
    Ok(Outcome::Answer(match template {
        Some(template) => rendered.fill(&template)?,
        None => rendered.to_yaml()?,
    }))
}

#[cfg(test)]
mod tests;
