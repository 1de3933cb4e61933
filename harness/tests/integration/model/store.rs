//! The objects of the model, and what has happened to them, for those who watch.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// One change: its version, what it was, and the object then.
#[derive(Debug, Clone)]
pub(super) struct Change {
    pub(super) version: u64,
    pub(super) kind: &'static str,
    pub(super) resource: String,
    pub(super) object: Value,
}

/// By resource, namespace (or nothing) and name.
type Key = (String, String, String);

#[derive(Debug, Default)]
pub(super) struct Store {
    pub(super) version: u64,
    objects: BTreeMap<Key, Value>,
    pub(super) changes: Vec<Change>,
}

impl Store {
    pub(super) fn with_nodes(names: &[&str]) -> Self {
        let mut store = Self::default();
        for name in names {
            let node = json!({
                "apiVersion": "v1", "kind": "Node", "metadata": { "name": name }, "spec": {},
                "status": { "conditions": [{ "type": "Ready", "status": "True" }], "images": [{ "names": ["docker.io/library/redis:7.2-alpine",
                    "docker.io/library/rabbitmq:3-management", "docker.io/library/ttg-worker:dev"] }] },
            });
            store.put("nodes", node);
        }
        store.put(
            "storageclasses",
            json!({
                "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "provisioner": "model",
                "metadata": { "name": "standard", "annotations": {
                    "storageclass.kubernetes.io/is-default-class": "true" } },
            }),
        );
        store
    }

    pub(super) fn get(&self, resource: &str, namespace: &str, name: &str) -> Option<&Value> {
        self.objects.get(&key(resource, namespace, name))
    }

    pub(super) fn all(&self, resource: &str) -> Vec<Value> {
        let of = self.objects.iter().filter(|((it, ..), _)| it == resource);
        of.map(|(_, object)| object.clone()).collect()
    }

    /// Every object of a resource that was ever there, as it has been from time to time.
    pub(super) fn ever(&self, resource: &str) -> Vec<Value> {
        let of = self.changes.iter().filter(|it| it.resource == resource);
        of.map(|it| it.object.clone()).collect()
    }

    pub(super) fn of_namespace(&self, namespace: &str) -> Vec<(String, String)> {
        let of = self.objects.keys().filter(|(_, it, _)| it == namespace);
        of.map(|(resource, _, name)| (resource.clone(), name.clone())).collect()
    }

    /// Puts an object, new or changed, and returns it as it is then.
    pub(super) fn put(&mut self, resource: &str, mut object: Value) -> Value {
        self.version += 1;
        let (namespace, name) = place(&object);
        let at = key(resource, &namespace, &name);
        let meta = object["metadata"].as_object_mut().expect("an object has metadata");
        meta.insert("resourceVersion".into(), json!(self.version.to_string()));
        let before = self.objects.get(&at).map(|it| it["metadata"].clone());
        let uid = before.as_ref().and_then(|it| it["uid"].as_str().map(str::to_owned));
        let uid = uid.unwrap_or_else(|| format!("{:08x}-0000-4000-8000-{:012x}", self.version, 7));
        meta.insert("uid".into(), json!(uid));
        meta.entry("creationTimestamp").or_insert_with(|| json!(now()));
        let kind = if before.is_some() { "MODIFIED" } else { "ADDED" };
        self.objects.insert(at, object.clone());
        self.note(kind, resource, &object);
        object
    }

    /// Changes an object that is there. Nothing is noted where nothing changes.
    pub(super) fn change(
        &mut self,
        resource: &str,
        namespace: &str,
        name: &str,
        change: impl FnOnce(&mut Value),
    ) -> Option<Value> {
        let before = self.get(resource, namespace, name)?.clone();
        let mut object = before.clone();
        change(&mut object);
        Some(if object == before { object } else { self.put(resource, object) })
    }

    pub(super) fn remove(&mut self, resource: &str, namespace: &str, name: &str) -> Option<Value> {
        let mut object = self.objects.remove(&key(resource, namespace, name))?;
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.note("DELETED", resource, &object);
        Some(object)
    }

    fn note(&mut self, kind: &'static str, resource: &str, object: &Value) {
        let (version, resource, object) = (self.version, resource.to_owned(), object.clone());
        self.changes.push(Change { version, kind, resource, object });
    }
}

fn key(resource: &str, namespace: &str, name: &str) -> Key {
    (resource.to_owned(), namespace.to_owned(), name.to_owned())
}

/// Namespace and name of an object.
pub(super) fn place(object: &Value) -> (String, String) {
    let of = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    (of("namespace"), of("name"))
}

/// RFC 3339, UTC.
pub(super) fn now() -> String {
    jiff::Timestamp::now().to_string()
}
