//! `modelcar push`: a model becomes a pinned image in a registry.

use modelcar_core::{ImageRef, registry::RegistrySink};
use serde_json::json;

use super::{Outcome, build_into, prepare, report};
use crate::{
    args::{Format, PushArgs},
    connection::Connection,
    hint::Failure,
    ui,
};

pub(crate) async fn run(args: PushArgs) -> Result<Outcome, Failure> {
    let (source, image) = names(&args)?;
    let tags = tags(&image, &args.tag)?;
    let progress = ui::progress(args.run.progress);
    let connection = Connection::open(&args.registry, Some((&args.login, &image)))?;
    let repository = connection.repository(&image, &progress)?;
    let prepared = prepare(source, &args.planned, &connection, &progress).await?;
    repository.check_push().await?;
    let sink = RegistrySink::new(repository, tags);
    let Some((built, seconds)) = build_into(&prepared, &sink, &args.run, progress).await? else {
        return Ok(Outcome::Interrupted);
    };
    let pinned = image.with_digest(&built.digest).to_string();
    Ok(Outcome::Answer(match args.run.format {
        Format::Text => pinned,
        Format::Json => report(&prepared, &built, seconds, ("image", json!(pinned)))?,
    }))
}

/// Tells SOURCE and IMAGE apart. The image is read first: a mistake in it should cost no request.
fn names(args: &PushArgs) -> Result<(Option<&str>, ImageRef), Failure> {
    let (source, image) = match (args.names.as_slice(), &args.planned.plan) {
        ([source, image], _) => (Some(source.as_str()), image),
        ([image], Some(_)) => (None, image),
        _ => {
            return Err(Failure::say("push takes SOURCE and IMAGE")
                .hint("for example `modelcar push owner/name localhost:5000/name:v1`"));
        }
    };
    let image: ImageRef = image.parse()?;
    match image.digest() {
        None => Ok((source, image)),
        Some(_) => Err(Failure::say(format!("image `{image}` names a digest, which only a push can tell"))
            .hint("give a tag: REGISTRY/REPOSITORY:TAG")),
    }
}

fn tags(image: &ImageRef, more: &[String]) -> Result<Vec<String>, Failure> {
    let mut tags = vec![image.tag().unwrap_or("latest").to_owned()];
    for tag in more {
        image.with_tag(tag)?;
        if !tags.contains(tag) {
            tags.push(tag.clone());
        }
    }
    Ok(tags)
}
