//! What a finding means: how bad it is, of which container it is, and which words in it are somebody else's.

use serde::{Serialize, Serializer, ser::SerializeStruct};

use super::{finding::Finding, wait::Wait};
use crate::findings::Severity;

impl Finding {
    /// Returns how bad it is. What a pod waits for is a warning.
    pub fn severity(&self) -> Severity {
        match self {
            Self::StartRace { .. }
            | Self::TemplateOfPod
            | Self::TemplateWithoutPod
            | Self::ModelElsewhere
            | Self::StorageUri
            | Self::MountBeside { .. }
            | Self::Event { .. }
            | Self::Symptom { .. }
            | Self::ScaledToZero
            | Self::ServiceReady
            | Self::OldDigest { .. }
            | Self::BeingDeleted { .. }
            | Self::Completed
            | Self::Superseded { .. }
            | Self::Replaced => Severity::Info,
            Self::ServerMemoryBefore { .. }
            | Self::SidecarRestarted { .. }
            | Self::ServerRestarted { .. }
            | Self::Unpinned { expected: None, .. }
            | Self::InitUser
            | Self::UsersUnknown { .. }
            | Self::RealPath { .. }
            | Self::NoPrefetch
            | Self::LinkNotForced
            | Self::Writable
            | Self::Mirrored { .. }
            | Self::SeLinux { .. }
            | Self::NoTmp { .. }
            | Self::Stopped
            | Self::ServiceNotReady { given_up: false, .. }
            | Self::ProgressDeadline { given_up: false, .. }
            | Self::Waits { .. } => Severity::Warning,
            _ => Severity::Error,
        }
    }

    /// Returns whether the pod or service is on its way because of it, and neither Ready nor failing.
    pub fn is_waiting(&self) -> bool {
        matches!(self, Self::Waits { .. } | Self::Stopped | Self::ServiceNotReady { given_up: false, .. })
    }

    /// Returns the container that it is about.
    pub fn container(&self) -> Option<&str> {
        Some(match self {
            Self::Pull { container, .. }
            | Self::RunsAsRoot { container, .. }
            | Self::NamedUser { container, .. }
            | Self::NoShell { container, .. }
            | Self::Processor { container, .. }
            | Self::MountFails { container, .. }
            | Self::NotCreated { container, .. }
            | Self::NotStarted { container, .. }
            | Self::ForeignExit { container, .. }
            | Self::SidecarMemory { container }
            | Self::NoModels { container }
            | Self::NoModelsOrEntrypoint { container }
            | Self::Link { container, .. }
            | Self::SidecarEnded { container }
            | Self::SidecarCrashes { container, .. }
            | Self::ModelDenied { container, .. }
            | Self::ModelUnseen { container, .. }
            | Self::GpuMemory { container, .. }
            | Self::ProbeKills { container, .. }
            | Self::ServerCrashes { container, .. }
            | Self::ServerMemory { container, .. }
            | Self::ServerMemoryBefore { container, .. }
            | Self::SidecarRestarted { container, .. }
            | Self::StartRace { container, .. }
            | Self::ServerRestarted { container, .. }
            | Self::Symptom { container, .. }
            | Self::NameTaken { container, .. }
            | Self::UriElsewhere { container }
            | Self::NoUri { container } => container,
            Self::MountBelow { server, .. }
            | Self::HiddenLink { server, .. }
            | Self::LocalModelCache { server, .. }
            | Self::MountBeside { server, .. }
            | Self::MountsDiffer { server, .. }
            | Self::UsersDiffer { server, .. }
            | Self::UsersUnknown { server, .. }
            | Self::GroupsDiffer { server, .. }
            | Self::RootWithoutCapabilities { server }
            | Self::SeLinux { server, .. }
            | Self::NoTmp { server }
            | Self::RealPath { server } => server,
            Self::NoVolume { sidecar } => sidecar,
            Self::DownloadFailed { .. } => "storage-initializer",
            Self::Waits { what } => return what.container(),
            _ => return None,
        })
    }

    /// Returns whether it explains why containers of a pod do not stay up.
    pub(super) fn explains_crashes(&self) -> bool {
        matches!(
            self,
            Self::HiddenLink { .. }
                | Self::LocalModelCache { .. }
                | Self::MountBelow { .. }
                | Self::MountFails { .. }
                | Self::UsersDiffer { .. }
                | Self::GroupsDiffer { .. }
                | Self::RootWithoutCapabilities { .. }
                | Self::NoSharedProcesses
                | Self::NoVolume { .. }
                | Self::VolumeKind { .. }
                | Self::MountsDiffer { .. }
                | Self::NotMounted { .. }
                | Self::SubPath { .. }
                | Self::NativeRuntime { .. }
                | Self::OciDisabled
                | Self::NameTaken { .. }
                | Self::NoLabel { .. }
                | Self::ControlPlane { .. }
                | Self::NativeOff
                | Self::NotInjected
                | Self::NoModel
                | Self::NoUri { .. }
                | Self::UriElsewhere { .. }
                | Self::NoShell { .. }
                | Self::Processor { .. }
                | Self::NotStarted { .. }
                | Self::SidecarEnded { .. }
                | Self::SidecarMemory { .. }
                | Self::Link { .. }
                | Self::NoModels { .. }
                | Self::NoModelsOrEntrypoint { .. }
                | Self::ForeignExit { .. }
        )
    }

    /// Returns the words of the cluster in it.
    pub(super) fn said_mut(&mut self) -> Vec<&mut String> {
        match self {
            Self::Ended { said, .. }
            | Self::Refused { said, .. }
            | Self::Pull { said, .. }
            | Self::NamedUser { said, .. }
            | Self::NoShell { said, .. }
            | Self::Processor { said, .. }
            | Self::NativeRuntime { said, .. }
            | Self::MountFails { said, .. }
            | Self::NotCreated { said, .. }
            | Self::Sandbox { said }
            | Self::NotStarted { said, .. }
            | Self::DownloadFailed { said }
            | Self::Link { said, .. }
            | Self::GpuMemory { said, .. }
            | Self::ProbeKills { said, .. }
            | Self::ProgressDeadline { said, .. }
            | Self::ServiceNotReady { said, .. }
            | Self::ModelFailed { said } => vec![said],
            Self::Event { actor, reason, said, .. } => vec![actor, reason, said],
            Self::Symptom { ended, .. } => words_of(ended.iter_mut()),
            Self::ModelDenied { ended, .. } | Self::ModelUnseen { ended, .. } => words_of([ended].into_iter()),
            Self::SidecarCrashes { ended, said, .. } | Self::ServerCrashes { ended, said, .. } => {
                words_of(ended.iter_mut()).into_iter().chain([said]).collect()
            }
            Self::Waits { what } => what.said_mut(),
            _ => Vec::new(),
        }
    }
}

fn words_of<'a>(endings: impl Iterator<Item = &'a mut super::ending::Ending>) -> Vec<&'a mut String> {
    endings.flat_map(|ended| [&mut ended.reason, &mut ended.said]).collect()
}

impl Wait {
    /// Returns the container that is waited for.
    fn container(&self) -> Option<&str> {
        match self {
            Self::MissingObject { container, .. } => {
                Some(container).filter(|name| !name.is_empty()).map(String::as_str)
            }
            Self::Pulling { container, .. }
            | Self::Starting { container, .. }
            | Self::Probe { container, .. }
            | Self::Restarting { container, .. } => Some(container),
            _ => None,
        }
    }

    /// Returns the words of the cluster in it.
    fn said_mut(&mut self) -> Vec<&mut String> {
        match self {
            Self::MissingObject { said, .. }
            | Self::Unschedulable { said, .. }
            | Self::Gated { said }
            | Self::Volume { said }
            | Self::Probe { said, .. }
            | Self::Gate { said, .. } => vec![said],
            Self::NotReady { phase } => vec![phase],
            Self::Restarting { ended, .. } => words_of([ended].into_iter()),
            _ => Vec::new(),
        }
    }
}

impl Serialize for Finding {
    /// Writes severity, code, container and sentence.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let container = self.container();
        let mut fields = serializer.serialize_struct("Finding", 3 + usize::from(container.is_some()))?;
        fields.serialize_field("severity", &self.severity())?;
        fields.serialize_field("code", self.code())?;
        match container {
            Some(container) => fields.serialize_field("container", container)?,
            None => fields.skip_field("container")?,
        }
        fields.serialize_field("message", &self.to_string())?;
        fields.end()
    }
}
