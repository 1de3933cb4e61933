//! What goes wrong between the harness and an API server, in one line that says what to do.

use std::error::Error;
use std::io::ErrorKind;
use std::time::Duration;

use kube::client::AuthError;
use kube::core::Status;

use crate::words::{quoted, quoted_to};

/// Characters of an answer that people are shown: some name each container of a Pod.
pub(super) const MESSAGE: usize = 600;

/// Where a kubeconfig is had anew.
const ANEW: &str = "fetch its kubeconfig anew: kind export kubeconfig, az aks get-credentials, aws eks \
                    update-kubeconfig or gcloud container clusters get-credentials";

/// What was attempted where.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    /// Completes "cannot".
    pub(super) doing: &'a str,
    pub(super) context: &'a str,
    pub(super) server: &'a str,
}

impl Place<'_> {
    /// Of a call that was not answered.
    pub(super) fn silent(&self, after: Duration) -> String {
        let Self { doing, context, server } = self;
        format!("cannot {doing}: {server} (context {context}) does not answer within {after:?}")
    }
}

/// Of the first call, which was not answered.
pub(super) fn silent(context: &str, server: &str, after: Duration) -> String {
    format!(
        "no cluster: {server} (context {context}) does not answer within {after:?} (is a VPN off, or \
         this address not among those that it lets in? another cluster is chosen with --context)"
    )
}

/// Of the first call to a server, or of what comes before it.
pub(super) fn of_access(error: &kube::Error, context: &str, server: &str) -> String {
    match error {
        kube::Error::Auth(error) => return of_login(error, context),
        kube::Error::Api(status) if status.code == 401 => return unknown_user(context),
        kube::Error::Api(status) => {
            let place = Place { doing: "ask for its version", context, server };
            return of_status(status, &place);
        }
        _ => {}
    }
    let root = root(error);
    if root.contains(NO_TLS) {
        return format!(
            "whoever answers at {server} (context {context}) speaks no TLS (is it the address of an API \
             server, and no proxy before it? another is chosen with --context)"
        );
    }
    if is_distrust(&root) {
        return format!(
            "the API server {server} (context {context}) is not trusted: {} ({ANEW})",
            quoted(&root)
        );
    }
    match io_kind(error) {
        Some(ErrorKind::ConnectionRefused) => format!(
            "no cluster answers at {server} (context {context}): connection refused (start it, or \
             choose another with --context; harness cluster up makes one of kind)"
        ),
        Some(ErrorKind::TimedOut) => silent(context, server, super::cluster::ANSWER),
        _ if root.contains("lookup address") || root.contains("name resolution") => format!(
            "no cluster: the host of {server} (context {context}) is not known (was the cluster \
             deleted, or is a VPN off? another is chosen with --context)"
        ),
        _ => format!(
            "no cluster answers at {server} (context {context}): {} (another is chosen with \
             --context)",
            quoted(&root)
        ),
    }
}

/// Of any later call.
pub(super) fn of_call(error: &kube::Error, place: &Place<'_>) -> String {
    let Place { doing, context, server } = place;
    match error {
        kube::Error::Api(status) => of_status(status, place),
        kube::Error::Auth(error) => of_login(error, context),
        error => format!(
            "cannot {doing}: {server} (context {context}) does not answer: {}",
            quoted(&root(error))
        ),
    }
}

/// Whether the same call may succeed a moment later: the server is away, or has too much to do.
pub(super) fn passes(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => {
            matches!(status.code, 429 | 502 | 503 | 504)
                || is_too_new(&status.message)
                || (status.code == 500 && is_a_moment(&status.message))
        }
        kube::Error::HyperError(_) | kube::Error::Service(_) | kube::Error::ReadEvents(_) => {
            !is_distrust(&root(error))
        }
        _ => false,
    }
}

/// What is said of a namespace that was made a moment ago.
pub(super) fn is_too_new(message: &str) -> bool {
    message.contains("error looking up service account")
}

/// What the storage of an API server says while it changes its leader.
fn is_a_moment(message: &str) -> bool {
    ["etcdserver", "leader changed", "timed out", "timeout"].iter().any(|it| message.contains(it))
}

/// How long the server wants to be left alone.
pub(super) fn wished_pause(error: &kube::Error) -> Option<Duration> {
    let kube::Error::Api(status) = error else { return None };
    let seconds = status.details.as_ref()?.retry_after_seconds;
    (seconds > 0).then(|| Duration::from_secs(u64::from(seconds)))
}

fn of_login(error: &AuthError, context: &str) -> String {
    match error {
        AuthError::AuthExecStart(error) => format!(
            "context {context} logs in by a program of its own, which cannot be run: {error} (install \
             the one that its user in the kubeconfig names under exec, such as kubelogin, aws or \
             gke-gcloud-auth-plugin)"
        ),
        AuthError::AuthExecRun { cmd, out } => {
            let said = String::from_utf8_lossy(&out.stderr);
            let said = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("nothing");
            format!(
                "context {context} logs in by {}, which failed: {} (log in again: az login, aws sso \
                 login or gcloud auth login)",
                quoted(cmd),
                quoted(said)
            )
        }
        error => format!("context {context} has no way to log in: {error} ({ANEW})"),
    }
}

fn unknown_user(context: &str) -> String {
    format!(
        "the cluster of context {context} does not know you: 401 Unauthorized (its login has expired; \
         log in again, or {ANEW})"
    )
}

/// Of an answer that is an error.
fn of_status(status: &Status, place: &Place<'_>) -> String {
    let Place { doing, context, .. } = place;
    let said = quoted_to(&status.message, MESSAGE);
    if status.code == 401 {
        return unknown_user(context);
    }
    let advice = if status.code == 403 {
        of_refusal(&status.message)
    } else if status.code == 404 && status.message.starts_with("namespaces ") {
        "make it, or choose another with --namespace"
    } else if status.code == 409 && status.message.contains("being terminated") {
        "wait until it is gone, or choose another with --namespace"
    } else {
        ""
    };
    match advice {
        "" => format!("cannot {doing}: {said}"),
        RIGHTS => format!(
            "cannot {doing}: {said} (harness doctor --context {context} lists what is needed, and \
             docs/kubernetes-role.yaml grants it)"
        ),
        advice => format!("cannot {doing}: {said} ({advice})"),
    }
}

/// Stands for the advice to somebody who lacks a right.
const RIGHTS: &str = "rights";

/// What to do about a refusal: by a right that is missing, or by one of the rules of a namespace.
fn of_refusal(message: &str) -> &'static str {
    let says = |part: &str| message.contains(part);
    if says("exceeded quota") || says("failed quota") {
        "run fewer workers with --set workers=2, or ask for a larger ResourceQuota in the namespace"
    } else if says("violates PodSecurity") {
        "the Pods of the harness keep the restricted standard: the image named needs more than that, \
         or an admission webhook has changed the Pod"
    } else if says("per Container is") || says("per Pod is") || says("PersistentVolumeClaim is") {
        "the namespace has a LimitRange that does not let the requests and limits of docs/kubernetes.md \
         pass: change it, or choose another namespace with --namespace"
    } else if says("being terminated") {
        "wait until it is gone, or choose another with --namespace"
    } else if says("admission webhook") || says("ValidatingAdmissionPolicy") {
        "a rule of the cluster refuses it: ask whoever runs it for an exception for the label \
         app.kubernetes.io/part-of=ttg"
    } else {
        RIGHTS
    }
}

/// What is at the root of an error: "client error" alone helps nobody.
pub(super) fn root(error: &(dyn Error + 'static)) -> String {
    let chain = std::iter::successors(Some(error), |&error| error.source());
    chain.last().map_or_else(String::new, ToString::to_string)
}

fn io_kind(error: &kube::Error) -> Option<ErrorKind> {
    let first: &(dyn Error + 'static) = error;
    std::iter::successors(Some(first), |&error| error.source())
        .filter_map(|error| Some(error.downcast_ref::<std::io::Error>()?.kind()))
        .find(|kind| *kind != ErrorKind::Other)
}

/// What is said of an answer that is no TLS.
const NO_TLS: &str = "InvalidContentType";

/// Whether an error is about certificates: that passes by no waiting.
fn is_distrust(root: &str) -> bool {
    ["certificate", "UnknownIssuer", NO_TLS, "tls handshake", "HandshakeFailure"]
        .iter()
        .any(|it| root.contains(it))
}
