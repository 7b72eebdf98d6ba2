//! etcd, API server, controller manager and scheduler, on the loopback of the cluster's own network.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use crate::{
    kubectl::Kubectl,
    parts::Parts,
    program::Programs,
    wait::{Look, Result, soon},
};

const ADMIN_TOKEN: &str = "administrator";
const SERVICES: &str = "10.96.0.0/16";

/// Certificates and keys, as files.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    folder: PathBuf,
    /// The authority, in PEM.
    pub(crate) authority: String,
}

impl Identity {
    /// Makes an authority, certificates for the API server and the webhooks, and the key of service accounts.
    pub(crate) fn new(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "cluster");
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let identity = Self { folder: folder.to_owned(), authority: authority.pem() };
        identity.write("ca.crt", &identity.authority)?;
        let names = ["127.0.0.1", "10.96.0.1", "localhost", "kubernetes.default.svc"];
        for server in ["apiserver", "webhook"] {
            let mut params = CertificateParams::new(names.map(str::to_owned))?;
            params.distinguished_name.push(DnType::CommonName, server);
            let key = KeyPair::generate()?;
            identity.write(&format!("{server}.crt"), &params.signed_by(&key, &authority)?.pem())?;
            identity.write(&format!("{server}.key"), &key.serialize_pem())?;
        }
        let accounts = KeyPair::generate()?;
        identity.write("accounts.key", &accounts.serialize_pem())?;
        identity.write("accounts.pub", &accounts.public_key_pem())?;
        identity.write("tokens.csv", &format!("{ADMIN_TOKEN},admin,admin,\"system:masters\"\n"))?;
        identity.write("kubeconfig", &identity.kubeconfig())?;
        Ok(identity)
    }

    fn write(&self, name: &str, text: &str) -> Result {
        Ok(fs::write(self.file(name), text)?)
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn kubeconfig(&self) -> String {
        let authority = self.file("ca.crt");
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: test\n\
             clusters: [{{name: test, cluster: {{server: 'https://127.0.0.1:6443', certificate-authority: '{}'}}}}]\n\
             users: [{{name: admin, user: {{token: {ADMIN_TOKEN}}}}}]\n\
             contexts: [{{name: test, context: {{cluster: test, user: admin}}}}]\n",
            authority.display()
        )
    }
}

/// Starts the four programs and waits until the API answers.
pub(crate) fn start(parts: &Parts, state: &Path, identity: &Identity, programs: &mut Programs) -> Result<Kubectl> {
    let mut etcd = Command::new(parts.program("etcd"));
    etcd.arg("--data-dir").arg(state.join("etcd")).arg("--unsafe-no-fsync");
    etcd.args(["--listen-client-urls=http://127.0.0.1:2379", "--advertise-client-urls=http://127.0.0.1:2379"]);
    etcd.arg("--listen-peer-urls=http://127.0.0.1:2380");
    programs.start("etcd", &mut etcd)?;

    let mut server = Command::new(parts.program("kube-apiserver"));
    server.args(["--etcd-servers=http://127.0.0.1:2379", "--bind-address=127.0.0.1", "--advertise-address=127.0.0.1"]);
    server.args(["--authorization-mode=RBAC", "--allow-privileged=true", "--endpoint-reconciler-type=none"]);
    server.arg(format!("--service-cluster-ip-range={SERVICES}"));
    // No name service knows the node.
    server.arg("--kubelet-preferred-address-types=InternalIP");
    server.arg("--service-account-issuer=https://kubernetes.default.svc");
    for (flag, file) in [
        ("tls-cert-file", "apiserver.crt"),
        ("tls-private-key-file", "apiserver.key"),
        ("client-ca-file", "ca.crt"),
        ("token-auth-file", "tokens.csv"),
        ("service-account-key-file", "accounts.pub"),
        ("service-account-signing-key-file", "accounts.key"),
    ] {
        server.arg(format!("--{flag}={}", identity.file(file).display()));
    }
    programs.start("apiserver", &mut server)?;

    let kubectl = Kubectl::new(parts.program("kubectl"), &identity.file("kubeconfig"));
    soon("the API server", || {
        programs.all_run()?;
        let answer = kubectl.output(&["get", "--raw", "/readyz"])?;
        let said = String::from_utf8_lossy(&answer.stderr).trim().to_owned();
        Ok(if answer.status.success() { Look::Done(()) } else { Look::NotYet(said) })
    })?;

    let kubeconfig = format!("--kubeconfig={}", identity.file("kubeconfig").display());
    let mut manager = Command::new(parts.program("kube-controller-manager"));
    manager.args([&kubeconfig, "--leader-elect=false", "--bind-address=127.0.0.1"]);
    manager.arg(format!("--service-account-private-key-file={}", identity.file("accounts.key").display()));
    manager.arg(format!("--root-ca-file={}", identity.file("ca.crt").display()));
    programs.start("controller-manager", &mut manager)?;

    let mut scheduler = Command::new(parts.program("kube-scheduler"));
    scheduler.args([&kubeconfig, "--leader-elect=false", "--bind-address=127.0.0.1"]);
    programs.start("scheduler", &mut scheduler)?;
    Ok(kubectl)
}
