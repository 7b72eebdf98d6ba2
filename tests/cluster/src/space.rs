//! The namespaces that the cluster lives in: its own network, processes and mounts, which end with their first process.
//!
//! Nothing of the cluster is seen outside, no port is taken, and whatever a crash leaves behind (pods, mounts, network
//! interfaces) ends with the namespaces. Only files below `target/cluster` and empty control groups stay.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    parts::Parts,
    program::{last_words, run},
    wait::{Look, Result, is_interrupted, soon, within},
};

/// The control group that all pods lie in.
pub(crate) const CONTROL_GROUP: &str = "modelcar-cluster";

/// Files by which the commands that are outside find the cluster.
#[derive(Debug)]
pub(crate) struct Space {
    folder: PathBuf,
}

impl Space {
    pub(crate) fn new(parts: &Parts) -> Result<Self> {
        let folder = parts.made();
        fs::create_dir_all(&folder)?;
        Ok(Self { folder })
    }

    fn pid_file(&self) -> PathBuf {
        self.folder.join("pid")
    }

    /// Stands when the cluster is up.
    pub(crate) fn ready_file(&self) -> PathBuf {
        self.folder.join("ready")
    }

    /// Asks a cluster that was left running to end.
    pub(crate) fn stop_file(&self) -> PathBuf {
        self.folder.join("stop")
    }

    /// Starts this program again in namespaces of its own, with `args`.
    pub(crate) fn enter(&self, args: &[String], stay: bool) -> Result<Child> {
        let mut unshare = Command::new("unshare");
        unshare.args(["--net", "--pid", "--ipc", "--uts", "--fork", "--kill-child", "--mount-proc"]);
        // The first process of a namespace has to reap what others leave.
        unshare.args(["--", "catatonit", "--"]).arg(env::current_exe()?).args(args);
        if stay {
            use std::os::unix::process::CommandExt as _;
            let log = fs::File::create(self.folder.join("cluster.log"))?;
            unshare.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
        }
        for file in [self.ready_file(), self.stop_file()] {
            fs::remove_file(file).ok();
        }
        let child = unshare.spawn()?;
        fs::write(self.pid_file(), format!("{} {}", child.id(), started(child.id()).unwrap_or_default()))?;
        Ok(child)
    }

    /// Waits for the end of what runs inside. A signal that only this process gets is handed on.
    pub(crate) fn wait(&self, child: &mut Child) -> Result<ExitStatus> {
        let mut told = false;
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
            if is_interrupted() && !told {
                told = true;
                if let Some(first) = self.first_process().ok().and_then(Pid::from_raw) {
                    kill_process(first, Signal::TERM)?;
                }
            }
            thread::sleep(Duration::from_millis(200));
        }
    }

    /// Waits until a cluster that stays is up.
    pub(crate) fn wait_until_up(&self, child: &mut Child) -> Result {
        let log = self.folder.join("cluster.log");
        soon("the cluster", || {
            if let Some(status) = child.try_wait()? {
                return Err(format!("the cluster did not come up ({status}): {}", last_words(&log)).into());
            }
            Ok(if self.ready_file().exists() { Look::Done(()) } else { Look::NotYet(last_words(&log)) })
        })
    }

    /// Returns the id of the process that holds the namespaces, when there is one.
    fn holder(&self) -> Option<u32> {
        let text = fs::read_to_string(self.pid_file()).ok()?;
        let (pid, start) = text.split_once(' ')?;
        let pid = pid.parse().ok()?;
        // The id may be a stranger's by now; the time of its start tells.
        (started(pid).as_deref() == Some(start)).then_some(pid)
    }

    /// Fails when a cluster runs: it may be somebody's work, or another run of the tests.
    pub(crate) fn is_free(&self) -> Result {
        match self.holder() {
            Some(pid) => Err(format!("a cluster runs (process {pid}): make cluster-down ends it").into()),
            None => Ok(()),
        }
    }

    /// Ends a cluster that was left running, or that an earlier run could not end.
    pub(crate) fn end(&self) -> Result {
        if let Some(holder) = self.holder() {
            fs::write(self.stop_file(), "")?;
            let gone = || if self.holder().is_none() { Look::Done(()) } else { Look::NotYet("it is there".to_owned()) };
            if within("the end of the cluster", 60, || Ok(gone())).is_err() {
                // With it the kernel ends every process of the namespaces.
                if let Some(pid) = i32::try_from(holder).ok().and_then(Pid::from_raw) {
                    kill_process(pid, Signal::KILL)?;
                }
                within("the end of the cluster's processes", 20, || Ok(gone()))?;
            }
        }
        for file in [self.pid_file(), self.ready_file(), self.stop_file()] {
            fs::remove_file(file).ok();
        }
        remove_control_groups();
        Ok(())
    }

    /// Returns the id of the namespaces' first process, as it is seen from outside.
    fn first_process(&self) -> Result<i32> {
        let holder = self.holder().ok_or("no cluster is up: make cluster-up starts one")?;
        let children = fs::read_to_string(format!("/proc/{holder}/task/{holder}/children"))?;
        Ok(children.split_whitespace().next().ok_or("the cluster has ended")?.parse()?)
    }

    /// Returns a command inside the namespaces of a running cluster.
    pub(crate) fn command(&self) -> Result<Command> {
        let first = self.first_process()?.to_string();
        let mut enter = Command::new("nsenter");
        enter.args(["--target", &first, "--net", "--pid", "--ipc", "--uts", "--mount", "--wd=."]);
        enter.arg("--");
        Ok(enter)
    }
}

/// Returns when a process started, in the kernel's own count.
fn started(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold spaces; it ends with the last bracket. Field 22 is the start, a zombie (field 3) has ended.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    (fields.first() != Some(&"Z")).then(|| fields.get(19).map(|start| (*start).to_owned())).flatten()
}

/// Makes the inside of fresh namespaces fit for a node.
pub(crate) fn furnish() -> Result {
    // Sockets and the files of network namespaces have short paths here and are seen by nobody else.
    run(Command::new("mount").args(["-t", "tmpfs", "tmpfs", "/run"]))?;
    run(Command::new("ip").args(["link", "set", "lo", "up"]))?;
    make_control_groups();
    Ok(())
}

/// Returns the folders of the control group, one for each hierarchy.
fn control_groups() -> Vec<PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    if root.join("cgroup.controllers").exists() {
        return vec![root.join(CONTROL_GROUP)];
    }
    let hierarchies = fs::read_dir(root).into_iter().flatten().filter_map(std::result::Result::ok);
    hierarchies.map(|entry| entry.path().join(CONTROL_GROUP)).collect()
}

fn make_control_groups() {
    for group in control_groups() {
        // A folder of links and plain files is no hierarchy and takes no folder.
        if fs::create_dir_all(&group).is_err() {
            continue;
        }
        let Some(parent) = group.parent() else { continue };
        for file in ["cpuset.cpus", "cpuset.mems"] {
            if let (Ok(value), true) = (fs::read_to_string(parent.join(file)), group.join(file).exists()) {
                fs::write(group.join(file), value.trim()).ok();
            }
        }
        // Version 2 hands controllers down one by one.
        if let Ok(controllers) = fs::read_to_string(group.join("cgroup.controllers")) {
            let all: Vec<String> = controllers.split_whitespace().map(|name| format!("+{name}")).collect();
            fs::write(group.join("cgroup.subtree_control"), all.join(" ")).ok();
        }
    }
}

fn remove_control_groups() {
    fn remove(folder: &Path) {
        for entry in fs::read_dir(folder).into_iter().flatten().filter_map(std::result::Result::ok) {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                remove(&entry.path());
            }
        }
        fs::remove_dir(folder).ok();
    }
    for group in control_groups() {
        remove(&group);
    }
}
