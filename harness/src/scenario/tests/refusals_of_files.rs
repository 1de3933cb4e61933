//! Of each thing that can be wrong with a file before it is a scenario, the message.

use std::path::PathBuf;

use super::{BASE, changed, message, refused};
use crate::scenario::{Overrides, list, load};

/// The message about a file of these bytes, without the directory's name.
fn refused_bytes(bytes: &[u8]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.yaml");
    std::fs::write(&path, bytes).unwrap();
    refused_path(dir.path(), &path)
}

fn refused_path(dir: &std::path::Path, path: &std::path::Path) -> String {
    let error = load(path, &Overrides::default()).expect_err("refused");
    error.to_string().replace(dir.to_str().unwrap(), "scenarios")
}

#[test]
fn a_file_that_is_not_there_is_refused_with_the_nearest_one() {
    let dir = tempfile::tempdir().unwrap();
    insta::assert_snapshot!(refused_path(dir.path(), &dir.path().join("m2-redsi.yaml")), @"scenarios/m2-redsi.yaml: does not exist (`harness list` shows the scenarios)");
    std::fs::write(dir.path().join("m2-redis.yaml"), BASE).unwrap();
    insta::assert_snapshot!(refused_path(dir.path(), &dir.path().join("m2-redsi.yaml")), @"scenarios/m2-redsi.yaml: does not exist (did you mean m2-redis.yaml?)");
    insta::assert_snapshot!(refused_path(dir.path(), &dir.path().join("m2-redis.yaml/x")), @"scenarios/m2-redis.yaml/x: cannot be read (Not a directory (os error 20))");
}

#[test]
fn what_is_not_a_text_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    insta::assert_snapshot!(refused_path(dir.path(), dir.path()), @"scenarios: is a directory, but must be a scenario file (a .yaml in it)");
    insta::assert_snapshot!(refused_path(dir.path(), &PathBuf::from("/dev/null")), @"/dev/null: is not a regular file, but must be a scenario (.yaml)");
    insta::assert_snapshot!(refused_bytes(b"name: x\nworkers: \xff3\n"), @"scenarios/x.yaml:2:10: is not UTF-8 (save the file as UTF-8)");
    insta::assert_snapshot!(refused_bytes(&vec![b'#'; 1024 * 1024 + 1]), @"scenarios/x.yaml: is over 1 MiB, which no scenario needs (is it another file?)");
}

#[test]
fn an_empty_file_is_refused() {
    insta::assert_snapshot!(refused_bytes(b""), @"scenarios/x.yaml:1:1: the file is empty, but must hold a scenario (start from a copy of quickstart.yaml)");
    insta::assert_snapshot!(refused_bytes(b"# nothing but a comment\n"), @"scenarios/x.yaml:2:1: the file is empty, but must hold a scenario (start from a copy of quickstart.yaml)");
    insta::assert_snapshot!(refused_bytes(b"---\n"), @"scenarios/x.yaml:1:4: the file is empty, but must hold a scenario (start from a copy of quickstart.yaml)");
}

#[test]
fn what_is_not_yaml_is_refused_at_its_place() {
    insta::assert_snapshot!(refused("worker: busy }", "worker: busy"), @"scenarios/x.yaml:11:7: not valid YAML: while parsing a flow mapping, did not find expected ',' or '}'");
    insta::assert_snapshot!(refused("workers: 3", "workers: \"3"), @"scenarios/x.yaml:5:10: not valid YAML: a quote is not closed");
    insta::assert_snapshot!(refused("workers: 3", "workers: 3: 4"), @"scenarios/x.yaml:5:11: not valid YAML: a `:` cannot stand here (check the indentation, and put text with a colon in quotes)");
    insta::assert_snapshot!(refused("workers: 3", "\tworkers: 3"), @"scenarios/x.yaml:5:1: not valid YAML: a tab indents here (use spaces)");
    insta::assert_snapshot!(refused("workers: 3", "  workers: 3"), @"scenarios/x.yaml:5:10: not valid YAML: a `:` cannot stand here (check the indentation, and put text with a colon in quotes)");
    insta::assert_snapshot!(refused("workers: 3", "workers: @3"), @"scenarios/x.yaml:5:10: not valid YAML: a value cannot begin with this sign (put it in quotes)");
    insta::assert_snapshot!(refused("workers: 3", "workers 3"), @"scenarios/x.yaml:5:1: not valid YAML: a key has no `:` after it");
    insta::assert_snapshot!(message("just some text"), @r#"scenarios/x.yaml:1:1: the scenario is "just some text", but must be a mapping with the keys name, description, sweep, backend, environment, workers, workers_in, cluster, broker, seed, faults, system, afterwards, expect, stall_after and timeout"#);
    insta::assert_snapshot!(message("- a\n- b\n"), @"scenarios/x.yaml:1:1: the scenario is a list, but must be a mapping with the keys name, description, sweep, backend, environment, workers, workers_in, cluster, broker, seed, faults, system, afterwards, expect, stall_after and timeout");
}

#[test]
fn yaml_that_a_scenario_has_no_use_for_is_refused() {
    insta::assert_snapshot!(refused("seed: 7", "workers: 4"), @r#"scenarios/x.yaml:6:1: the key "workers" is given twice (keep one)"#);
    insta::assert_snapshot!(refused("coverage: exactly-once", "recovery_max: 2s"), @r#"scenarios/x.yaml:13:3: the key "recovery_max" is given twice (keep one)"#);
    insta::assert_snapshot!(refused("seed: 7", "---\nseed: 7"), @"scenarios/x.yaml:7:1: a second YAML document begins, but a scenario is one (remove the `---`)");
    insta::assert_snapshot!(refused("seed: 7", "seed: !secret 7"), @r#"scenarios/x.yaml:6:15: the tag "!secret" is not supported (remove it)"#);
    insta::assert_snapshot!(refused("seed: 7", "<<: { seed: 7 }"), @"scenarios/x.yaml:6:1: `<<` is not supported (write the keys out)");
    insta::assert_snapshot!(refused("seed: 7", "seed: *unknown"), @"scenarios/x.yaml:6:7: no `&` with this name stands above");
    insta::assert_snapshot!(refused("seed: 7", "? [a, b]\n: 7"), @"scenarios/x.yaml:6:3: a key is not text (give it a name)");
    insta::assert_snapshot!(refused("seed: 7", "~: 7"), @"scenarios/x.yaml:6:1: a key is empty (give it a name)");
    insta::assert_snapshot!(refused("seed: 7", "\"\\e[31m\": 7"), @r#"scenarios/x.yaml:6:1: unknown key "\u{1b}[31m" in the scenario (valid: name, description, sweep, backend, environment, workers, workers_in, cluster, broker, seed, faults, system, afterwards, expect, stall_after, timeout)"#);
}

#[test]
fn a_yaml_bomb_is_refused_before_it_grows() {
    let mut laughs = String::from("a0: &a0 [ha]\n");
    for level in 1..30 {
        let below = format!("*a{}, ", level - 1).repeat(9);
        laughs += &format!("a{level}: &a{level} [{below}]\n");
    }
    insta::assert_snapshot!(message(&laughs), @"scenarios/x.yaml:5:25: the YAML grows beyond what a scenario may hold (write it out, with fewer values, levels or aliases)");
    insta::assert_snapshot!(message(&"[".repeat(100_000)), @"scenarios/x.yaml:1:256: not valid YAML: too many levels of brackets");
    insta::assert_snapshot!(message(&"{a: ".repeat(200)), @"scenarios/x.yaml:1:797: not valid YAML: unclosed bracket '{'");
    insta::assert_snapshot!(message(&"- ".repeat(100_000)), @"scenarios/x.yaml:1:65: the YAML grows beyond what a scenario may hold (write it out, with fewer values, levels or aliases)");
    insta::assert_snapshot!(message(&format!("a: [{}]", "1,".repeat(100_000))), @"scenarios/x.yaml:1:99999: the YAML grows beyond what a scenario may hold (write it out, with fewer values, levels or aliases)");
    insta::assert_snapshot!(message("a: &a [*a]"), @"scenarios/x.yaml:1:8: not valid YAML: Recursive reference not allowed here");
}

#[test]
fn a_mistake_in_an_alias_is_shown_where_it_is_written() {
    let text = changed("seed: 7", "seed: &n 0").replace("workers: 3", "system: {}");
    insta::assert_snapshot!(message(&(text + "workers: *n\n")), @"scenarios/x.yaml:6:10: workers is 0, but at least 1 is needed (write for example workers: 3)");
}

#[test]
fn a_directory_with_a_bad_scenario_is_not_listed() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("x.yaml"), BASE.replace("workers: 3", "workers: 0")).unwrap();
    let shown = |error: crate::scenario::ScenarioError| {
        error.to_string().replace(dir.path().to_str().unwrap(), "scenarios")
    };
    insta::assert_snapshot!(shown(list(dir.path()).unwrap_err()), @"scenarios/x.yaml:5:10: workers is 0, but at least 1 is needed (write for example workers: 3)");
    insta::assert_snapshot!(shown(list(&dir.path().join("none")).unwrap_err()), @"scenarios/none: the directory of scenarios cannot be read (No such file or directory (os error 2))");
}
