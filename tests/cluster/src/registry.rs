//! Two registries: an open one, which also stands in for the public ones, and one with a password.

use std::{fmt::Write as _, fs, path::Path, process::Command};

use crate::{
    program::{Programs, answers},
    wait::{Look, Result, soon},
};

/// The open registry.
pub(crate) const OPEN: &str = "127.0.0.1:5000";
/// The registry that asks for a login.
pub(crate) const PRIVATE: &str = "127.0.0.1:5001";
/// The open registry behind a slow line.
pub(crate) const SLOW: &str = "127.0.0.1:5002";
/// All of them.
pub(crate) const ADDRESSES: [&str; 3] = [OPEN, PRIVATE, SLOW];
/// The image that holds a pod's namespaces.
pub(crate) const PAUSE: &str = "127.0.0.1:5000/pause:1";
/// The login of the private registry.
pub(crate) const USER: &str = "puller";
pub(crate) const PASSWORD: &str = "open-sesame";
/// The login as htpasswd keeps it.
const HTPASSWD: &str = "puller:$2b$05$0hoLFx344cx/uIRRK9E4MepA5oXnA7oSlX6x6ylQrNc0MnJpUE/M6";

/// Starts both and waits until they answer.
pub(crate) fn start(state: &Path, programs: &mut Programs) -> Result {
    let folder = state.join("registry");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("htpasswd"), format!("{HTPASSWD}\n"))?;
    for (name, address) in [("registry", OPEN), ("private-registry", PRIVATE)] {
        let mut config = format!(
            "version: 0.1\nlog: {{level: warn}}\nstorage: {{filesystem: {{rootdirectory: '{}'}}, delete: {{enabled: \
             true}}}}\nhttp: {{addr: '{address}'}}\n",
            folder.join(name).display()
        );
        if address == PRIVATE {
            let passwords = folder.join("htpasswd");
            writeln!(config, "auth: {{htpasswd: {{realm: models, path: '{}'}}}}", passwords.display())?;
        }
        let file = folder.join(format!("{name}.yml"));
        fs::write(&file, config)?;
        programs.start(name, Command::new("docker-registry").arg("serve").arg(file))?;
    }
    soon("the registry", || {
        programs.all_run()?;
        Ok(if answers(5000, "/v2/") { Look::Done(()) } else { Look::NotYet("no answer".to_owned()) })
    })
}
