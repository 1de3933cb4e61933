//! Lists, watches, and what is done to objects.

use std::sync::Arc;

use bytes::Bytes;
use hyper::Response;
use serde_json::{Value, json};

use super::objects::{has_fields, has_labels, is_leaving, merge, text};
use super::rules::status;
use super::server::{Body, Call, json, streamed};
use super::{Shared, pods, store};

/// What the model says of itself.
const VERSION: &str = "v1.36.0-model";

pub(super) fn answer(shared: Arc<Shared>, call: Call) -> Response<Body> {
    if call.path == "/version" {
        return json(200, &version());
    }
    match (&*call.verb, &*call.name) {
        ("GET", "") if call.watches() => watch(shared, call, None),
        ("GET", "") => json(200, &list(&shared, &call)),
        ("GET", _) => match get(&shared, &call) {
            Some(object) => json(200, &object),
            None => not_found(&call),
        },
        ("POST", "") if call.resource == "selfsubjectaccessreviews" => {
            let mut review = call.body.clone();
            review["status"] = json!({ "allowed": true });
            json(201, &review)
        }
        ("POST", _) if call.below == "eviction" => {
            pods::delete(&shared, &call.namespace, &call.name, None);
            json(201, &json!({ "kind": "Status", "apiVersion": "v1", "status": "Success" }))
        }
        ("PATCH", _) => patch(&shared, &call),
        ("DELETE", _) => delete(&shared, &call),
        _ => json(405, &status(405, "MethodNotAllowed", "the model does not do that", 0)),
    }
}

fn version() -> Value {
    json!({
        "major": "1", "minor": "36", "gitVersion": VERSION, "gitCommit": "", "gitTreeState": "clean",
        "buildDate": "2026-01-01T00:00:00Z", "goVersion": "go1", "compiler": "gc", "platform": "x",
    })
}

fn get(shared: &Shared, call: &Call) -> Option<Value> {
    let store = shared.store.lock().unwrap();
    store.get(&call.resource, &call.namespace, &call.name).cloned()
}

fn not_found(call: &Call) -> Response<Body> {
    let message = format!("{} \"{}\" not found", call.resource, call.name);
    json(404, &status(404, "NotFound", &message, 0))
}

fn wanted(call: &Call, object: &Value) -> bool {
    (call.namespace.is_empty() || text(object, &["metadata", "namespace"]) == call.namespace)
        && has_labels(object, call.parameter("labelSelector").unwrap_or_default())
        && has_fields(object, call.parameter("fieldSelector").unwrap_or_default())
}

fn list(shared: &Shared, call: &Call) -> Value {
    let store = shared.store.lock().unwrap();
    let items: Vec<Value> =
        store.all(&call.resource).into_iter().filter(|object| wanted(call, object)).collect();
    json!({
        "kind": "List", "apiVersion": "v1", "items": items,
        "metadata": { "resourceVersion": store.version.to_string() },
    })
}

/// Changes as they come, from a version on; torn off after so many, if that is wanted.
pub(super) fn watch(shared: Arc<Shared>, call: Call, torn_after: Option<usize>) -> Response<Body> {
    let (to, response) = streamed();
    let mut version: u64 =
        call.parameter("resourceVersion").and_then(|it| it.parse().ok()).unwrap_or(0);
    let seconds: u64 =
        call.parameter("timeoutSeconds").and_then(|it| it.parse().ok()).unwrap_or(290);
    tokio::task::spawn_local(async move {
        let end = tokio::time::Instant::now() + std::time::Duration::from_secs(seconds);
        let mut changed = shared.changed.subscribe();
        let mut told = 0;
        loop {
            changed.borrow_and_update();
            let news: Vec<store::Change> = {
                let store = shared.store.lock().unwrap();
                let news = store.changes.iter().filter(|it| it.version > version);
                news.filter(|it| it.resource == call.resource).cloned().collect()
            };
            for change in news {
                version = version.max(change.version);
                if !wanted(&call, &change.object) {
                    continue;
                }
                let line = json!({ "type": change.kind, "object": change.object }).to_string();
                if torn_after.is_some_and(|after| told >= after) {
                    let half = line.as_bytes()[..line.len() / 2].to_vec();
                    let _ = to.send(Ok(Bytes::from(half)));
                    let _ = to.send(Err(std::io::Error::other("the connection breaks here")));
                    return;
                }
                told += 1;
                if to.send(Ok(Bytes::from(line + "\n"))).is_err() {
                    return;
                }
            }
            tokio::select! {
                changed = changed.changed() => if changed.is_err() { return },
                () = tokio::time::sleep_until(end) => return,
                () = to.closed() => return,
            }
        }
    });
    response
}

/// A watch that has grown too old.
pub(super) fn gone() -> Response<Body> {
    let (to, response) = streamed();
    let object = status(410, "Expired", "too old resource version", 0);
    let _ =
        to.send(Ok(Bytes::from(json!({ "type": "ERROR", "object": object }).to_string() + "\n")));
    response
}

fn patch(shared: &Shared, call: &Call) -> Response<Body> {
    let mut store = shared.store.lock().unwrap();
    let before = store.get(&call.resource, &call.namespace, &call.name).cloned();
    if before.is_none() && !call.is_apply {
        return not_found(call);
    }
    let of_namespace = store.get("namespaces", "", &call.namespace).map(is_leaving);
    if before.is_none() && !call.namespace.is_empty() && of_namespace != Some(false) {
        let message = match of_namespace {
            None => format!("namespaces \"{}\" not found", call.namespace),
            Some(_) => format!("namespace {} is being terminated", call.namespace),
        };
        let (code, reason) =
            if of_namespace.is_none() { (404, "NotFound") } else { (403, "Forbidden") };
        return json(code, &status(code, reason, &message, 0));
    }
    let is_new = before.is_none();
    let address = format!("10.96.{}.{}", store.version / 250 % 250, store.version % 250 + 1);
    let mut object = before.unwrap_or_else(|| call.body.clone());
    if !is_new {
        merge(&mut object, &call.body);
    }
    if call.resource == "services" && text(&object, &["spec", "clusterIP"]).is_empty() {
        object["spec"]["clusterIP"] = json!(address);
    }
    let object = store.put(&call.resource, object);
    drop(store);
    shared.tell();
    json(if is_new { 201 } else { 200 }, &object)
}

fn delete(shared: &Shared, call: &Call) -> Response<Body> {
    let Some(object) = get(shared, call) else { return not_found(call) };
    let grace = call.body["gracePeriodSeconds"].as_u64();
    match &*call.resource {
        "pods" => pods::delete(shared, &call.namespace, &call.name, grace),
        "namespaces" => {
            shared.store.lock().unwrap().change("namespaces", "", &call.name, |it| {
                it["metadata"]["deletionTimestamp"] = json!(store::now());
                it["status"]["phase"] = json!("Terminating");
            });
        }
        resource => {
            shared.store.lock().unwrap().remove(resource, &call.namespace, &call.name);
        }
    }
    shared.tell();
    json(200, &object)
}
