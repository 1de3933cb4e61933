//! Objects as YAML that `kubectl apply -f -` takes.

use serde::Serialize;

/// One object as a document, without the line that separates it from others.
pub fn document(object: &impl Serialize) -> String {
    let options = serde_saphyr::ser_options! { compact_list_indent: true };
    serde_saphyr::to_string_with_options(object, options)
        .expect("objects of Kubernetes are maps, lists and plain values")
}

/// Documents one after another, below a comment.
pub fn stream(comment: &str, documents: &[String]) -> String {
    let mut text: String = comment
        .lines()
        .map(|line| if line.is_empty() { "#\n".to_owned() } else { format!("# {line}\n") })
        .collect();
    for document in documents {
        text.push_str("---\n");
        text.push_str(document);
    }
    text
}
