//! Processes of this machine: started, signalled, watched, ended.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::rc::Rc;

use async_trait::async_trait;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::ChildStdout;
use tokio::sync::watch;
use ttg_contract::variables;

use super::Unavailable;
use super::host::{Host, Hosted, Stdout};
use super::janitor::{self, Janitor};
use super::reaper::{self, Reaped};
use super::server::Seen;
use crate::last_words;

/// What to start.
#[derive(Debug, Clone)]
pub struct Program {
    /// `worker-0`, `coordinator`, `aggregator`, `redis-server`.
    pub name: String,
    /// Program and arguments.
    pub command: Vec<OsString>,
    /// Variables over the harness's own environment.
    pub variables: Vec<(String, String)>,
    /// Where its standard output goes.
    pub output: Output,
    /// Whether it runs in a container.
    pub in_container: bool,
    /// The image that it runs in then, where it is not our own.
    pub image: Option<String>,
    /// Whether it is to run out of memory there.
    pub may_run_out: bool,
}

/// Where standard output goes. Standard error always goes to the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// To the log too.
    Log,
    /// To `<name>.out` beside the log.
    File,
    /// To the harness.
    Pipe,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// Exit code, where it exited.
    pub code: Option<i32>,
    /// Signal number, where a signal ended it.
    pub signal: Option<i32>,
}

impl Exit {
    /// Of a container: with what it adds to the number of the signal that ended it.
    pub(super) fn of_container(code: i32) -> Self {
        const BY_SIGNAL: i32 = 128;
        match code > BY_SIGNAL {
            true => Self { code: None, signal: Some(code - BY_SIGNAL) },
            false => Self { code: Some(code), signal: None },
        }
    }
}

/// A process that was started.
#[derive(Clone)]
pub struct Process {
    /// As in [`Program`].
    pub name: String,
    /// Operating system's process id; on a cluster, a number of the run's own.
    pub pid: u32,
    exit: watch::Receiver<Option<Exit>>,
    container: Option<Rc<dyn Contained>>,
    /// Somebody has stopped it.
    is_held: Rc<Cell<bool>>,
}

impl Process {
    /// How it ended, if it has.
    pub fn exit(&self) -> Option<Exit> {
        *self.exit.borrow()
    }

    /// Waits for its end.
    pub async fn ended(&self) -> Exit {
        let mut exit = self.exit.clone();
        match exit.wait_for(Option::is_some).await.map(|exit| *exit) {
            Ok(Some(exit)) => exit,
            // The one who waits for it went away, at the end of everything.
            _ => std::future::pending().await,
        }
    }

    /// Sends a signal; false where it has ended already.
    pub async fn signal(&self, signal: Signal) -> bool {
        match signal {
            Signal::STOP => self.is_held.set(true),
            Signal::CONT => self.is_held.set(false),
            _ => {}
        }
        self.send(signal).await
    }

    async fn send(&self, signal: Signal) -> bool {
        if self.exit().is_some() {
            return false;
        }
        match &self.container {
            // The engine may: it is another user's.
            Some(container) => container.signal(signal).await,
            // Until its end is known it is not reaped, so the id cannot be another's.
            None => self.raw().is_some_and(|pid| kill_process(pid, signal).is_ok()),
        }
    }

    /// Sends a signal unless somebody has stopped it (SIGSTOP) and not let it go on yet: what only
    /// slows it down must not wake it.
    pub async fn nudge(&self, signal: Signal) {
        if !self.is_held.get() {
            self.send(signal).await;
        }
    }

    /// The container that it is the first process of.
    pub fn container(&self) -> Option<&Rc<dyn Contained>> {
        self.container.as_ref()
    }

    /// The state letter of the kernel's process table: `T` is stopped, `Z` and nothing are dead.
    pub fn state(&self) -> Option<char> {
        let told = self.container.as_ref().and_then(|container| container.state());
        told.or_else(|| state_of(self.pid))
    }

    /// `process 4711`, or `pod ttg-worker-1 (uid 3f2a9c01)`.
    pub fn describe(&self) -> String {
        let told = self.container.as_ref().and_then(|container| container.describe());
        told.unwrap_or_else(|| format!("process {}", self.pid))
    }

    /// Waits until it runs, or has run, where that takes longer than to start it.
    ///
    /// # Errors
    /// Where it will not run.
    pub async fn runs(&self) -> Result<(), Unavailable> {
        match &self.container {
            Some(container) => container.runs().await,
            None => Ok(()),
        }
    }

    fn raw(&self) -> Option<Pid> {
        Pid::from_raw(i32::try_from(self.pid).ok()?)
    }
}

/// The state letter of a process.
pub(super) fn state_of(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in brackets, and may hold anything.
    stat.rsplit_once(')')?.1.trim_start().chars().next()
}

/// What the engine can do to the container of a process.
#[async_trait(?Send)]
pub trait Contained {
    /// Sends a signal to its first process.
    async fn signal(&self, signal: Signal) -> bool;

    /// What it is called, where its process id says nothing.
    fn describe(&self) -> Option<String> {
        None
    }

    /// The state letter of its first process, where this machine's kernel does not know it.
    fn state(&self) -> Option<char> {
        None
    }

    /// The node that it is on, where it is on a cluster.
    fn node(&self) -> Option<String> {
        None
    }

    /// Waits until it runs, or has run.
    async fn runs(&self) -> Result<(), Unavailable> {
        Ok(())
    }

    /// Deletes it with no grace. Returns what was seen.
    async fn delete(&self) -> Seen {
        Err(Unavailable("only a Pod is deleted".to_owned()))
    }

    /// Cuts it off from the broker at this host and port, by the network that it is in. Returns what
    /// was seen.
    async fn cut_off(&self, _host: &str, _port: u16) -> Seen {
        Err(Unavailable("its network is not ours to cut".to_owned()))
    }

    /// Mends that. What could not be mended is said.
    async fn mend(&self) -> Result<(), Unavailable> {
        Ok(())
    }

    /// Asks for it to be moved off its node. Returns what was seen.
    async fn evict(&self) -> Seen {
        Err(Unavailable("only a Pod is evicted".to_owned()))
    }

    /// Whether it has no quota of a CPU that could be changed, so that signals have to do.
    fn takes_turns(&self) -> bool {
        false
    }

    /// Gives it this share of a CPU at most, or all that there is. Returns what was seen.
    async fn limit_cpu(&self, share: Option<f64>) -> Seen;

    /// Uses up its memory until the kernel ends it. Returns what was seen.
    async fn exhaust_memory(&self) -> Seen;
}

/// A process, and what it prints, where somebody wants to read it.
pub(super) type Started = (Process, Option<Stdout>);

/// All processes of a run. They, and what they have started, end when this is dropped.
pub struct Fleet {
    logs: PathBuf,
    processes: RefCell<BTreeMap<String, Process>>,
    /// Of those that were started on this machine; those that have ended are forgotten by and by.
    reapers: RefCell<Vec<Child>>,
    janitor: Janitor,
    host: Option<Rc<Host>>,
    /// How often each name was started.
    lives: RefCell<BTreeMap<String, u32>>,
}

impl Fleet {
    /// A fleet whose logs go to `logs`, which must exist and be of this run alone.
    ///
    /// # Errors
    /// Where nothing can be started that would end it.
    pub fn new(logs: &Path, host: Option<Rc<Host>>) -> io::Result<Self> {
        let arguments = host.as_ref().map(|host| host.janitor_arguments()).unwrap_or_default();
        let janitor = Janitor::start(logs, &arguments)?;
        let (processes, reapers, lives) = Default::default();
        Ok(Self { logs: logs.to_owned(), processes, reapers, janitor, host, lives })
    }

    /// Where its processes are, other than on this machine itself.
    pub fn host(&self) -> Option<&Host> {
        self.host.as_deref()
    }

    async fn start_on(&self, host: &Host, program: &Program) -> io::Result<Started> {
        let life = {
            let mut lives = self.lives.borrow_mut();
            let life = lives.entry(program.name.clone()).or_default();
            *life += 1;
            *life
        };
        let started = host.start(program, life, &self.logs).await;
        let Hosted { pid, contained, stdout, end } = started.map_err(io::Error::other)?;
        let (ended, exit) = watch::channel(None);
        tokio::task::spawn_local(async move {
            let _ = ended.send(Some(end.await));
        });
        let name = program.name.clone();
        let process =
            Process { name, pid, exit, container: Some(contained), is_held: Rc::default() };
        self.processes.borrow_mut().insert(program.name.clone(), process.clone());
        Ok((process, stdout))
    }

    /// Starts a program. One that was there under this name is forgotten; it must have ended.
    ///
    /// # Errors
    /// Where the program cannot be started or its log not written.
    pub async fn start(&self, program: &Program) -> io::Result<Started> {
        if let Some(host) = self.host.as_deref().filter(|_| program.in_container) {
            return self.start_on(host, program).await;
        }
        let log = self.open_log(&program.name, "log")?;
        let mut command = reaper::command(self.janitor.mark(), &program.command)?;
        command.env_clear().envs(self.environment(program));
        command.stderr(log.try_clone()?);
        command.stdout(match program.output {
            Output::Log => log.into(),
            Output::File => Stdio::from(self.open_log(&program.name, "out")?),
            Output::Pipe => Stdio::piped(),
        });
        let (mut reaped, mut reaper) = Reaped::start(command)?;
        let stdout = reaper.stdout.take();
        self.keep(reaper);
        let pid = reaped.pid().await?;
        let stdout = stdout.map(ChildStdout::from_std).transpose()?;
        let stdout = stdout.map(|stdout| Box::new(stdout) as Stdout);
        let (ended, exit) = watch::channel(None);
        tokio::task::spawn_local(async move {
            let _ = ended.send(Some(reaped.ended().await));
        });
        let process = Process {
            name: program.name.clone(),
            pid,
            exit,
            container: None,
            is_held: Rc::default(),
        };
        self.processes.borrow_mut().insert(program.name.clone(), process.clone());
        Ok((process, stdout))
    }

    /// Keeps a reaper until it has ended.
    fn keep(&self, reaper: Child) {
        let mut reapers = self.reapers.borrow_mut();
        reapers.retain_mut(|reaper| !matches!(reaper.try_wait(), Ok(Some(_))));
        reapers.push(reaper);
    }

    /// As the environment of `program`, for one that has no reaper: with the run's mark, by which the
    /// janitor finds what is left of it.
    pub fn marked_environment(&self, program: &Program) -> Vec<(OsString, OsString)> {
        let mark = (janitor::VARIABLE.into(), self.janitor.mark().to_owned());
        self.environment(program).into_iter().chain([mark]).collect()
    }

    /// All environment variables of a program on this machine: its own, and of those of whoever called
    /// the harness what is none of the system's.
    fn environment(&self, program: &Program) -> Vec<(OsString, OsString)> {
        let callers = std::env::vars_os().filter(|(name, _)| !variables::is_of_system(name));
        let own = program.variables.iter().map(|(name, value)| (name.into(), value.into()));
        callers.chain(own).collect()
    }

    /// The process of this name.
    pub fn get(&self, name: &str) -> Option<Process> {
        self.processes.borrow().get(name).cloned()
    }

    /// Workers that have not ended, by number.
    pub fn workers(&self) -> Vec<Process> {
        let mut workers: Vec<(u64, Process)> = self
            .processes
            .borrow()
            .values()
            .filter(|process| process.exit().is_none())
            .filter_map(|process| Some((worker_number(&process.name)?, process.clone())))
            .collect();
        workers.sort_unstable_by_key(|(number, _)| *number);
        workers.into_iter().map(|(_, process)| process).collect()
    }

    /// Everything that has not ended.
    pub fn living(&self) -> Vec<Process> {
        self.processes
            .borrow()
            .values()
            .filter(|process| process.exit().is_none())
            .cloned()
            .collect()
    }

    /// The last lines that a process wrote to its log.
    pub fn said(&self, name: &str) -> Option<String> {
        last_words::of_file(&self.log_path(name, "log"))
    }

    /// The logs of workers, with their names.
    pub fn worker_logs(&self) -> Vec<(String, PathBuf)> {
        let processes = self.processes.borrow();
        let names = processes.keys().filter(|name| worker_number(name).is_some());
        names.map(|name| (name.clone(), self.log_path(name, "log"))).collect()
    }

    /// What a process with [`Output::File`] wrote from there on, up to `bound` bytes.
    pub fn output_from(&self, name: &str, from: u64, bound: u64) -> Option<Vec<u8>> {
        let mut file = File::open(self.log_path(name, "out")).ok()?;
        file.seek(SeekFrom::Start(from)).ok()?;
        let mut bytes = Vec::new();
        file.take(bound).read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }

    fn open_log(&self, name: &str, ending: &str) -> io::Result<File> {
        OpenOptions::new().create(true).append(true).open(self.log_path(name, ending))
    }

    fn log_path(&self, name: &str, ending: &str) -> PathBuf {
        self.logs.join(format!("{name}.{ending}"))
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        // Nobody listens to them any more, so they end, and bound their own work.
        for reaper in self.reapers.get_mut() {
            let _ = reaper.wait();
        }
    }
}

/// A program of the system: this program again, in another role.
pub fn role_command(defect: Option<&str>, arguments: &[&str]) -> io::Result<Vec<OsString>> {
    let mut command = vec![std::env::current_exe()?.into_os_string()];
    match defect {
        None => command.push("system".into()),
        Some(defect) => command.extend(["defect".into(), defect.into()]),
    }
    command.extend(arguments.iter().map(Into::into));
    Ok(command)
}

fn worker_number(name: &str) -> Option<u64> {
    name.strip_prefix("worker-")?.parse().ok()
}
