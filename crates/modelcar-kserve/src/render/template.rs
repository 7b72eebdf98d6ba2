//! Templates of the user, for people with a chart of their own.

use minijinja::{Environment, UndefinedBehavior};
use serde::Serialize;

use super::{
    choice::Choice,
    error::RenderError,
    objects::{EnvVar, Object, Resources},
    pods,
    warning::Warning,
};
use modelcar_core::facts::ModelFacts;

use crate::sizing::NodeDisk;

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

    pub(super) fn new(choice: &Choice<'_>, objects: &[Object], warnings: &[Warning]) -> Self {
        let subject = choice.subject;
        Self {
            name: choice.name.clone(),
            namespace: choice.namespace.clone(),
            served_name: choice.served_name.clone(),
            image: subject.pinned(),
            digest: subject.digest.to_string(),
            uri: choice.uri.clone(),
            title: subject.title.clone(),
            revision: subject.revision.clone(),
            kserve_version: choice.options.version.to_string(),
            model_format: choice.server.format.clone(),
            runtime: choice.server.runtime.clone(),
            gpus: choice.gpus,
            args: pods::arguments(choice),
            env: pods::environment(choice),
            resources: pods::resources(choice),
            model: subject.facts.clone(),
            disk: NodeDisk::beside(subject.bytes, choice.server_bytes()),
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
