//! Where an image that is read is: in a registry or in a layout.

use std::{path::PathBuf, sync::Arc};

use modelcar_core::{
    ImageRef, InvalidReference,
    progress::{NoProgress, Progress},
    registry::Repository,
};

use crate::{args::InspectArgs, connection::Connection, hint::Failure, names::Output};

/// Where an image is.
pub(super) enum Place {
    Layout { dir: PathBuf, name: Option<String> },
    Registry { repository: Repository, image: ImageRef },
}

impl Place {
    pub(super) fn parse(args: &InspectArgs) -> Result<Self, Failure> {
        if args.image.starts_with("oci:") {
            let Output::Layout { dir, name } = Output::parse(&args.image)? else {
                return Err(Failure::say(format!("`{}` is not a layout", args.image)));
            };
            return Ok(Self::Layout { dir, name });
        }
        let image: ImageRef =
            args.image.parse().map_err(|error: InvalidReference| Failure::from(error).or_meant(&args.image))?;
        let progress: Arc<dyn Progress> = Arc::new(NoProgress);
        let connection = Connection::open(&args.registry, Some((&args.login, &image)))?;
        Ok(Self::Registry { repository: connection.repository(&image, &progress)?, image })
    }
}
