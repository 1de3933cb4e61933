//! How objects are selected, merged and read.

use serde_json::{Value, json};

/// A JSON merge patch (RFC 7396); server-side apply by one manager is that too, for our purposes.
pub(super) fn merge(into: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *into = patch.clone();
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    for (key, value) in patch {
        let fields = into.as_object_mut().expect("it is one now");
        if value.is_null() {
            fields.remove(key);
        } else {
            merge(fields.entry(key).or_insert(Value::Null), value);
        }
    }
}

/// Whether an object has the labels of a selector such as `a=b,c`.
pub(super) fn has_labels(object: &Value, selector: &str) -> bool {
    selector.split(',').filter(|it| !it.is_empty()).all(|requirement| {
        let (key, wanted) = requirement.split_once('=').unwrap_or((requirement, ""));
        match object["metadata"]["labels"].get(key).and_then(Value::as_str) {
            Some(value) => !requirement.contains('=') || value == wanted,
            None => false,
        }
    })
}

/// Whether an object has the fields of a selector such as `metadata.name=a`.
pub(super) fn has_fields(object: &Value, selector: &str) -> bool {
    selector.split(',').filter(|it| !it.is_empty()).all(|requirement| {
        let (path, wanted) = requirement.split_once('=').unwrap_or((requirement, ""));
        let field = path.split('.').try_fold(object, |value, key| value.get(key));
        field.and_then(Value::as_str).unwrap_or_default() == wanted
    })
}

pub(super) fn text<'a>(object: &'a Value, path: &[&str]) -> &'a str {
    path.iter().try_fold(object, |value, key| value.get(*key)).and_then(Value::as_str).unwrap_or("")
}

/// The uid of whoever made an object.
pub(super) fn owner(object: &Value) -> &str {
    object["metadata"]["ownerReferences"][0]["uid"].as_str().unwrap_or_default()
}

pub(super) fn is_leaving(object: &Value) -> bool {
    object["metadata"].get("deletionTimestamp").is_some()
}
