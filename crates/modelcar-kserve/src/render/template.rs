//! Templates of the user, for people with a chart of their own.

use minijinja::{Environment, UndefinedBehavior};
use serde::Serialize;

use super::{
    error::RenderError,
    objects::{EnvVar, Object, Resources},
    pods,
    resolved::Resolved,
    warning::Warning,
};
use modelcar_core::facts::ModelFacts;

use crate::sizing::{NodeDisk, PullTime};

/// What a template can use. `docs/kserve.md` lists it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Values {
    name: String,
    namespace: Option<String>,
    served_name: String,
    image: String,
    digest: String,
    uri: String,
    title: Option<String>,
    revision: Option<String>,
    kserve_version: String,
    model_format: String,
    runtime: Option<String>,
    gpus: u32,
    args: Vec<String>,
    env: Vec<EnvVar>,
    resources: Resources,
    model: ModelFacts,
    disk: NodeDisk,
    pull: PullTime,
    warnings: Vec<Told>,
    objects: Vec<Object>,
}

/// A warning, and what to do about it; empty where nobody said.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Told {
    code: &'static str,
    message: String,
    remedy: String,
}

fn told(warnings: &[Warning], remedies: &[Option<String>]) -> Vec<Told> {
    let one = |(at, warning): (usize, &Warning)| Told {
        code: warning.code(),
        message: warning.to_string(),
        remedy: remedies.get(at).cloned().flatten().unwrap_or_default(),
    };
    warnings.iter().enumerate().map(one).collect()
}

impl Values {
    /// Adds what to do about each warning.
    pub(super) fn tell(&mut self, warnings: &[Warning], remedies: &[Option<String>]) {
        self.warnings = told(warnings, remedies);
    }

    pub(super) fn new(resolved: &Resolved<'_>, objects: &[Object], warnings: &[Warning]) -> Self {
        let served = resolved.served;
        Self {
            name: resolved.name.clone(),
            namespace: resolved.namespace.clone(),
            served_name: resolved.served_name.clone(),
            image: served.pinned(),
            digest: served.digest.to_string(),
            uri: resolved.uri.clone(),
            title: served.title.clone(),
            revision: served.revision.clone(),
            kserve_version: resolved.options.version.to_string(),
            model_format: resolved.server.format.clone(),
            runtime: resolved.server.runtime.clone(),
            gpus: resolved.gpus,
            args: pods::arguments(resolved),
            env: pods::environment(resolved),
            resources: pods::resources(resolved),
            model: served.facts.clone(),
            disk: NodeDisk::beside(served.bytes, resolved.server_bytes()),
            pull: served.pull,
            warnings: told(warnings, &[]),
            objects: objects.to_vec(),
        }
    }

    pub(super) fn fill(&self, template: &str, yaml: &str) -> Result<String, RenderError> {
        #[derive(Serialize)]
        struct WithYaml<'a> {
            #[serde(flatten)]
            values: &'a Values,
            yaml: &'a str,
        }
        let mut environment = Environment::new();
        // A name that is misspelt should not become nothing.
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        let values = minijinja::Value::from(minijinja::value::Serde(WithYaml { values: self, yaml }));
        environment.render_str(template, values).map_err(RenderError::Template)
    }
}
