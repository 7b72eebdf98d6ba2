//! The checks of `modelcar doctor` that are not about the registry: whether the model and the base can be read.

use std::sync::Arc;

use modelcar_core::{
    Error, ImageRef,
    base::{BaseRef, KnownBase},
    plan::Plan,
    progress::Progress,
    push::{Connections, ModelContents, PlannedImage},
    registry::Verdict,
    source::{SourceRef, Unwanted},
    text::one_line,
};

use super::row::{Code, ContentCode, Row};
use crate::{
    args::{ImageArgs, SelectArgs},
    clients::Clients,
    commands::{cached, plan_options},
    hint::Failure,
    resolve,
    ui::{count, size},
};

/// Looks at the model and at the base for it; without a source there is nothing to look at.
///
/// # Errors
/// When the arguments are wrong.
pub(super) async fn examine(
    source: Option<&SourceRef>,
    image: &ImageRef,
    (select, chosen): (&SelectArgs, &ImageArgs),
    clients: &Clients,
    progress: &Arc<dyn Progress>,
) -> Result<Vec<Row>, Failure> {
    let Some(source) = source else { return Ok(Vec::new()) };
    let bases = resolve::bases(chosen)?;
    let (model, base) =
        tokio::join!(model(source, (select, chosen), clients, progress), base(bases, image, clients, progress));
    Ok(vec![
        model.unwrap_or_else(|failure| refused("model", ContentCode::ModelRefused, &failure)),
        base.unwrap_or_else(|failure| refused("base", ContentCode::BaseRefused, &failure)),
    ])
}

/// Looks at the model as a push does before the weights. Objects of a store are listed and not read: a first read of them
/// takes as long as a push.
async fn model(
    source: &SourceRef,
    args: (&SelectArgs, &ImageArgs),
    clients: &Clients,
    progress: &Arc<dyn Progress>,
) -> Result<Row, Failure> {
    let connections = clients.connections(source);
    let ok = |code, verdict, found, advice| Row { name: "model", code: Code::Content(code), verdict, found, advice };
    if let SourceRef::Store(_) = source {
        let open = source.open_without(&Unwanted::none(), connections.reach(), progress).await?;
        let files = open.source.list().await?;
        let found = format!("{} holds {}", open.name, amount(files.len(), files.iter().map(|file| file.size).sum()));
        return Ok(ok(ContentCode::ModelReadable, Verdict::Ok, found, None));
    }
    let planned = planned(source, args, &connections, progress).await?;
    planned.check()?;
    let found = format!("{} gives {}", planned.source().name, packed(planned.plan()));
    let flaws: Vec<_> = planned.flaws().iter().map(|flaw| one_line(&flaw.to_string())).collect();
    Ok(if flaws.is_empty() {
        ok(ContentCode::ModelReadable, Verdict::Ok, found, None)
    } else {
        ok(ContentCode::ModelDoubtful, Verdict::Warning, found, Some(flaws.join("; ")))
    })
}

/// Plans the model without a base, and reads the headers of its files.
async fn planned(
    source: &SourceRef,
    (select, chosen): (&SelectArgs, &ImageArgs),
    connections: &Connections,
    progress: &Arc<dyn Progress>,
) -> Result<PlannedImage, Failure> {
    let contents = match cached::open(source, progress).await? {
        Some(open) => ModelContents::from_source(open),
        None => ModelContents::new(source.clone()),
    };
    // Platforms are those of the base.
    let options = plan_options(select, &ImageArgs { platform: Vec::new(), ..chosen.clone() })?;
    let contents = contents.with_base(BaseRef::Scratch).with_options(options);
    Ok(contents.plan(connections, progress).await?.described().await?)
}

/// Looks for a base that a push can use: the first of `bases`, or the default base.
async fn base(
    bases: Vec<BaseRef>,
    image: &ImageRef,
    clients: &Clients,
    progress: &Arc<dyn Progress>,
) -> Result<Row, Failure> {
    let known = KnownBase::busybox().for_target(image);
    let mut last = Err(Failure::say("no base is named"));
    for base in if bases.is_empty() { vec![BaseRef::default()] } else { bases } {
        last = base
            .open_or_known(Some(&known), &clients.registries, progress)
            .await
            .map_err(|error| Failure::from(Error::from(error)).during(format!("use base `{base}`")));
        if last.is_ok() {
            break;
        }
    }
    let open = last?;
    let platforms: Vec<_> = open.base.image.platforms.iter().map(|base| base.platform.to_string()).collect();
    let found = match platforms.as_slice() {
        [] => open.name.to_string(),
        platforms => format!("{} for {}", open.name, platforms.join(", ")),
    };
    let code = Code::Content(ContentCode::BaseReadable);
    Ok(Row { name: "base", code, verdict: Verdict::Ok, found, advice: None })
}

/// Returns what the image of a plan holds, as text.
fn packed(plan: &Plan) -> String {
    let files = plan.layers().iter().map(|layer| layer.files.len()).sum();
    format!("{} in {}", amount(files, plan.content_bytes()), count(plan.layers().len(), "layer"))
}

fn amount(files: usize, bytes: u64) -> String {
    format!("{} of {}", count(files, "file"), size(bytes))
}

/// Makes the row of a failure. What may pass leaves the answer open.
fn refused(name: &'static str, code: ContentCode, failure: &Failure) -> Row {
    let verdict = if failure.is_retryable() { Verdict::Unknown } else { Verdict::No };
    let hints = failure.hints().join("; ");
    Row {
        name,
        code: Code::Content(code),
        verdict,
        found: failure.texts().join(": "),
        advice: Some(hints).filter(|hints| !hints.is_empty()),
    }
}
