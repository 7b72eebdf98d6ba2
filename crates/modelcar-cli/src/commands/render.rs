//! `modelcar render`: the manifests that serve an image.

use std::{fs, sync::Arc};

use modelcar_core::{
    ImageRef, inspect,
    progress::{NoProgress, Progress},
};
use modelcar_kserve::render::{self, RenderError, Rendered, Subject};

use super::Outcome;
use crate::{args::RenderArgs, connection::Connection, hint::Failure, remedies, ui};

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
    let rendered = rendered(&Subject::new(&image, &inspection), &args)?;
    for warning in &rendered.warnings {
        let remedy = remedies::of_render(warning).map(|remedy| format!(". {remedy}")).unwrap_or_default();
        ui::warn(&format!("{warning}{remedy}"));
    }
    Ok(Outcome::Answer(match template {
        Some(template) => rendered.fill(&template)?,
        None => rendered.to_yaml()?,
    }))
}

/// Renders what the arguments ask for; the comment names the command line's options and commands.
fn rendered(subject: &Subject, args: &RenderArgs) -> Result<Rendered, RenderError> {
    let check = format!("modelcar check - --expect {}", subject.digest);
    Ok(render::render(subject, &args.options())?.with_check_command(&check).with_remedies(remedies::of_render))
}

#[cfg(test)]
mod tests;
