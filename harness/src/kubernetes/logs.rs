//! What a container writes, followed as it comes. The API server breaks such connections when it likes;
//! they are taken up again where they broke, and no line is lost or had twice.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{AsyncBufReadExt, StreamExt};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::LogParams;
use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncWriteExt, DuplexStream};
use tokio::time::sleep;

use super::run::Run;
use super::standing::{self, Standing};
use super::watch::Watched;

/// Longest line that is kept, in bytes; of a longer one, the beginning.
const LINE: usize = 1 << 20;

/// Before a log that broke off is taken up again: where that fails at once, as often as this.
const PAUSE: Duration = Duration::from_millis(200);

/// Where lines go. What cannot be written is lost: a run does not end for the want of a log.
#[derive(Default)]
pub(super) struct Sink {
    /// Every line.
    pub(super) log: Option<File>,
    /// What is JSON: standard output and standard error cannot be told apart here, and what a program
    /// reports is a line of JSON.
    pub(super) reports: Option<File>,
    /// Every line too.
    pub(super) pipe: Option<DuplexStream>,
}

impl Sink {
    /// A file at whose end is written: one Pod after another may have the same.
    pub(super) async fn append(path: &Path) -> Option<File> {
        OpenOptions::new().create(true).append(true).open(path).await.ok()
    }

    async fn write(&mut self, line: &str) {
        let line = format!("{line}\n");
        let reports = self.reports.as_mut().filter(|_| line.starts_with('{'));
        for file in self.log.iter_mut().chain(reports) {
            let _ = file.write_all(line.as_bytes()).await;
            // Others read the files while it runs.
            let _ = file.flush().await;
        }
        if let Some(pipe) = &mut self.pipe {
            let _ = pipe.write_all(line.as_bytes()).await;
        }
    }
}

/// A container whose output is wanted.
pub(super) struct Output {
    pub(super) run: Run,
    pub(super) pods: Arc<Watched<Pod>>,
    /// Name of its Pod.
    pub(super) pod: String,
    pub(super) uid: String,
    pub(super) container: String,
}

impl Output {
    /// Writes every line, until the container has ended or its Pod is gone.
    pub(super) async fn follow(&self, to: &mut Sink) {
        let mut mark = Mark::default();
        loop {
            let over = match self.has_begun().await {
                Some(over) => over,
                None => return,
            };
            let read = self.read(&mut mark, !over, to).await;
            // What the container wrote up to its end was there to be read.
            if over && (read.is_ok() || self.is_gone()) {
                return;
            }
            // Its end may be there to be read before it is there to be seen.
            sleep(PAUSE).await;
        }
    }

    /// Waits until there is something to read; whether the container has ended by then. Nothing, where
    /// it never began.
    async fn has_begun(&self) -> Option<bool> {
        let begun = self.pods.until(|seen| {
            let (pod, is_here) = seen.find(&self.uid)?;
            match standing::of(pod, &self.container) {
                Standing::Running if is_here => Some(Some(false)),
                Standing::Running | Standing::Ended(_) => Some(Some(true)),
                _ if is_here => None,
                _ => Some(None),
            }
        });
        begun.await.ok().flatten()
    }

    fn is_gone(&self) -> bool {
        self.pods.now().find(&self.uid).is_none_or(|(_, is_here)| !is_here)
    }

    async fn read(&self, mark: &mut Mark, follow: bool, to: &mut Sink) -> Result<(), kube::Error> {
        let api: Api<Pod> = Api::namespaced(self.run.cluster().streams(), self.run.namespace());
        let parameters = LogParams {
            container: Some(self.container.clone()),
            follow,
            timestamps: true,
            since_time: mark.at,
            ..LogParams::default()
        };
        let stream = api.log_stream(&self.pod, &parameters).await?;
        let mut lines = stream.lines();
        mark.begin_again();
        while let Some(read) = lines.next().await {
            let mut read = read.map_err(kube::Error::ReadEvents)?;
            if let Some(at) = read.char_indices().map(|(at, _)| at).find(|at| *at >= LINE) {
                read.truncate(at);
            }
            if let Some(text) = mark.take(&read) {
                to.write(text).await;
            }
        }
        Ok(())
    }
}

/// How far a log has been read: the moment of its last line, and how many lines have that moment.
#[derive(Debug, Default)]
struct Mark {
    at: Option<Timestamp>,
    lines: u32,
    /// Of these, how many have been seen in this reading.
    again: u32,
}

impl Mark {
    /// The server begins at the last moment's second.
    fn begin_again(&mut self) {
        self.again = 0;
    }

    /// The text of a line with its moment before it, unless it was read before.
    fn take<'a>(&mut self, line: &'a str) -> Option<&'a str> {
        let (moment, text) = line.split_once(' ').unwrap_or((line, ""));
        let Ok(moment) = moment.parse::<Timestamp>() else {
            // The API server itself says something in the middle of a log.
            return Some(line);
        };
        match self.at {
            Some(last) if moment < last => None,
            Some(last) if moment == last => {
                self.again += 1;
                (self.again > self.lines).then(|| {
                    self.lines = self.again;
                    text
                })
            }
            _ => {
                (self.at, self.lines, self.again) = (Some(moment), 1, 1);
                Some(text)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_is_taken_up_again_has_every_line_once() {
        let mut mark = Mark::default();
        let first =
            ["2026-01-01T00:00:01.1Z a", "2026-01-01T00:00:01.2Z b", "2026-01-01T00:00:01.2Z c"];
        let read = |mark: &mut Mark, lines: &[&str]| -> Vec<String> {
            mark.begin_again();
            lines.iter().filter_map(|line| mark.take(line).map(str::to_owned)).collect()
        };
        assert_eq!(read(&mut mark, &first), ["a", "b", "c"]);
        let more = [&first[..], &["2026-01-01T00:00:01.2Z d", "2026-01-01T00:00:02Z "]].concat();
        assert_eq!(read(&mut mark, &more), ["d", ""]);
        assert_eq!(read(&mut mark, &more[4..]), [""; 0]);
        assert_eq!(read(&mut mark, &["unable to retrieve container logs"]).len(), 1);
    }
}
