//! Signals to processes in a Pod: a second container of it, which has a shell, sees the processes of the
//! first and may signal them, being the same user. So they can be stopped, let go and killed (SIGKILL)
//! without anything being deleted, whatever their own image holds, and without any privilege: the
//! kubelet by itself never sends a SIGKILL before a SIGTERM and two seconds.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, EnvVar, Pod, PodSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::api::{Api, AttachParams, AttachedProcess};
use tokio::io::{AsyncBufReadExt, AsyncWrite, AsyncWriteExt, BufReader, Lines};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::run::Run;
use super::trouble;
use crate::environment::Unavailable;
use crate::words::quoted;

/// Name of the second container.
pub(super) const CONTAINER: &str = "hand";

/// What is said on the command line of whatever belongs to it.
const MARK: &str = "ttg-hand";

/// What the second container runs: it reads signals to send, and sends them.
const SCRIPT: &str = include_str!("hand.sh");

/// The variable that holds it: the command of a shell is part of an address, which proxies cut off.
const VARIABLE: &str = "TTG_HAND";

/// What carries it out.
const RUN_IT: &str = "eval \"$TTG_HAND\"";

/// How long a signal may take to be sent and seen.
const ANSWER: Duration = Duration::from_secs(5);

/// When the second container ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ends {
    /// Once the first has: the Pod is over then.
    WithTheFirst,
    /// With the Pod, and not before: the first is started again.
    Never,
}

/// Puts the second container into a Pod that is to be: of an image with a shell, and as restricted as
/// the first.
pub(super) fn add(pod: &mut PodSpec, image: &str, ends: Ends) {
    let Some(first) = pod.containers.first() else { return };
    let quantities = |cpu: &str, memory: &str| {
        let pairs = [("cpu", cpu), ("memory", memory)];
        Some(pairs.map(|(name, value)| (name.to_owned(), Quantity(value.to_owned()))).into())
    };
    let mode = if ends == Ends::Never { "stay" } else { "leave" };
    let words = ["sh", "-c", RUN_IT, MARK, mode];
    let script =
        EnvVar { name: VARIABLE.to_owned(), value: Some(SCRIPT.to_owned()), value_from: None };
    let hand = Container {
        name: CONTAINER.to_owned(),
        image: Some(image.to_owned()),
        image_pull_policy: Some("IfNotPresent".to_owned()),
        command: Some(words.map(str::to_owned).into()),
        env: Some(vec![script]),
        security_context: first.security_context.clone(),
        resources: Some(ResourceRequirements {
            requests: quantities("10m", "16Mi"),
            limits: quantities("200m", "64Mi"),
            ..Default::default()
        }),
        ..Default::default()
    };
    pod.containers.push(hand);
    pod.share_process_namespace = Some(true);
}

/// Whether a Pod has it.
pub(super) fn is_in(pod: &Pod) -> bool {
    let containers = pod.spec.as_ref().map(|spec| &spec.containers[..]).unwrap_or_default();
    containers.iter().any(|it| it.name == CONTAINER)
}

/// What became of a signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// It was sent; the first process, in the Pod's own count, and the letter of its state then.
    Sent { pid: u32, state: char },
    /// There is no process any more.
    Gone,
}

/// A connection that is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Connection {
    /// Bytes that the other side has not confirmed.
    unconfirmed: u64,
    /// How often they were sent again, with nothing confirmed since.
    again: u64,
}

impl Connection {
    /// Nothing gets through: once may be an accident.
    pub(super) fn is_stuck(self) -> bool {
        self.unconfirmed > 0 && self.again >= 2
    }
}

/// The second container of a Pod.
pub(super) struct Hand {
    run: Run,
    pod: String,
    session: Mutex<Option<Session>>,
}

/// A shell in it, which waits for signals to send.
struct Session {
    to: Box<dyn AsyncWrite + Unpin>,
    answers: Lines<BufReader<Box<dyn tokio::io::AsyncRead + Unpin>>>,
    _process: AttachedProcess,
}

impl Hand {
    /// That of the Pod with this name.
    pub(super) fn of(run: &Run, pod: &str) -> Self {
        Self { run: run.clone(), pod: pod.to_owned(), session: Mutex::default() }
    }

    /// Opens a shell, so that the first signal need not wait for it.
    pub(super) async fn reach_out(&self) -> Result<(), Unavailable> {
        let mut session = self.session.lock().await;
        if session.is_none() {
            *session = Some(self.open().await?);
        }
        Ok(())
    }

    /// Sends a signal (`STOP`) to all processes of the first container.
    pub(super) async fn send(&self, signal: &str) -> Result<Answer, Unavailable> {
        let said = self.ask(signal).await?;
        self.read(signal, &said)
    }

    /// Whether a connection to an address and port can be had from the Pod.
    pub(super) async fn reaches(&self, address: &str, port: u16) -> Result<bool, Unavailable> {
        match &*self.ask(&format!("REACH {address} {port}")).await? {
            "reached" => Ok(true),
            "cut" => Ok(false),
            "unable" => {
                Err(self
                    .failed("REACH", "its image has no timeout, or none of bash, nc and redis-cli"))
            }
            said => Err(self.failed("REACH", &format!("its shell said {}", quoted(said)))),
        }
    }

    /// The connections of the Pod that are open to a port.
    pub(super) async fn connections(&self, port: u16) -> Result<Vec<Connection>, Unavailable> {
        let said = self.ask(&format!("OPEN {port}")).await?;
        connections(&said)
            .ok_or_else(|| self.failed("OPEN", &format!("its shell said {}", quoted(&said))))
    }

    /// Asks the shell. One that was lost on the way is opened again, once: everything may be asked
    /// twice.
    async fn ask(&self, line: &str) -> Result<String, Unavailable> {
        let mut session = self.session.lock().await;
        let mut last = Unavailable(String::new());
        for _ in 0..2 {
            if session.is_none() {
                *session = Some(self.open().await?);
            }
            let Some(open) = session.as_mut() else { break };
            match timeout(ANSWER, open.ask(line)).await {
                Ok(Ok(said)) => return Ok(said),
                Ok(Err(error)) => last = self.failed(line, &error.to_string()),
                Err(_) => last = self.failed(line, &format!("no answer within {ANSWER:?}")),
            }
            *session = None;
        }
        Err(last)
    }

    fn failed(&self, line: &str, why: &str) -> Unavailable {
        let pod = &self.pod;
        Unavailable(format!("{line} cannot be done in pod {pod}: {why}"))
    }

    fn read(&self, signal: &str, said: &str) -> Result<Answer, Unavailable> {
        if said == "gone" {
            return Ok(Answer::Gone);
        }
        let words: Vec<&str> = said.split(' ').collect();
        if let [_, pid, state] = words[..]
            && let (Ok(pid), Some(state)) = (pid.parse(), state.chars().next())
        {
            return Ok(Answer::Sent { pid, state });
        }
        Err(self.failed(signal, &format!("its shell said {}", quoted(said))))
    }

    async fn open(&self) -> Result<Session, Unavailable> {
        let api: Api<Pod> = Api::namespaced(self.run.cluster().streams(), self.run.namespace());
        let parameters =
            AttachParams { container: Some(CONTAINER.to_owned()), ..AttachParams::default() }
                .stdin(true)
                .stdout(true)
                .stderr(false);
        let doing = format!("open a shell in pod {}", self.pod);
        let place = self.run.cluster().place(&doing);
        let opened = api.exec(&self.pod, ["sh", "-c", RUN_IT, MARK, "serve"], &parameters);
        let mut process = match timeout(ANSWER, opened).await {
            Ok(Ok(process)) => process,
            Ok(Err(error)) => return Err(Unavailable(trouble::of_call(&error, &place))),
            Err(_) => return Err(Unavailable(place.silent(ANSWER))),
        };
        let no_stream = || self.failed("STOP", "the API server gave no stream to its shell");
        let to = Box::new(process.stdin().ok_or_else(no_stream)?);
        let from: Box<dyn tokio::io::AsyncRead + Unpin> =
            Box::new(process.stdout().ok_or_else(no_stream)?);
        Ok(Session { to, answers: BufReader::new(from).lines(), _process: process })
    }
}

impl Session {
    async fn ask(&mut self, line: &str) -> std::io::Result<String> {
        self.to.write_all(format!("{line}\n").as_bytes()).await?;
        self.to.flush().await?;
        let said = self.answers.next_line().await?;
        said.ok_or_else(|| std::io::Error::other("its shell has ended"))
    }
}

/// Reads `open 0000001A/00000002`: one after another, in hexadecimal digits.
fn connections(said: &str) -> Option<Vec<Connection>> {
    let number = |digits: &str| u64::from_str_radix(digits, 16).ok();
    let connection = |word: &str| {
        let (unconfirmed, again) = word.split_once('/')?;
        Some(Connection { unconfirmed: number(unconfirmed)?, again: number(again)? })
    };
    let mut words = said.split(' ');
    (words.next() == Some("open")).then_some(())?;
    words.map(connection).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_read_and_judged() {
        assert_eq!(connections("open"), Some(Vec::new()));
        let read =
            connections("open 00000000/00000000 0000001A/00000001 0000001A/0000000B").unwrap();
        let stuck: Vec<bool> = read.iter().map(|it| it.is_stuck()).collect();
        assert_eq!(stuck, [false, false, true]);
        // An acknowledgement begins the count anew, and with nothing to send there is none.
        assert!(!connections("open 00000000/00000005").unwrap()[0].is_stuck());
        for other in ["", "cut", "open 1A", "open 1A/x"] {
            assert_eq!(connections(other), None, "{other}");
        }
    }
}
