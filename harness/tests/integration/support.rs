//! The real binary, in a directory of its own that goes when its test has passed.

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// Longer than anything takes that a test waits for, on a machine with other things to do.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A tenth of the work, which leaves the efficiency to the costs of a debug build.
pub(crate) const QUICK: [&str; 6] = [
    "--set",
    "sweep.kernel={work_ms: 10}",
    "--set",
    "expect.efficiency_min=null",
    "--set",
    "expect.recovery_max=5s",
];

/// A directory to run the harness in; it stays for those who investigate a failure.
pub(crate) struct Sandbox(TempDir);

impl Sandbox {
    pub(crate) fn new() -> Self {
        Self(tempfile::Builder::new().prefix("ttg-harness-test-").tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// The harness with these arguments, not yet started.
    pub(crate) fn harness<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_harness"));
        command.args(arguments).current_dir(self.path()).stdin(Stdio::null());
        for of_the_terminal in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "COLUMNS"] {
            command.env_remove(of_the_terminal);
        }
        command
    }

    /// Runs the harness to its end.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Said {
        finish(&mut self.harness(arguments))
    }

    /// Starts the harness, with nobody who reads what it says.
    pub(crate) fn start<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Child {
        self.harness(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// The directory of the last run of a scenario, below the default of `--out`.
    pub(crate) fn latest(&self, scenario: &str) -> PathBuf {
        self.path().join("runs").join(scenario).join("latest")
    }

    /// Writes a file, and says where.
    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        let path = self.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    /// Everything that is in the directory, sorted.
    pub(crate) fn entries(&self) -> Vec<String> {
        let name = |entry: fs::DirEntry| entry.file_name().into_string().unwrap();
        let mut names: Vec<String> =
            fs::read_dir(self.path()).unwrap().map(|entry| name(entry.unwrap())).collect();
        names.sort();
        names
    }

    /// Living processes that belong here: by what they were started with, or where they work (a
    /// Redis server overwrites the former).
    pub(crate) fn living(&self) -> Vec<String> {
        let wanted = self.path().as_os_str().as_bytes();
        let contains = |text: &[u8]| text.windows(wanted.len()).any(|part| part == wanted);
        let mut living = Vec::new();
        for process in fs::read_dir("/proc").unwrap().flatten() {
            let path = process.path();
            let read = |file: &str| fs::read(path.join(file)).unwrap_or_default();
            let works_here =
                fs::read_link(path.join("cwd")).is_ok_and(|cwd| cwd.starts_with(self.path()));
            let command = read("cmdline");
            // A dead one that nobody has asked for yet has neither.
            if works_here || contains(&command) || contains(&read("environ")) {
                let command = String::from_utf8_lossy(&command).replace('\0', " ");
                living.push(format!("{}: {command}", process.file_name().display()));
            }
        }
        living
    }

    /// Waits until no process is left, which a system may take a moment to see to.
    pub(crate) fn assert_that_nothing_lives(&self) {
        eventually(|| match self.living() {
            none if none.is_empty() => Ok(()),
            living => Err(format!("these live on: {living:#?}")),
        });
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.disable_cleanup(true);
            eprintln!("kept for you: {}", self.path().display());
        }
    }
}

/// What an ended harness said.
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exit code {:?}\n{}{}", self.code, self.stderr, self.stdout)
    }
}

/// Runs a command to its end.
pub(crate) fn finish(command: &mut Command) -> Said {
    let output = command.output().unwrap();
    Said {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Tries until it succeeds. The one place where a test sleeps: the system has no event to tell.
pub(crate) fn eventually<T>(attempt: impl FnMut() -> Result<T, String>) -> T {
    eventually_within(PATIENCE, attempt)
}

/// The same with a patience of its own.
pub(crate) fn eventually_within<T>(
    patience: Duration,
    mut attempt: impl FnMut() -> Result<T, String>,
) -> T {
    let deadline = Instant::now() + patience;
    loop {
        match attempt() {
            Ok(value) => return value,
            Err(why) if Instant::now() > deadline => panic!("after {patience:?} still: {why}"),
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

/// A scenario of one fault, with its workers in containers or Pods.
pub(crate) fn struck(
    sandbox: &Sandbox,
    environment: &str,
    backend: &str,
    fault: &str,
    more: &str,
) -> String {
    sandbox.write(
        "struck.yaml",
        &format!(
            "name: struck\n\
             description: One fault where processes are hosted.\n\
             sweep: {{ params: 600, chunk_size: 10, kernel: {{ reference: {{ work_ms: 10 }} }} }}\n\
             backend: {backend}\n\
             environment: {environment}\n\
             workers_in: container\n\
             workers: 3\n\
             faults: [{{ at: 20%, {fault} }}]\n\
             {more}"
        ),
    )
}

/// The file of a shipped scenario.
pub(crate) fn shipped(name: &str) -> String {
    scenarios().join(format!("{name}.yaml")).display().to_string()
}

/// The directory of the shipped scenarios.
pub(crate) fn scenarios() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios")
}

/// A JSON file of a run.
pub(crate) fn json(path: impl AsRef<Path>) -> Value {
    let path = path.as_ref();
    let text = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap()
}

/// A run's history, line by line; one that is being written may end in half a line.
pub(crate) fn events(run: &Path) -> Vec<Value> {
    let text = fs::read_to_string(run.join("events.jsonl")).unwrap_or_default();
    text.split_inclusive('\n')
        .filter(|line| line.ends_with('\n'))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The reasons of a run's results, as one text.
pub(crate) fn reasons(run: &Path) -> String {
    let results = json(run.join("results.json"));
    let reasons = results["reasons"].as_array().unwrap();
    reasons.iter().map(|reason| reason.as_str().unwrap()).collect::<Vec<_>>().join("\n")
}
