//! The checks of `modelcar doctor` that are not about the registry: whether the model and the base can be read.

use std::sync::Arc;

use modelcar_core::{
    Error, ImageRef,
    base::{BaseRef, KnownBase, OpenBase},
    plan::{Plan, PlanOptions},
    progress::Progress,
    push::{Connections, ModelContents, PlannedImage},
    registry::Verdict,
    source::SourceRef,
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

/// What a push would pack, and the base that it would pack it on.
pub(super) struct Wanted<'a> {
    source: &'a SourceRef,
    /// How the model is planned: without a base, so that the model's row says nothing of it.
    options: PlanOptions,
    /// The bases that are tried one after the other, at least one.
    bases: Vec<BaseRef>,
}

impl<'a> Wanted<'a> {
    /// Reads the flags.
    ///
    /// # Errors
    /// When a flag or variable has no valid value.
    pub(super) fn new(source: &'a SourceRef, select: &SelectArgs, image: &ImageArgs) -> Result<Self, Failure> {
        let mut bases = resolve::bases(image)?;
        if bases.is_empty() {
            bases.push(BaseRef::default());
        }
        // Platforms are those of the base.
        let options = PlanOptions { platforms: Vec::new(), ..plan_options(select, image)? };
        Ok(Self { source, options, bases })
    }

    /// Looks at the model and at the base, which `image` would be made of.
    pub(super) async fn examine(&self, image: &ImageRef, clients: &Clients, progress: &Arc<dyn Progress>) -> Vec<Row> {
        let (model, base) = tokio::join!(self.model(clients, progress), self.base(image, clients, progress));
        vec![
            model.unwrap_or_else(|failure| refused("model", ContentCode::ModelRefused, &failure)),
            base.unwrap_or_else(|failure| refused("base", ContentCode::BaseRefused, &failure)),
        ]
    }

    /// Looks at the model as a push does before the weights. Objects of a store are listed and not read: a first read of
    /// them takes as long as a push.
    async fn model(&self, clients: &Clients, progress: &Arc<dyn Progress>) -> Result<Row, Failure> {
        let connections = clients.connections(self.source);
        let row =
            |code, verdict, found, advice| Row { name: "model", code: Code::Content(code), verdict, found, advice };
        if let SourceRef::Store(_) = self.source {
            let unwanted = self.options.selection.unwanted();
            let open = self.source.open_without(&unwanted, connections.reach(), progress).await?;
            let files = open.source.list().await?;
            let found =
                format!("{} holds {}", open.name, amount(files.len(), files.iter().map(|file| file.size).sum()));
            return Ok(row(ContentCode::ModelReadable, Verdict::Ok, found, None));
        }
        let planned = self.planned(&connections, progress).await?;
        planned.check()?;
        let found = format!("{} gives {}", planned.source().name, packed(planned.plan()));
        let flaws: Vec<_> = planned.flaws().iter().map(|flaw| one_line(&flaw.to_string())).collect();
        Ok(if flaws.is_empty() {
            row(ContentCode::ModelReadable, Verdict::Ok, found, None)
        } else {
            row(ContentCode::ModelDoubtful, Verdict::Warning, found, Some(flaws.join("; ")))
        })
    }

    /// Plans the model, and reads the headers of its files.
    async fn planned(&self, connections: &Connections, progress: &Arc<dyn Progress>) -> Result<PlannedImage, Failure> {
        let contents = match cached::open(self.source, progress).await? {
            Some(open) => ModelContents::from_source(open),
            None => ModelContents::new(self.source.clone()),
        };
        let contents = contents.with_base(BaseRef::Scratch).with_options(self.options.clone());
        Ok(contents.plan(connections, progress).await?.described().await?)
    }

    /// Looks for the first base that a push can use; the failure is that of the last one.
    async fn base(&self, image: &ImageRef, clients: &Clients, progress: &Arc<dyn Progress>) -> Result<Row, Failure> {
        let known = KnownBase::busybox().for_target(image);
        let mut failed = None;
        for base in &self.bases {
            match base.open_or_known(Some(&known), &clients.registries, progress).await {
                Ok(open) => return Ok(found_base(&open)),
                Err(error) => failed = Some(Failure::from(Error::from(error)).during(format!("use base `{base}`"))),
            }
        }
        Err(failed.unwrap_or_else(|| Failure::say("no base is named")))
    }
}

fn found_base(open: &OpenBase) -> Row {
    let platforms: Vec<_> = open.base.image.platforms.iter().map(|base| base.platform.to_string()).collect();
    let found = match platforms.as_slice() {
        [] => open.name.to_string(),
        platforms => format!("{} for {}", open.name, platforms.join(", ")),
    };
    let code = Code::Content(ContentCode::BaseReadable);
    Row { name: "base", code, verdict: Verdict::Ok, found, advice: None }
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
