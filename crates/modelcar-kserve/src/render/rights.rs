//! Users, groups and rights of the pods that are rendered.

use super::{
    objects::{Capabilities, PodSecurityContext, SeccompProfile, SecurityContext},
    resolved::Resolved,
};
use crate::SidecarUser;

/// What the container runtime gives a user without an entry in `/etc/passwd`.
const GROUP: u32 = 0;
const SECCOMP: SeccompProfile = SeccompProfile { profile: "RuntimeDefault" };

/// Returns users and groups of every container of the pod.
///
/// Beside a sidecar: the server reads the sidecar's files through `/proc`, which the kernel allows only when both have
/// the same user *and* group. The group is 0 unless an image's `/etc/passwd` says otherwise; written down, it is 0 in
/// any case. A container runtime takes no group without a user, so both are written or neither. KServe writes its
/// `uidModelcar` over the user of both containers, so they stay equal where the configuration has another one.
///
/// With an image volume or a download: what the Pod Security level `restricted` asks for and KServe's runtimes leave out.
///
/// Knative takes none unless a feature flag is set: [`at_container`] has the same.
pub(super) fn at_pod(resolved: &Resolved<'_>) -> Option<PodSecurityContext> {
    let user = resolved.options.kserve_uid.uid();
    let context = if resolved.is_sidecar() {
        PodSecurityContext { run_as_user: user, run_as_group: user.map(|_| GROUP), ..PodSecurityContext::default() }
    } else {
        PodSecurityContext {
            run_as_user: user,
            run_as_non_root: Some(true),
            seccomp_profile: Some(SECCOMP),
            ..PodSecurityContext::default()
        }
    };
    (!resolved.is_knative() && context != PodSecurityContext::default()).then_some(context)
}

/// Returns what of [`at_pod`] stands at the server itself.
pub(super) fn at_container(resolved: &Resolved<'_>) -> Option<SecurityContext> {
    let user = resolved.options.kserve_uid.uid();
    let context = if resolved.is_sidecar() {
        SecurityContext { run_as_user: user, run_as_group: user.map(|_| GROUP), ..SecurityContext::default() }
    } else {
        SecurityContext {
            run_as_user: user,
            run_as_non_root: Some(true),
            seccomp_profile: Some(SECCOMP),
            ..SecurityContext::default()
        }
    };
    (resolved.is_knative() && context != SecurityContext::default()).then_some(context)
}

/// Returns the rights of a server in a container of the user's own: none, over those of [`at_container`].
///
/// One that runs as root keeps its capabilities: the kernel lets it look into a sidecar of root only when it has them.
pub(super) fn of_custom_container(resolved: &Resolved<'_>) -> SecurityContext {
    let own = at_container(resolved).unwrap_or_default();
    match resolved.options.kserve_uid {
        SidecarUser::Uid(0) => SecurityContext { allow_privilege_escalation: Some(false), ..own },
        SidecarUser::Uid(_) | SidecarUser::None => without_rights(own),
    }
}

/// Returns the rights of the container that holds an image on a node. It reads nothing of it, so that any user but root
/// does; KServe does not set it.
pub(super) fn of_holder(resolved: &Resolved<'_>) -> SecurityContext {
    let user = match resolved.options.kserve_uid {
        SidecarUser::Uid(_) => SidecarUser::default().uid(),
        SidecarUser::None => None,
    };
    without_rights(SecurityContext { run_as_user: user, seccomp_profile: Some(SECCOMP), ..SecurityContext::default() })
}

fn without_rights(over: SecurityContext) -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities { drop: vec!["ALL".to_owned()] }),
        run_as_non_root: Some(true),
        ..over
    }
}
