//! The HTTP side of the model.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Collected, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::rules::{Answer, status};
use super::{Shared, api, logs, streams};

pub(super) type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// A request, taken apart.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) verb: String,
    pub(super) path: String,
    /// Nothing, where the object is in no namespace.
    pub(super) namespace: String,
    pub(super) resource: String,
    /// Nothing, for all of a resource.
    pub(super) name: String,
    /// Such as `log`.
    pub(super) below: String,
    query: Vec<(String, String)>,
    pub(super) is_apply: bool,
    pub(super) body: Value,
}

impl Call {
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(it, _)| it == name).map(|(_, value)| &**value)
    }

    pub(super) fn watches(&self) -> bool {
        self.parameter("watch") == Some("true")
    }
}

pub(super) async fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

pub(super) async fn serve(mut listener: TcpListener, shared: Arc<Shared>) {
    let address = listener.local_addr().unwrap();
    let mut away = shared.away.subscribe();
    loop {
        let socket = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = away.changed() => {
                let takes = away.borrow_and_update().unwrap_or_default();
                drop(listener);
                tokio::time::sleep(takes).await;
                listener = TcpListener::bind(address).await.unwrap();
                continue;
            }
        };
        let Ok((socket, _)) = socket else { continue };
        let _ = socket.set_nodelay(true);
        let shared = Arc::clone(&shared);
        tokio::task::spawn_local(async move {
            let mut away = shared.away.subscribe();
            let service = service_fn(move |request| answer(Arc::clone(&shared), request));
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(socket), service)
                .with_upgrades();
            // A client that goes away is none of our business.
            tokio::select! {
                _ = connection => {}
                _ = away.changed() => {}
            }
        });
    }
}

async fn answer(
    shared: Arc<Shared>,
    mut request: Request<Incoming>,
) -> Result<Response<Body>, std::io::Error> {
    let upgrade =
        request.headers().contains_key("upgrade").then(|| hyper::upgrade::on(&mut request));
    let key = request.headers().get("sec-websocket-key").cloned();
    let call = take_apart(request).await;
    let verb = if call.watches() { "WATCH" } else { &*call.verb };
    shared.asked.lock().unwrap().push(format!("{verb} {}", call.path));
    match shared.rule(verb, &call.path) {
        Some(Answer::Status(code, reason, message, retry_after)) => {
            return Ok(json(code, &status(code, reason, message, retry_after)));
        }
        Some(Answer::Text(code, text)) => {
            return Ok(json(code, &serde_json::from_str(text).unwrap()));
        }
        Some(Answer::Silence) => std::future::pending().await,
        Some(Answer::Half) => {
            let half = Ok(Frame::data(Bytes::from_static(b"{\"kind\":\"Po")));
            let broken = Err(std::io::Error::other("the connection breaks here"));
            let body = StreamBody::new(stream::iter([half, broken])).boxed_unsync();
            return Ok(Response::builder().header("content-length", 4096).body(body).unwrap());
        }
        Some(Answer::Gone) => return Ok(api::gone()),
        Some(Answer::Torn) => return Ok(api::watch(shared, call, Some(1))),
        Some(Answer::Says(_)) | None => {}
    }
    if let (Some(upgrade), Some(key)) = (upgrade, key) {
        return Ok(streams::accept(&shared, call, upgrade, key.as_bytes()));
    }
    if call.below == "log" {
        return Ok(logs::answer(&shared, &call));
    }
    Ok(api::answer(shared, call))
}

async fn take_apart(request: Request<Incoming>) -> Call {
    let verb = request.method().to_string();
    let path = request.uri().path().to_owned();
    let query = request.uri().query().unwrap_or_default();
    let query = query.split('&').filter_map(|pair| pair.split_once('='));
    let query = query.map(|(name, value)| (plain(name), plain(value))).collect();
    let kind = request.headers().get("content-type").and_then(|it| it.to_str().ok()).unwrap_or("");
    let is_apply = kind.contains("apply-patch");
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let rest = match parts[..] {
        ["api", _, ref rest @ ..] | ["apis", _, _, ref rest @ ..] => rest.to_vec(),
        _ => Vec::new(),
    };
    let (namespace, rest) = match rest[..] {
        ["namespaces", namespace, ref rest @ ..] if !rest.is_empty() => (namespace, rest.to_vec()),
        _ => ("", rest),
    };
    let part = |at: usize| rest.get(at).copied().unwrap_or_default().to_owned();
    let (namespace, resource, name, below) = (namespace.to_owned(), part(0), part(1), part(2));
    let body = request.into_body().collect().await.map(Collected::to_bytes).unwrap_or_default();
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    Call { verb, path, namespace, resource, name, below, query, is_apply, body }
}

/// Text of which some characters are written as `%20` or `+`.
fn plain(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut plain = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let coded = (bytes[at] == b'%')
            .then(|| text.get(at + 1..at + 3).and_then(|it| u8::from_str_radix(it, 16).ok()));
        match coded.flatten() {
            Some(byte) => {
                plain.push(byte);
                at += 3;
            }
            None => {
                plain.push(if bytes[at] == b'+' { b' ' } else { bytes[at] });
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

pub(super) fn json(code: u16, value: &Value) -> Response<Body> {
    let body =
        Full::new(Bytes::from(value.to_string())).map_err(|never: Infallible| match never {});
    Response::builder()
        .status(code)
        .header("content-type", "application/json")
        .body(body.boxed_unsync())
        .unwrap()
}

/// An answer that is written bit by bit.
pub(super) fn streamed() -> (mpsc::UnboundedSender<std::io::Result<Bytes>>, Response<Body>) {
    let (to, from) = mpsc::unbounded_channel::<std::io::Result<Bytes>>();
    let frames = stream::unfold(from, async |mut from| {
        let bytes = from.recv().await?;
        Some((bytes.map(Frame::data), from))
    });
    (to, Response::new(StreamBody::new(frames).boxed_unsync()))
}
