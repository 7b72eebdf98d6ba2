//! The node: containerd with runc and CNI, and the kubelet.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::json;

use crate::{
    control_plane::Identity,
    kubectl::Kubectl,
    parts::Parts,
    program::{Programs, output, run},
    registry,
    space::CONTROL_GROUP,
    wait::{Look, Result, soon},
};

/// Name of the node.
pub(crate) const NODE: &str = "node1";
/// The address of the node on the pods' network.
const ADDRESS: &str = "10.88.7.1";
const BRIDGE: &str = "cni0";
/// Registries whose images the test registry has, as nodes in closed networks are set up.
const MIRRORED: [&str; 4] = ["docker.io", "ghcr.io", "registry.k8s.io", "quay.io"];
/// GPUs and other devices, which the node only claims to have.
const DEVICES: [(&str, &str); 4] =
    [("nvidia.com/gpu", "64"), ("amd.com/gpu", "1"), ("intel.com/gpu", "1"), ("example.com/gpu", "64")];

/// The node's files and programs.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    state: PathBuf,
    parts: Parts,
    kubeconfig: PathBuf,
}

impl Node {
    /// Writes the node's configuration.
    pub(crate) fn new(parts: &Parts, state: &Path, identity: &Identity) -> Result<Self> {
        let node = Self { state: state.join("node"), parts: parts.clone(), kubeconfig: identity.file("kubeconfig") };
        for folder in ["cni", "hosts", "kubelet", "pod-logs"] {
            fs::create_dir_all(node.state.join(folder))?;
        }
        let network = json!({"cniVersion": "1.0.0", "name": "pods", "plugins": [{
            "type": "bridge", "bridge": BRIDGE, "isGateway": true, "hairpinMode": true,
            "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.88.7.0/24"}]],
                     "dataDir": node.state.join("addresses")}}]});
        fs::write(node.state.join("cni/10-pods.conflist"), network.to_string())?;
        for host in MIRRORED.into_iter().chain(registry::ADDRESSES) {
            let folder = node.state.join("hosts").join(host);
            fs::create_dir_all(&folder)?;
            let server = if registry::ADDRESSES.contains(&host) { host } else { registry::OPEN };
            let text = format!(
                "server = \"http://{server}\"\n[host.\"http://{server}\"]\n  capabilities = [\"pull\", \"resolve\"]\n"
            );
            fs::write(folder.join("hosts.toml"), text)?;
        }
        fs::write(node.state.join("containerd.toml"), node.containerd_config())?;
        fs::write(node.state.join("kubelet.yaml"), node.kubelet_config())?;
        fs::write(node.state.join("resolv.conf"), "nameserver 127.0.0.1\n")?;
        Ok(node)
    }

    fn containerd_config(&self) -> String {
        let state = self.state.display();
        format!(
            r#"version = 3
root = "{state}/containerd"
state = "/run/containerd"
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins.'io.containerd.cri.v1.images']
  snapshotter = "overlayfs"
  [plugins.'io.containerd.cri.v1.images'.pinned_images]
    sandbox = "{pause}"
  [plugins.'io.containerd.cri.v1.images'.registry]
    config_path = "{state}/hosts"
[plugins.'io.containerd.cri.v1.runtime']
  # Where a process may not lower its own score, containers could not be started at all.
  restrict_oom_score_adj = true
  disable_apparmor = true
  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dirs = ["/usr/lib/cni"]
    conf_dir = "{state}/cni"
  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
"#,
            pause = registry::PAUSE,
        )
    }

    fn kubelet_config(&self) -> String {
        let state = self.state.display();
        format!(
            "apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
# Machines with control groups of version 1 are left out by default from 1.35 on.
failCgroupV1: false
failSwapOn: false
cgroupDriver: cgroupfs
cgroupRoot: /{CONTROL_GROUP}
enforceNodeAllocatable: []
oomScoreAdj: 0
address: {ADDRESS}
authentication: {{anonymous: {{enabled: true}}, webhook: {{enabled: false}}}}
authorization: {{mode: AlwaysAllow}}
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
resolvConf: {state}/resolv.conf
podLogsDir: {state}/pod-logs
volumePluginDir: {state}/volume-plugins
# Nothing here is about full disks: a busy machine's disk must not evict anything.
evictionHard: {{nodefs.available: '0%', imagefs.available: '0%', memory.available: 50Mi}}
imageGCHighThresholdPercent: 100
# Many small services start at once here.
serializeImagePulls: false
maxPods: 200
"
        )
    }

    /// Starts containerd and the kubelet, and waits until the node is ready.
    pub(crate) fn start(&self, kubectl: &Kubectl, programs: &mut Programs) -> Result {
        // The kubelet says where it is before the first pod makes the bridge.
        output(Command::new("ip").args(["link", "add", BRIDGE, "type", "bridge"]))?;
        run(Command::new("ip").args(["addr", "replace", &format!("{ADDRESS}/24"), "dev", BRIDGE]))?;
        run(Command::new("ip").args(["link", "set", BRIDGE, "up"]))?;
        let mut containerd = Command::new(self.parts.program("containerd"));
        containerd.arg("--config").arg(self.state.join("containerd.toml")).env("PATH", self.parts.search_path());
        programs.start("containerd", &mut containerd)?;
        soon("containerd", || {
            programs.all_run()?;
            let answer = output(Command::new(self.parts.program("ctr")).arg("version"))?;
            let said = String::from_utf8_lossy(&answer.stderr).trim().to_owned();
            Ok(if answer.status.success() { Look::Done(()) } else { Look::NotYet(said) })
        })?;
        let mut kubelet = Command::new(self.parts.program("kubelet"));
        kubelet.arg("--config").arg(self.state.join("kubelet.yaml")).arg("--kubeconfig").arg(&self.kubeconfig);
        kubelet.arg("--root-dir").arg(self.state.join("kubelet"));
        kubelet.args([&format!("--hostname-override={NODE}"), &format!("--node-ip={ADDRESS}")]);
        programs.start("kubelet", kubelet.env("PATH", self.parts.search_path()))?;
        soon("the node", || {
            programs.all_run()?;
            let ready = "jsonpath={.status.conditions[?(@.type==\"Ready\")]['status','message']}";
            let answer = kubectl.output(&["get", "node", NODE, "-o", ready])?;
            let said = String::from_utf8_lossy(&answer.stdout).trim().to_owned();
            Ok(if said.starts_with("True") { Look::Done(()) } else { Look::NotYet(said) })
        })?;
        Self::equip(kubectl)
    }

    /// Ends the kubelet and containerd; pods go on.
    pub(crate) fn stop(programs: &mut Programs) -> Result {
        programs.stop("kubelet")?;
        programs.stop("containerd")
    }

    /// Gives the node its devices and labels. A kubelet that starts takes devices away that no plug-in vouches for.
    fn equip(kubectl: &Kubectl) -> Result {
        let devices: serde_json::Map<_, _> =
            DEVICES.into_iter().map(|(name, count)| (name.to_owned(), json!(count))).collect();
        let patch = json!({"status": {"capacity": devices, "allocatable": devices}});
        kubectl.patch(&["node", NODE, "--subresource=status"], &patch)?;
        let labels = json!({"metadata": {"labels": {
            "cloud.google.com/gke-accelerator": "nvidia-l4", "pool": "models", "modelcar.io/prepull": "true"}}});
        kubectl.patch(&["node", NODE], &labels)
    }
}
