//! Port-forwards and shells: WebSockets with channels in them.

use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use hyper::Response;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::Shared;
use super::hand::{self, HAND};
use super::rules::status;
use super::server::{Body, Call, json, streamed};

type Socket = WebSocketStream<TokioIo<Upgraded>>;

pub(super) fn accept(
    shared: &Arc<Shared>,
    call: Call,
    upgrade: OnUpgrade,
    key: &[u8],
) -> Response<Body> {
    let pod = {
        let store = shared.store.lock().unwrap();
        store.get("pods", &call.namespace, &call.name).cloned()
    };
    let Some(pod) = pod else {
        let message = format!("pods \"{}\" not found", call.name);
        return json(404, &status(404, "NotFound", &message, 0));
    };
    let uid = pod["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
    if call.below == "exec" && !shared.containers.runs(&uid, HAND) {
        let message = format!("container not found (\"{HAND}\")");
        return json(500, &status(500, "InternalError", &message, 0));
    }
    let shared = Arc::clone(shared);
    tokio::task::spawn_local(async move {
        let Ok(upgraded) = upgrade.await else { return };
        let socket =
            WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
        let mut away = shared.away.subscribe();
        let work = async {
            match &*call.below {
                "portforward" => forward(&shared, &uid, &call, socket).await,
                // It ends with the container that it is in.
                _ => tokio::select! {
                    done = shell(&shared, &uid, socket) => done,
                    () = ended(&shared, &uid) => None,
                },
            }
        };
        // Whoever breaks off has no more use for it.
        tokio::select! {
            _ = work => {}
            _ = away.changed() => {}
        }
    });
    let (_, mut response) = streamed();
    *response.status_mut() = hyper::StatusCode::SWITCHING_PROTOCOLS;
    let headers = [
        ("connection", "Upgrade".to_owned()),
        ("upgrade", "websocket".to_owned()),
        ("sec-websocket-accept", derive_accept_key(key)),
        ("sec-websocket-protocol", "v4.channel.k8s.io".to_owned()),
    ];
    for (name, value) in headers {
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    response
}

/// One port: channel 0 for data, channel 1 for errors, and the port's number first on each.
async fn forward(shared: &Shared, uid: &str, call: &Call, mut socket: Socket) -> Option<()> {
    let asked: u16 = call.parameter("ports")?.parse().ok()?;
    for channel in [0, 1] {
        let [low, high] = asked.to_le_bytes();
        socket.send(Message::binary(vec![channel, low, high])).await.ok()?;
    }
    let port = shared.containers.port(uid)?;
    let Ok(stream) = TcpStream::connect(("127.0.0.1", port)).await else {
        socket.send(Message::binary([&[1][..], b"connection refused"].concat())).await.ok()?;
        return None;
    };
    let (mut from, mut to) = stream.into_split();
    let mut buffer = vec![0; 16 * 1024];
    loop {
        tokio::select! {
            message = socket.next() => match message?.ok()? {
                Message::Binary(bytes) if bytes.first() == Some(&0) => {
                    to.write_all(&bytes[1..]).await.ok()?;
                }
                Message::Close(_) => return None,
                _ => {}
            },
            read = from.read(&mut buffer) => match read {
                Ok(count @ 1..) => {
                    let message = [&[0][..], &buffer[..count]].concat();
                    socket.send(Message::binary(message)).await.ok()?;
                }
                _ => {
                    let _ = socket.close(None).await;
                    return None;
                }
            },
        }
    }
}

/// The shell of a hand, as far as the model has one: signals come on channel 0, answers go to channel 1.
async fn shell(shared: &Shared, uid: &str, mut socket: Socket) -> Option<()> {
    let mut text = String::new();
    while let Some(Ok(message)) = socket.next().await {
        let Message::Binary(bytes) = message else { continue };
        if bytes.first() != Some(&0) {
            continue;
        }
        text += &String::from_utf8_lossy(&bytes[1..]);
        while let Some((line, rest)) = text.split_once('\n') {
            let answer = hand::answer(shared, uid, line).await + "\n";
            socket.send(Message::binary([&[1][..], answer.as_bytes()].concat())).await.ok()?;
            text = rest.to_owned();
        }
    }
    let success = json!({ "metadata": {}, "status": "Success" }).to_string();
    let _ = socket.send(Message::binary([&[3][..], success.as_bytes()].concat())).await;
    Some(())
}

/// Waits for the end of a Pod's hand.
async fn ended(shared: &Shared, uid: &str) {
    let mut changed = shared.changed.subscribe();
    while shared.containers.runs(uid, HAND) {
        if changed.changed().await.is_err() {
            return;
        }
    }
}
