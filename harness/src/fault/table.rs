//! The table of faults in the documents, made of what the faults' own files say.

use super::entries;
use super::entry::{Entry, Lasts, Role, Site};
use crate::plan::{Backend, Environment, WorkersIn};

/// Every fault: what it does, to whom, what it is told, how it is proved, and where it is refused
/// and why. Markdown.
pub fn markdown() -> String {
    let mut text =
        String::from("| fault | does | to | told | proof |\n| --- | --- | --- | --- | --- |\n");
    for entry in entries() {
        text += &format!(
            "| `{}` | {} | {} | {} | {} |\n",
            entry.name,
            entry.does,
            entry.on.iter().map(|role| role.name()).collect::<Vec<_>>().join(", "),
            told(entry),
            entry.proof,
        );
    }
    text += "\n| where | what cannot be carried out | why |\n| --- | --- | --- |\n";
    for ((place, reason), refused) in by_reason() {
        text += &format!("| {place} | {} | {reason} |\n", listed(&refused));
    }
    text
}

/// A fault, and the roles on which it is refused.
type Refused = (&'static str, Vec<&'static str>);

/// What is refused, by where and why; in the order of the faults.
fn by_reason() -> Vec<((String, &'static str), Vec<Refused>)> {
    let mut all: Vec<((String, &'static str), Vec<Refused>)> = Vec::new();
    for entry in entries() {
        for role in entry.on {
            for key in refusals(entry, *role) {
                let at = all.iter().position(|(other, _)| *other == key).unwrap_or(all.len());
                if at == all.len() {
                    all.push((key, Vec::new()));
                }
                let refused = &mut all[at].1;
                match refused.last_mut().filter(|(name, _)| *name == entry.name) {
                    Some((_, roles)) => roles.push(role.name()),
                    None => refused.push((entry.name, vec![role.name()])),
                }
            }
        }
    }
    all
}

/// Faults that are refused on the same roles stand together.
fn listed(refused: &[Refused]) -> String {
    let mut together: Vec<(String, &[&str])> = Vec::new();
    for (name, roles) in refused {
        match together.iter_mut().find(|(_, others)| *others == roles.as_slice()) {
            Some((names, _)) => *names += &format!(", `{name}`"),
            None => together.push((format!("`{name}`"), roles)),
        }
    }
    let one = |(names, roles): &(String, &[&str])| format!("{names} on {}", roles.join(", "));
    together.iter().map(one).collect::<Vec<_>>().join("; ")
}

fn told(entry: &Entry) -> String {
    let optional = |word: &&str| format!("`{word}`?");
    let hold = match entry.lasts {
        Lasts::No => None,
        Lasts::May => Some("`for`?".to_owned()),
        Lasts::Must => Some("`for`".to_owned()),
    };
    let needs = entry.needs.iter().map(|word| format!("`{word}`"));
    let all: Vec<String> = needs.chain(entry.takes.iter().map(optional)).chain(hold).collect();
    if all.is_empty() { "-".to_owned() } else { all.join(" ") }
}

/// Places, by backend or environment, at which a fault cannot strike this role.
fn refusals(entry: &Entry, role: Role) -> Vec<(String, &'static str)> {
    let site = |backend, environment, workers_in| Site {
        backend,
        environment,
        workers_in,
        foreign: false,
        no_coordinator: false,
        no_aggregator: false,
    };
    let why = |site: Site| site.lacks(role).or_else(|| (entry.refuse)(&site, role));
    let containers = site(Backend::Redis, Environment::Container, WorkersIn::Container);
    let mut refused = Vec::new();
    // Nodes are only there on a cluster, where nothing is in the way.
    if role == Role::Node {
        return vec![("all but environment kubernetes".to_owned(), why(containers).unwrap_or(""))];
    }
    for backend in Backend::ALL {
        // Where everything is in containers nothing but the backend can be the reason.
        if let Some(reason) = why(Site { backend, ..containers }) {
            refused.push((format!("backend {backend}"), reason));
        }
    }
    for environment in Environment::ALL {
        if let Some(reason) = why(Site { environment, ..containers }) {
            refused.push((format!("environment {environment}"), reason));
        }
    }
    if let Some(reason) = why(Site { workers_in: WorkersIn::Process, ..containers }) {
        refused.push(("workers_in: process".to_owned(), reason));
    }
    if let Some(reason) = why(Site { foreign: true, ..containers }) {
        refused.push(("foreign workers".to_owned(), reason));
    }
    refused
}
