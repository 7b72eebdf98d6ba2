//! Owns the registry of the pulls: one image for each layout.

use std::{io, path::Path};

use tempfile::TempDir;

use super::{layouts::Layout, node::write_back, packed::push_packed};
use crate::{
    commands::Place,
    cost::run,
    manifests::{Layers, layers, tag_again},
    model::{MODEL, Model},
    rows::{Change, Row, Sink, Source, Tool},
    servers::Server,
    tools::Tools,
};

/// Images in docker-registry.
#[derive(Debug)]
pub(crate) struct Images {
    pub(crate) registry: Server,
    /// What was pushed, or why nothing was.
    images: Vec<(Layout, Result<Layers, String>)>,
    _store: TempDir,
}

impl Images {
    /// Starts the registry with its store below `root`, and pushes `model` in each of `layouts`.
    pub(crate) fn push(layouts: &[Layout], model: &Model, tools: &Tools, root: &Path) -> io::Result<Self> {
        let store = tempfile::tempdir_in(root)?;
        let registry = Server::docker(store.path())?;
        let push_one = |layout: Layout| {
            eprintln!("push: {layout}");
            let home = tempfile::tempdir_in(root)?;
            push(layout, model, tools, &registry.address, home.path())?;
            layers(&registry.address, &layout.tag())
        };
        let image = |layout: &Layout| (*layout, push_one(*layout).map_err(|error| error.to_string()));
        let images = layouts.iter().map(image).collect();
        write_back(root)?;
        Ok(Self { registry, images, _store: store })
    }

    /// Returns the layers of the image of `layout`, or why there is no image.
    pub(crate) fn layers(&self, layout: Layout) -> Result<Layers, String> {
        let image = self.images.iter().find(|(pushed, _)| *pushed == layout);
        image.map_or_else(|| Err("not pushed".to_owned()), |(_, layers)| layers.clone())
    }
}

/// Pushes the model in one layout.
fn push(layout: Layout, model: &Model, tools: &Tools, registry: &str, home: &Path) -> io::Result<()> {
    let (shards, small): (Vec<_>, Vec<_>) = model.files.files().partition(|(_, file)| file.lfs);
    let small: Vec<String> = small.into_iter().map(|(path, _)| path.to_owned()).collect();
    let shards = shards.into_iter().map(|(path, _)| path.to_owned());
    let pack = |lists: &[Vec<String>], compression| {
        push_packed(&model.folder(false), lists, compression, (registry, &layout.tag()), home)
    };
    let place = Place { tools, model, hub: "", registry, home, next: false };
    match layout {
        Layout::OneLayer(compression) => pack(&[shards.chain(small).collect()], compression),
        Layout::LayerEach(compression) => {
            pack(&shards.map(|path| vec![path]).chain([small]).collect::<Vec<_>>(), compression)
        }
        Layout::Modelcar => by_tool(&place, layout, Tool::Modelcar, Source::Folder),
        Layout::Olot => by_tool(&place, layout, Tool::Olot, Source::Folder),
        Layout::OciModelcar => {
            let hub = Server::hub(&["--repo".to_owned(), format!("{MODEL}={}", model.folder(false).display())])?;
            by_tool(&Place { hub: &hub.address, ..place }, layout, Tool::OciModelcar(2), Source::Hub)
        }
    }
}

/// Pushes with the command lines of the benchmark of pushes, which have one tag, and tags the image again.
fn by_tool(place: &Place<'_>, layout: Layout, tool: Tool, from: Source) -> io::Result<()> {
    let row = Row { tool, from, to: Sink::Docker, change: Change::First };
    if let Some(why) = place.tools.missing(&row) {
        return Err(io::Error::other(why));
    }
    let log = place.home.join("log");
    place.commands(&row)?.iter_mut().try_for_each(|command| run(command, &log).map(drop))?;
    tag_again(place.registry, place.tag(), &layout.tag())
}
