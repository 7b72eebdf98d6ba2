//! `modelcar plan`: what an image would hold.

use std::{fmt::Write, fs, sync::Arc};

use modelcar_core::{
    kserve::sizing::{ImageBytes, NodeDisk},
    plan::{LockFile, Plan},
    progress::{NoProgress, Progress},
};
use serde_json::json;

use super::{Outcome, Prepared, plan_source};
use crate::{
    args::{Format, PlanArgs},
    connection::Connection,
    hint::Failure,
    ui::{self, size},
};

pub(crate) async fn run(args: PlanArgs) -> Result<Outcome, Failure> {
    let progress: Arc<dyn Progress> = Arc::new(NoProgress);
    let connection = Connection::open(&args.registry, None)?;
    let identify = args.output.is_some();
    let Prepared { source, base, plan } =
        plan_source(&args.source, &args.select, &args.image, &connection, &progress, identify).await?;
    let lock = LockFile::new(source.pinned, base.pinned, plan);
    if let Some(file) = &args.output {
        fs::write(file, lock.to_json())
            .map_err(|error| Failure::new(error, format!("write lock file `{}`", file.display())))?;
    }
    Ok(Outcome::Answer(match args.format {
        Format::Text => table(&lock),
        Format::Json => document(&lock)?,
    }))
}

fn document(lock: &LockFile) -> Result<String, Failure> {
    let mut document = serde_json::to_value(lock).map_err(|error| Failure::new(error, "write the plan as JSON"))?;
    document["contentBytes"] = json!(lock.plan.content_bytes());
    document["layerBytes"] = json!(lock.plan.layer_bytes());
    document["nodeDisk"] = json!(node_disk(&lock.plan));
    Ok(document.to_string())
}

fn table(lock: &LockFile) -> String {
    let plan = &lock.plan;
    let mut text = format!("source  {}\nbase    {}\n\n", lock.source, lock.base);
    let platforms: Vec<_> = plan.base().platforms.iter().map(|base| base.platform.to_string()).collect();
    layers(&mut text, plan);
    let _infallible = write!(
        text,
        "\n{} layers of weights, {} in {} files, for {}",
        plan.layers().len(),
        size(plan.layer_bytes()),
        plan.layers().iter().map(|layer| layer.files.len()).sum::<usize>(),
        platforms.join(" and ")
    );
    text.push('\n');
    text.push_str(&ui::node_disk(&node_disk(plan)));
    text
}

/// The disk for the largest platform.
fn node_disk(plan: &Plan) -> NodeDisk {
    let weights = ImageBytes { blobs: plan.layer_bytes(), unpacked: plan.layer_bytes() };
    let below = plan.base().platforms.iter().map(|platform| {
        ImageBytes::of_layers(platform.layers.iter().map(|layer| (layer.media_type.as_str(), layer.size)))
    });
    let below = below.max_by_key(|bytes| bytes.blobs).unwrap_or_default();
    NodeDisk::new(ImageBytes {
        blobs: weights.blobs.saturating_add(below.blobs),
        unpacked: weights.unpacked.saturating_add(below.unpacked),
    })
}

/// Most files of a layer that are listed one by one.
const LISTED_FILES: usize = 20;

fn layers(text: &mut String, plan: &Plan) {
    let _infallible = writeln!(text, "{:>5}  {:>10}  FILES", "LAYER", "SIZE");
    for (index, layer) in plan.layers().iter().enumerate() {
        for (line, file) in layer.files.iter().take(LISTED_FILES).enumerate() {
            let (number, bytes) = match line {
                0 => (index.to_string(), size(layer.size)),
                _ => (String::new(), String::new()),
            };
            let _infallible = writeln!(text, "{number:>5}  {bytes:>10}  {} ({})", file.path, size(file.size));
        }
        if let more @ 1.. = layer.files.len().saturating_sub(LISTED_FILES) {
            let _infallible = writeln!(text, "{:>5}  {:>10}  and {more} more", "", "");
        }
    }
    if !plan.left_out().is_empty() {
        let _infallible = writeln!(text, "\nLEFT OUT");
    }
    for file in plan.left_out() {
        let _infallible = writeln!(text, "{:>17}  {}: {}", size(file.size), file.path, file.reason);
    }
}
