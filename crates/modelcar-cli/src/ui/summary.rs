//! What a push did, in one line.

use std::time::Duration;

use modelcar_core::{push::Pushed, reuse::LayerAction, text::one_line};

use super::{
    events::{self, Record, Summary},
    settings::Show,
    stderr::say,
    words::{count, rate, size},
};

/// Writes to stderr what a push did, unless nothing but errors is wanted there. `elapsed` is the duration of the whole
/// command.
pub(crate) fn summary(source: &str, pushed: &Pushed, elapsed: Duration) {
    match Show::get() {
        Show::Quiet => {}
        Show::Json => events::emit(&Record::Summary(record(source, pushed, elapsed))),
        Show::Lines | Show::Bars => say(&line(source, pushed, elapsed)),
    }
}

fn record<'a>(source: &'a str, pushed: &'a Pushed, elapsed: Duration) -> Summary<'a> {
    let layers = &pushed.built.layers;
    let is_kept = |way| matches!(way, LayerAction::Reuse | LayerAction::Mount);
    Summary {
        source,
        image: &pushed.image,
        tags: &pushed.tags,
        layers: layers.len(),
        reused_layers: layers.iter().filter(|layer| is_kept(layer.action)).count(),
        layer_bytes: layers.iter().map(|layer| layer.size).sum(),
        bytes_sent: pushed.built.bytes_sent,
        total_seconds: (elapsed.as_secs_f64() * 1000.0).round() / 1000.0,
    }
}

/// Returns the line. The rate is the bytes sent, divided by the duration of the run without the planning.
fn line(source: &str, pushed: &Pushed, elapsed: Duration) -> String {
    let built = &pushed.built;
    let tags: Vec<_> = pushed.tags.iter().map(ToString::to_string).collect();
    let total = built.layers.iter().map(|layer| layer.size).sum();
    let ways = [
        (LayerAction::Upload, "sent"),
        (LayerAction::Reuse, "reused"),
        (LayerAction::Mount, "mounted"),
        (LayerAction::Copy, "copied"),
    ];
    let of = |way: LayerAction| built.layers.iter().filter(|layer| layer.action == way).count();
    let ways: Vec<_> = ways.iter().map(|(way, done)| (of(*way), done)).filter(|(number, _)| *number > 0).collect();
    let ways: Vec<_> = ways.iter().map(|(number, done)| format!("{number} {done}")).collect();
    let (sending, all) = (pushed.elapsed.as_secs_f64(), elapsed.as_secs_f64());
    let sent = match built.bytes_sent {
        0 => format!("nothing sent, {all:.1} s in all"),
        bytes => format!(
            "{} sent in {sending:.1} s, {}/s, {all:.1} s in all",
            size(bytes),
            size(rate(bytes, pushed.elapsed))
        ),
    };
    format!(
        "pushed {} as {}: {} of {} ({}); {sent}",
        one_line(source),
        tags.join(", "),
        count(built.layers.len(), "layer"),
        size(total),
        ways.join(", "),
    )
}
