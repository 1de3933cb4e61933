//! What containers write, and those who read it.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use hyper::Response;
use jiff::Timestamp;
use tokio::sync::watch;

use super::Shared;
use super::rules::status;
use super::server::{Body, Call, json, streamed};

/// The output of one container: lines, each with its moment.
#[derive(Debug)]
pub(super) struct Log {
    lines: Mutex<Vec<(Timestamp, String)>>,
    changed: watch::Sender<bool>,
}

impl Log {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { lines: Mutex::default(), changed: watch::Sender::new(false) })
    }

    pub(super) fn write(&self, line: String) {
        self.lines.lock().unwrap().push((Timestamp::now(), line));
        self.changed.send_modify(|_| {});
    }

    /// Nothing more will be written.
    pub(super) fn end(&self) {
        self.changed.send_replace(true);
    }

    pub(super) fn text(&self) -> String {
        let lines = self.lines.lock().unwrap();
        lines.iter().map(|(_, line)| format!("{line}\n")).collect()
    }
}

pub(super) fn answer(shared: &Arc<Shared>, call: &Call) -> Response<Body> {
    let container = call.parameter("container").unwrap_or_default();
    let uid = {
        let store = shared.store.lock().unwrap();
        let pod = store.get("pods", &call.namespace, &call.name);
        pod.and_then(|pod| pod["metadata"]["uid"].as_str().map(str::to_owned))
    };
    let Some(log) = uid.and_then(|uid| shared.containers.log(&uid, container)) else {
        let message =
            format!("container \"{container}\" in pod \"{}\" is waiting to start", call.name);
        return json(400, &status(400, "BadRequest", &message, 0));
    };
    let follow = call.parameter("follow") == Some("true");
    let since: Option<Timestamp> = call.parameter("sinceTime").and_then(|it| it.parse().ok());
    // To the second, as the real one.
    let since = since.map(|it| Timestamp::from_second(it.as_second()).unwrap());
    let (to, response) = streamed();
    tokio::task::spawn_local(async move {
        let mut changed = log.changed.subscribe();
        let mut next = 0;
        loop {
            let is_over = *changed.borrow_and_update();
            let lines = log.lines.lock().unwrap()[next..].to_vec();
            next += lines.len();
            for (at, line) in lines.into_iter().filter(|(at, _)| since.is_none_or(|it| *at >= it)) {
                if to.send(Ok(Bytes::from(format!("{at} {line}\n")))).is_err() {
                    return;
                }
            }
            if is_over || !follow || changed.changed().await.is_err() {
                return;
            }
        }
    });
    response
}
