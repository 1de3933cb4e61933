//! Scenarios: YAML files that say what should happen to a sweep and what must still be true
//! afterwards.
//!
//! A file becomes a tree that knows where each value was written (`yaml`, `node`), the command
//! line may change that tree (`overrides`), and `model`, `fault`, `expect` and `deadline` make a
//! [`Plan`] of it, in which nothing is left open. Whatever is wrong is one sentence with its
//! place.

mod bite;
mod deadline;
mod error;
mod expect;
mod fault;
mod fault_settings;
mod fields;
mod image;
mod limits;
mod list;
mod model;
mod node;
mod nominal;
mod overrides;
mod shipped;
mod system;
mod units;
mod words;
mod yaml;

#[cfg(test)]
mod tests;

use std::path::Path;

pub use error::ScenarioError;
pub use list::{Listed, list, list_built_in};
pub use overrides::Overrides;
use shipped::Found;

use crate::plan::Plan;

/// The plan of the scenario in this file, or of the shipped one of this name, with what the command line
/// changes of it.
pub fn load(said: &Path, overrides: &Overrides) -> Result<Plan, ScenarioError> {
    match shipped::find(said).map_err(|problem| problem.of(said))? {
        Found::File(path) => {
            let text = yaml::read(&path).map_err(|problem| problem.of(&path))?;
            from_text(&path, &text, overrides)
        }
        Found::BuiltIn { name, text } => {
            from_text(Path::new(&format!("{name}.yaml")), text, overrides)
        }
    }
}

/// The plan of the scenario that this text is. It must be valid by itself, so that what is wrong
/// after that is the command line's.
pub(crate) fn from_text(
    path: &Path,
    text: &str,
    overrides: &Overrides,
) -> Result<Plan, ScenarioError> {
    let tree = yaml::parse(text).map_err(|problem| problem.of(path))?;
    let plain = model::plan(&tree, path).map_err(|problem| problem.of(path))?;
    let mut plan = overrides::plan(&tree, path, overrides)?.unwrap_or(plain);
    plan.defect.clone_from(&overrides.defect);
    plan.strict = overrides.strict;
    Ok(plan)
}
