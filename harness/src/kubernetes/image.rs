//! An image that cannot be pulled: what the registry says of it, and what to do.

use super::trouble::MESSAGE;
use crate::words::quoted_to;

/// What a registry says where asking again is no use.
const FINAL: [&str; 13] = [
    "not found",
    "denied",
    "authoriz",
    "forbidden",
    "manifest unknown",
    "does not exist",
    "x509",
    "no such host",
    "connection refused",
    "no matching manifest",
    "not available",
    "invalid",
    LIMIT,
];

/// What Docker Hub says to whoever pulled too much: it lasts for hours. Other registries are asked too
/// often for a moment.
const LIMIT: &str = "pull rate limit";

/// How a registry begins to say that it is asked too often.
const TOO_MANY: &str = "toomanyrequests";

/// What `ci/images` makes.
const OURS: [&str; 4] = ["ttg-worker", "ttg-redis", "ttg-rabbitmq", "ttg-foreign"];

/// Whether pulling it again is no use.
pub(super) fn is_final(message: &str) -> bool {
    FINAL.iter().any(|it| message.contains(it))
}

/// One line, with what to do.
pub(super) fn not_pulled(pod: &str, image: &str, reason: &str, message: &str) -> String {
    let said = match at_root(message) {
        "" => reason.to_owned(),
        said => format!("{reason}: {}", quoted_to(said, MESSAGE)),
    };
    let advice = if message.contains(LIMIT) {
        "log the nodes in to Docker Hub by a pull secret, or push the image to a registry of your own and \
         name it by TTG_REDIS_IMAGE or TTG_RABBITMQ_IMAGE; docs/kubernetes.md has both"
            .to_owned()
    } else if is_ours(image) && image.contains('/') {
        "ci/images makes it, without a registry in its name: was it pushed to this one, and may the nodes \
         pull it? docs/kubernetes.md says how"
            .to_owned()
    } else if is_ours(image) {
        "ci/images makes it, and harness cluster up takes it to the nodes of kind; for another cluster push \
         it to a registry and name it there, as in docs/kubernetes.md"
            .to_owned()
    } else {
        format!(
            "is its name right, and may the nodes pull it? on kind: docker pull {image}, then harness \
             cluster up --image {image}; without a registry, ci/images makes brokers of our own"
        )
    };
    format!("pod {pod}: image {image} cannot be pulled: {said} ({advice})")
}

/// Whether it is one of those, in whatever registry.
fn is_ours(image: &str) -> bool {
    let last = image.rsplit('/').next().unwrap_or_default();
    let name = last.split([':', '@']).next().unwrap_or_default();
    OURS.contains(&name)
}

/// Of a long message, what the registry itself said comes last. An address is no reason.
fn at_root(message: &str) -> &str {
    if let Some(at) = message.find(TOO_MANY) {
        return &message[at..];
    }
    let mut start = message.len();
    while let Some(before) = message[..start].rfind(": ") {
        let part = &message[before + 2..start];
        start = before;
        if !part.starts_with("http") {
            return &message[before + 2..];
        }
    }
    message
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    #[test]
    fn why_an_image_is_not_pulled_is_told_as_the_registry_says_it() {
        let hub = "rpc error: code = Unknown desc = failed to copy: httpReadSeeker: failed open: unexpected \
                   status code https://registry-1.docker.io/v2/library/redis/manifests/sha256:12: 429 Too \
                   Many Requests - Server message: toomanyrequests: You have reached your pull rate limit. \
                   You may increase the limit by authenticating and upgrading: \
                   https://www.docker.com/increase-rate-limit";
        assert!(is_final(hub));
        assert_snapshot!(not_pulled("ttg-redis-0", "redis:7.2-alpine", "ErrImagePull", hub), @"pod ttg-redis-0: image redis:7.2-alpine cannot be pulled: ErrImagePull: toomanyrequests: You have reached your pull rate limit. You may increase the limit by authenticating and upgrading: https://www.docker.com/increase-rate-limit (log the nodes in to Docker Hub by a pull secret, or push the image to a registry of your own and name it by TTG_REDIS_IMAGE or TTG_RABBITMQ_IMAGE; docs/kubernetes.md has both)");
        let other = "toomanyrequests: Rate exceeded";
        assert!(!is_final(other));
        assert!(
            not_pulled("a", "b", "ErrImagePull", other)
                .contains(": toomanyrequests: Rate exceeded (")
        );
        let address = "failed to do request: EOF: https://example.org/v2/";
        assert_eq!(at_root(address), "EOF: https://example.org/v2/");
        assert_eq!(at_root("context deadline exceeded"), "context deadline exceeded");
    }

    #[test]
    fn an_image_of_ours_is_known_in_any_registry() {
        for image in [
            "ttg-worker:dev",
            "registry.example.org:5000/team/ttg-worker:1",
            "a/ttg-redis@sha256:1",
        ] {
            assert!(is_ours(image), "{image}");
        }
        for image in ["redis:7.2-alpine", "ttg-workers:1", "ttg-worker/redis:1", "ttg-nowhere:dev"]
        {
            assert!(!is_ours(image), "{image}");
        }
        assert_snapshot!(not_pulled("worker-0", "example.org/ttg-worker:1", "ErrImagePull", "not found"), @"pod worker-0: image example.org/ttg-worker:1 cannot be pulled: ErrImagePull: not found (ci/images makes it, without a registry in its name: was it pushed to this one, and may the nodes pull it? docs/kubernetes.md says how)");
    }
}
