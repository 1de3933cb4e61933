//! Runs at the same time do not know of each other.

use std::collections::BTreeSet;
use std::fs;
use std::process::Stdio;

use rstest::rstest;

use crate::support::{Sandbox, json, shipped};

#[rstest]
#[case::embedded("embedded")]
#[case::redis("redis")]
fn runs_into_the_same_place_pass_in_directories_of_their_own(#[case] backend: &str) {
    let sandbox = Sandbox::new();
    let file = shipped("quickstart");
    let start = || {
        let mut harness = sandbox.harness(&["run", &file, "--backend", backend, "--out", "here"]);
        harness.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
    };
    let both = [start(), start()].map(|harness| harness.wait_with_output().unwrap());
    for output in &both {
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{said}");
    }
    let place = sandbox.path().join("here/quickstart");
    let latest = fs::read_link(place.join("latest")).unwrap();
    let runs: BTreeSet<_> = fs::read_dir(&place)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .filter(|name| name != "latest")
        .collect();
    assert_eq!(runs.len(), 2, "{runs:?}");
    assert!(runs.contains(latest.as_os_str()), "{latest:?} is none of {runs:?}");
    for run in runs {
        assert_eq!(json(place.join(run).join("results.json"))["verdict"], "pass");
    }
}
