//! What the command line changes of a scenario.

use std::path::Path;

use super::error::{Place, Problem, ScenarioError};
use super::node::{Entry, Node, Value};
use super::words::quoted;
use super::{model, yaml};
use crate::plan::{Backend, Environment, Plan};

/// What the command line changes of a scenario.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// In place of the scenario's `backend`.
    pub backend: Option<Backend>,
    /// In place of the scenario's `environment`.
    pub environment: Option<Environment>,
    /// In place of the scenario's `cluster.context`.
    pub context: Option<String>,
    /// In place of the scenario's `cluster.namespace`.
    pub namespace: Option<String>,
    /// In place of the scenario's `seed`.
    pub seed: Option<u64>,
    /// Dotted path into the file, and a YAML value; `null` removes the key. In order.
    pub set: Vec<(String, String)>,
    /// A planted defect that takes the place of the system.
    pub defect: Option<String>,
    /// What cannot be told apart from what is wrong is no pass.
    pub strict: bool,
}

/// One change of the tree.
struct Change {
    /// The argument as it was typed.
    argument: String,
    path: String,
    value: Node,
}

/// The plan of this tree with these changes. Without them, the tree is known to be valid.
pub(super) fn plan(
    plain: &Node,
    file: &Path,
    overrides: &Overrides,
) -> Result<Option<Plan>, ScenarioError> {
    let changes = changes(overrides).map_err(|problem| problem.of(file))?;
    if changes.is_empty() {
        return Ok(None);
    }
    let changed = |without: Option<usize>| {
        let mut tree = plain.clone();
        for (index, change) in changes.iter().enumerate() {
            if Some(index) != without {
                change.apply(&mut tree)?;
            }
        }
        model::plan(&tree, file)
    };
    changed(None).map(Some).map_err(|problem| {
        if let Place::Argument(_) = problem.place {
            return problem.of(file);
        }
        // The file says something that the arguments made wrong: name the one that did it, or
        // all where it took several.
        let alone = (0..changes.len()).find(|index| changed(Some(*index)).is_ok());
        let blamed = match alone {
            Some(index) => &changes[index..=index],
            None => &changes[..],
        };
        let arguments = blamed.iter().map(|change| change.argument.clone());
        problem.because_of(file, arguments.collect())
    })
}

fn changes(overrides: &Overrides) -> Result<Vec<Change>, Problem> {
    let backend = overrides.backend.map(|backend| {
        let argument = format!("--backend {backend}");
        (argument, "backend", Value::Text(backend.to_string()))
    });
    let environment = overrides.environment.map(|environment| {
        let argument = format!("--environment {environment}");
        (argument, "environment", Value::Text(environment.to_string()))
    });
    let context = overrides.context.as_ref().map(|context| {
        let argument = format!("--context {context}");
        (argument, "cluster.context", Value::Text(context.clone()))
    });
    let namespace = overrides.namespace.as_ref().map(|namespace| {
        let argument = format!("--namespace {namespace}");
        (argument, "cluster.namespace", Value::Text(namespace.clone()))
    });
    let seed = overrides.seed.map(|seed| {
        let argument = format!("--seed {seed}");
        (argument, "seed", Value::Whole(seed.into()))
    });
    let mut changes: Vec<Change> = backend
        .into_iter()
        .chain(environment)
        .chain(context)
        .chain(namespace)
        .chain(seed)
        .map(|(argument, path, value)| Change {
            value: Node { place: Place::Argument(argument.clone()), value },
            path: path.to_owned(),
            argument,
        })
        .collect();
    for (path, value) in &overrides.set {
        let argument = format!("--set {path}={value}");
        changes.push(Change {
            value: yaml::parse_argument(value, &Place::Argument(argument.clone()))?,
            path: path.clone(),
            argument,
        });
    }
    Ok(changes)
}

impl Change {
    fn apply(&self, tree: &mut Node) -> Result<(), Problem> {
        let place = Place::Argument(self.argument.clone());
        let mut node = tree;
        for key in self.path.split('.') {
            node = child(node, key, &place)?;
        }
        *node = self.value.clone();
        Ok(())
    }
}

/// What a list or a mapping holds under a key. A key that is not there is added: whether it may
/// be there is seen when the tree is read. What holds nothing becomes a mapping, likewise.
fn child<'a>(node: &'a mut Node, key: &str, place: &Place) -> Result<&'a mut Node, Problem> {
    if key.is_empty() {
        let example = "(write for example --set sweep.chunk_size=10)";
        return Err(Problem::new(place, format!("a part of the key is empty {example}")));
    }
    if !matches!(node.value, Value::List(_) | Value::Map(_)) {
        *node = Node { place: place.clone(), value: Value::Map(Vec::new()) };
    }
    match &mut node.value {
        Value::List(items) => item(items, key, place),
        Value::Map(entries) => Ok(member(entries, key, place)),
        _ => unreachable!("it is a list or a mapping now"),
    }
}

fn item<'a>(items: &'a mut [Node], key: &str, place: &Place) -> Result<&'a mut Node, Problem> {
    let count = items.len();
    let index = key.parse().ok();
    index.and_then(|index: usize| items.get_mut(index)).ok_or_else(|| {
        let valid = match count {
            0 => "it is empty".to_owned(),
            1 => "write 0, its only item".to_owned(),
            _ => format!("write 0 to {}", count - 1),
        };
        Problem::new(place, format!("the list has no item {} ({valid})", quoted(key)))
    })
}

fn member<'a>(entries: &'a mut Vec<Entry>, key: &str, place: &Place) -> &'a mut Node {
    let index = entries.iter().position(|entry| entry.key == key).unwrap_or_else(|| {
        entries.push(Entry {
            key: key.to_owned(),
            place: place.clone(),
            node: Node { place: place.clone(), value: Value::Null },
        });
        entries.len() - 1
    });
    &mut entries[index].node
}
