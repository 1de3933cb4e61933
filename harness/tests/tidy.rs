//! The house rules that a machine can see. A failure names the place and the rule.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rstest::rstest;
use ttg_harness::fault;
use ttg_harness::scenario::{self, Overrides};

/// Lines of a Rust file, at most.
const LINES: usize = 600;

/// Where a test may sleep, and why.
const SLEEPING: &[(&str, &str)] = &[
    ("harness/tests/integration/support.rs", "polls for what has no event"),
    ("harness/tests/integration/model/api.rs", "is a server with time limits"),
    ("harness/tests/integration/model/hand.rs", "polls for what has no event"),
    ("harness/tests/integration/model/server.rs", "is a server that is away for a time"),
    ("system/tests/support/process.rs", "polls for what has no event"),
    ("system/tests/support/kernels.rs", "is a kernel that takes its time"),
    ("system/tests/support/model.rs", "lives in simulated time"),
    ("system/tests/simulated_time.rs", "lives in simulated time"),
    ("system/tests/broker_restarts.rs", "is about how long a broker is away"),
    ("system/tests/adoption.rs", "is about the moment of a death, of which nothing tells"),
    ("system/tests/lost_sweeps.rs", "is about who has seen a sweep, of which nothing tells"),
    ("system/tests/refusals.rs", "is about how long a broker refuses"),
    ("system/tests/conformance/claims.rs", "is about the length of a lease"),
    ("system/tests/conformance/departures.rs", "is about the length of a lease"),
    ("system/src/kernel/exec/tests.rs", "waits for processes that nobody may ask for"),
    ("system/tests/stopping.rs", "waits until nothing goes on any more"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// Files that git knows of, or would take, with their text; others than text are left out.
fn files() -> Vec<(String, String)> {
    let listed = Command::new("git")
        // The checkout may be another user's, as in a container.
        .args(["-c", "safe.directory=*", "ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git is needed to know which files are the project's");
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let listed = String::from_utf8(listed.stdout).unwrap();
    let text = |name: &str| fs::read_to_string(root().join(name)).ok();
    listed.lines().filter_map(|name| Some((name.to_owned(), text(name)?))).collect()
}

fn rust_files() -> Vec<(String, String)> {
    files().into_iter().filter(|(name, _)| name.ends_with(".rs")).collect()
}

/// Places, by file and line, where a line is so.
fn places(files: &[(String, String)], so: impl Fn(&str, &str) -> bool) -> Vec<String> {
    let mut places = Vec::new();
    for (name, text) in files {
        for (number, line) in text.lines().enumerate() {
            if so(name, line) {
                places.push(format!("{name}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    places
}

fn assert_none(places: &[String], rule: &str) {
    assert!(places.is_empty(), "{rule}:\n{}", places.join("\n"));
}

#[test]
fn there_are_files_to_look_at() {
    assert!(rust_files().len() > 50, "the rules below would hold of nothing");
}

#[test]
fn a_file_is_short_enough_to_be_read() {
    let long: Vec<String> = rust_files()
        .iter()
        .map(|(name, text)| (name, text.lines().count()))
        .filter(|(_, lines)| *lines > LINES)
        .map(|(name, lines)| format!("{name}: {lines} lines"))
        .collect();
    assert_none(&long, &format!("split a Rust file of over {LINES} lines by concern"));
}

#[test]
fn nothing_is_left_for_later() {
    // Put together here, so that this file does not break its own rule.
    let marks = [["TO", "DO"], ["FIX", "ME"], ["XX", "X"], ["todo", "!"], ["unimplemented", "!"]];
    let marks = marks.map(|halves| halves.concat());
    let found = places(&rust_files(), |_, line| marks.iter().any(|mark| line.contains(mark)));
    assert_none(&found, "do it now, or write an issue");
}

#[test]
fn no_test_is_switched_off() {
    let mark = ["#[", "ignore"].concat();
    let found = places(&rust_files(), |_, line| line.contains(&mark));
    assert_none(&found, "repair a test or remove it");
}

#[test]
fn tests_wait_for_events() {
    let tests: Vec<(String, String)> = rust_files()
        .into_iter()
        .filter(|(name, _)| SLEEPING.iter().all(|(may, _)| may != name))
        .filter_map(|(name, text)| {
            // A file's own tests are at its end.
            let at = if name.contains("/tests/") {
                Some(0)
            } else {
                text.find("#[cfg(test)]\nmod tests {")
            };
            Some((name, text[at?..].to_owned()))
        })
        .collect();
    let found = places(&tests, |_, line| sleeps(line));
    assert_none(&found, "wait for an event, with `eventually` if need be");
}

fn sleeps(line: &str) -> bool {
    ["thread::", "time::"].iter().any(|module| line.contains(&[module, "sleep"].concat()))
}

#[test]
fn every_exception_is_still_needed() {
    let files = rust_files();
    let needed =
        |name: &str| files.iter().any(|(file, text)| file == name && text.contains("sleep"));
    let idle: Vec<String> =
        SLEEPING.iter().map(|(name, _)| (*name).to_owned()).filter(|name| !needed(name)).collect();
    assert_none(&idle, "remove what no longer sleeps from SLEEPING");
}

#[test]
fn each_shipped_scenario_can_be_read() {
    let directory = root().join("scenarios");
    let mut bad = Vec::new();
    let entries =
        fs::read_dir(&directory).unwrap().chain(fs::read_dir(directory.join("findings")).unwrap());
    for entry in entries {
        let path = entry.unwrap().path();
        if path.ends_with("findings") || path.ends_with("findings/README.md") {
            continue;
        }
        if let Err(error) = scenario::load(&path, &Overrides::default()) {
            bad.push(error.to_string());
        }
    }
    assert_none(&bad, "a shipped scenario must be valid, and scenarios/ holds nothing else");
}

#[test]
fn the_document_of_faults_says_what_their_files_say() {
    let document = fs::read_to_string(root().join("docs/faults.md")).unwrap();
    assert!(
        document.contains(fault::markdown().trim_end()),
        "bring it up to date with `harness faults --write docs/faults.md`"
    );
}

#[test]
fn no_file_names_a_place_of_one_machine() {
    let own = root().display().to_string();
    let found = places(&files(), |_, line| line.contains(&own) || names_a_home(line));
    assert_none(&found, "paths are relative, or come from the environment");
}

fn names_a_home(line: &str) -> bool {
    ["home", "Users", "root", "work"].map(|home| format!("/{home}/")).iter().any(|home| {
        line.match_indices(home).any(|(at, _)| {
            // Else it is the middle of a longer path or of an address.
            let before = line[..at].chars().next_back();
            !before.is_some_and(|before| before.is_alphanumeric() || "._-}*~".contains(before))
        })
    })
}

#[test]
fn every_item_says_what_it_is() {
    let nothing = ["/// See", " the file."].concat();
    let found = places(&rust_files(), |_, line| line.contains(&nothing));
    assert_none(&found, "a reader who hovers over a name sees its own sentence");
}

/// Whether `ci/circles` finds no new circle in a tree, and what it prints.
fn circles(root: &Path) -> (bool, String) {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ci/circles");
    let ended = Command::new(program).arg(root).output().expect("python3 is needed: run ci/test");
    let printed = [ended.stdout, ended.stderr].concat();
    (ended.status.success(), String::from_utf8_lossy(&printed).into_owned())
}

#[test]
fn no_files_need_each_other_in_a_new_circle() {
    let (is_well, printed) = circles(&root());
    assert!(is_well, "{printed}");
}

#[rstest]
#[case::through_a_third("use crate::b::B;", "use super::c::C;", "use crate::a;", false)]
#[case::by_a_path("fn f() -> crate::b::B {}", "use crate::a::A;", "", false)]
#[case::what_is_passed_on_is_its_owners("use crate::B;", "", "use super::a::{A, self};", true)]
#[case::tests_may("use crate::b::B;", "#[cfg(test)]\nmod tests { use crate::a::A; }", "", true)]
fn a_circle_is_seen(#[case] a: &str, #[case] b: &str, #[case] c: &str, #[case] is_well: bool) {
    let crate_of_three = tempfile::tempdir().unwrap();
    let source = crate_of_three.path().join("one/src");
    fs::create_dir_all(&source).unwrap();
    let workspace = "[workspace]\nmembers = [\"one\"]\n";
    fs::write(crate_of_three.path().join("Cargo.toml"), workspace).unwrap();
    let root = "mod a;\nmod b;\nmod c;\npub use b::B;\n";
    for (name, text) in [("lib", root), ("a", a), ("b", b), ("c", c)] {
        fs::write(source.join(name).with_extension("rs"), text).unwrap();
    }
    let (found_well, printed) = circles(crate_of_three.path());
    assert_eq!(found_well, is_well, "{printed}");
}

#[test]
fn the_rules_see_what_breaks_them() {
    assert!(sleeps(&["std::thread::", "sleep(LONG);"].concat()));
    assert!(sleeps(&["tokio::time::", "sleep(LONG).await;"].concat()));
    assert!(!sleeps("eventually(|| child.try_wait())"));
    assert!(names_a_home(&["cd /ho", "me/ann/sweep"].concat()));
    assert!(!names_a_home("https://example.org/home/ann, build/root/file"));
    let two = [("a.rs".to_owned(), "good\n  bad\n".to_owned())];
    assert_eq!(places(&two, |_, line| line.contains("bad")), ["a.rs:2: bad"]);
}
