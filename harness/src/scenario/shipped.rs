//! The shipped scenarios by their names, from wherever the harness is run: those of the directory
//! `scenarios` where one is, else those that are built in.

use std::path::{Path, PathBuf};

use super::error::{Place, Problem};
use super::words::nearest;

/// Where scenarios are kept.
const DIRECTORY: &str = "scenarios";

macro_rules! built_in {
    ($($name:literal)*) => {
        &[$(($name, include_str!(concat!("../../../scenarios/", $name, ".yaml")))),*]
    };
}

/// Those that need nothing else; a program in place of ours is a file of this repository.
pub(super) const BUILT_IN: &[(&str, &str)] = built_in! {
    "embedded-aggregator-restart"
    "embedded-chaos"
    "embedded-coordinator-restart"
    "embedded-dead-letters"
    "embedded-fault"
    "embedded-poison"
    "embedded-replay"
    "embedded-retry"
    "embedded-rolling-kills"
    "embedded-terminate"
    "embedded-zombie"
    "m1-static"
    "m1-static-fault"
    "m2-redis"
    "m2-redis-fault"
    "m2-redis-full"
    "m2-redis-medium"
    "m3-rabbitmq"
    "m3-rabbitmq-fault"
    "m3-rabbitmq-medium"
    "m3-redis"
    "m3-redis-fault"
    "m3-redis-medium"
    "quickstart"
    "rabbitmq-broker-kill"
    "rabbitmq-broker-restart"
    "rabbitmq-chaos"
    "rabbitmq-coordinator-kill"
    "rabbitmq-dead-letters"
    "rabbitmq-network"
    "rabbitmq-poison"
    "rabbitmq-replay"
    "rabbitmq-retry"
    "rabbitmq-wipe"
    "rabbitmq-zombie"
    "redis-aggregator-kill"
    "redis-broker-kill"
    "redis-broker-pause"
    "redis-broker-restart"
    "redis-chaos"
    "redis-coordinator-kill"
    "redis-dead-letters"
    "redis-network"
    "redis-partition"
    "redis-poison"
    "redis-replay"
    "redis-retry"
    "redis-rolling-kills"
    "redis-slow-chunks"
    "redis-wipe"
    "redis-zombie"
};

/// What a name leads to.
pub(super) enum Found {
    File(PathBuf),
    BuiltIn { name: &'static str, text: &'static str },
}

/// The scenario that is meant: a file, or the name of a shipped one.
pub(super) fn find(said: &Path) -> Result<Found, Problem> {
    let Some(name) = bare(said) else { return Ok(Found::File(said.to_owned())) };
    let file = Path::new(DIRECTORY).join(format!("{name}.yaml"));
    if said.exists() {
        return Ok(Found::File(said.to_owned()));
    }
    if file.is_file() {
        return Ok(Found::File(file));
    }
    if let Some((name, text)) = BUILT_IN.iter().find(|(it, _)| *it == name) {
        return Ok(Found::BuiltIn { name, text });
    }
    let hint = match nearest(name, BUILT_IN.iter().map(|(name, _)| *name)) {
        Some(nearest) => format!("did you mean {nearest}?"),
        None => "`harness list` shows the scenarios".to_owned(),
    };
    let what = format!("is neither a file nor the name of a shipped scenario ({hint})");
    Err(Problem::new(&Place::File, what))
}

/// A word that could be a name: no directory, and not the end of a file's.
fn bare(said: &Path) -> Option<&str> {
    let name = said.to_str()?;
    (!name.contains('/') && said.extension().is_none()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Overrides, from_text};

    #[test]
    fn every_scenario_that_needs_no_other_file_is_built_in() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(DIRECTORY);
        let mut names = Vec::new();
        for entry in directory.read_dir().unwrap() {
            let path = entry.unwrap().path();
            let is_whole = || !std::fs::read_to_string(&path).unwrap().contains("../fixtures");
            if path.extension().is_some_and(|it| it == "yaml") && is_whole() {
                names.push(path.file_stem().unwrap().to_str().unwrap().to_owned());
            }
        }
        names.sort();
        let built_in: Vec<&str> = BUILT_IN.iter().map(|(name, _)| *name).collect();
        assert_eq!(built_in, names, "add its name to BUILT_IN, sorted");
        for (name, text) in BUILT_IN {
            let file = PathBuf::from(format!("{name}.yaml"));
            from_text(&file, text, &Overrides::default()).unwrap();
        }
    }

    #[test]
    fn a_name_that_is_nearly_right_is_told_the_right_one() {
        let Err(problem) = find(Path::new("quikstart")) else { panic!("it is none") };
        assert!(problem.what.ends_with("(did you mean quickstart?)"), "{}", problem.what);
        assert!(matches!(find(Path::new("quikstart.yaml")), Ok(Found::File(_))));
        assert!(matches!(find(Path::new("./quikstart")), Ok(Found::File(_))));
    }
}
