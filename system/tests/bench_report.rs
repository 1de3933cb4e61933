//! What `cargo bench` reads, prints and saves: the modules of it that measure nothing.
#![expect(dead_code, reason = "the rest of the benchmark uses it")]

#[path = "../benches/speed/options.rs"]
mod options;
#[path = "../benches/speed/outcome.rs"]
mod outcome;
#[path = "../benches/speed/row.rs"]
mod row;
#[path = "../benches/speed/saved.rs"]
mod saved;
#[path = "../benches/speed/table.rs"]
mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use insta::assert_snapshot;

use options::Options;
use outcome::{Outcome, Unmeasured, failed};
use row::Unit::{Megabytes, Milliseconds, PerSecond};
use row::{Row, Wanted, median, quantile};
use saved::{Machine, Reserved, Saved};

fn read(words: &str) -> Result<Options, String> {
    Options::read(words.split_whitespace().map(str::to_owned))
}

fn row(name: &str, unit: row::Unit, samples: &[f64]) -> Row {
    Row::new(name.to_owned(), unit, Ok(samples.to_vec()))
}

fn unmeasured(name: &str, why: Unmeasured) -> Row {
    Row::new(name.to_owned(), PerSecond, Err(why))
}

/// Every kind of row.
fn rows() -> Vec<Row> {
    let bare = |samples: &[f64]| -> Outcome<Vec<f64>> { Ok(samples.to_vec()) };
    let per_second =
        |what, samples| row(&format!("redis sweep 10,000: {what}"), PerSecond, samples);
    let ms = |what, samples| row(&format!("redis recovery 1,000: {what}"), Milliseconds, samples);
    vec![
        ms("median of 10, all open", &[3.12]),
        ms("longest of 10, all open", &[301.5]).wanted(Wanted::AtMost(300.0)),
        per_second("submit", &[90_000.0, 110_000.0, 100_000.0]),
        per_second("chunks, first to last", &[36_000.0; 3])
            .wanted(Wanted::OfBare(0.85))
            .beside(bare(&[40_000.0; 3])),
        row("redis sweep 10,000: memory, worker", Megabytes, &[13.96; 3]),
        Row {
            note: Some("bare loop: over 50,000 chunks".to_owned()),
            ..row("rabbitmq sweep 300,000: chunks, first to last", PerSecond, &[7_000.0])
                .wanted(Wanted::OfBare(0.85))
                .beside(bare(&[10_000.0]))
        },
        unmeasured("embedded sweep 300,000: submit", Unmeasured::TimedOut(Duration::from_secs(60)))
            .wanted(Wanted::OfBare(0.85)),
        unmeasured("embedded sweep 300,000: aggregate", failed("exit status: 69: no\nmore")),
        unmeasured("embedded sweep 300,000: chunks, to the exit", Unmeasured::Skipped)
            .beside(Err(failed("x".repeat(100)))),
    ]
}

fn saved() -> Saved {
    let mut saved = Saved::of(&rows());
    saved.samples.insert("redis sweep 10,000: submit".to_owned(), vec![1.0, 80_000.0, 90_000.0]);
    saved.samples.remove("redis sweep 10,000: memory, worker");
    saved
}

#[test]
fn options_are_words_and_files() {
    let both = read("--bench Redis recovery --save a.json --against=b.json").expect("is right");
    let expected = Options {
        words: vec!["redis".to_owned(), "recovery".to_owned()],
        save: Some("a.json".into()),
        against: Some("b.json".into()),
        help: false,
    };
    assert_eq!(both, expected);
    assert_eq!(read("--bench"), Ok(Options::default()));
    assert!(read("--bench -h").expect("is right").help);
}

#[test]
fn wrong_options_are_refused_with_their_name() {
    let refused = |words| read(words).expect_err("is wrong");
    assert_eq!(refused("--save"), "--save needs a file");
    assert_eq!(refused("--against --save x"), "--against needs a file");
    assert_eq!(refused("--save="), "--save needs a file");
    assert_eq!(refused("--fast"), "--fast is unknown (see cargo bench -- --help)");
}

#[test]
fn files_are_where_cargo_was_called() {
    let options = read("--save a.json --against /b.json").expect("is right");
    let options = options.in_directory(Path::new("/here"));
    assert_eq!(options.save, Some(PathBuf::from("/here/a.json")));
    assert_eq!(options.against, Some(PathBuf::from("/b.json")));
}

#[test]
fn what_has_the_beginning_of_every_word_is_measured() {
    let wants = |words: &str| read(words).expect("is right").want("redis sweep submit 10,000");
    assert!(wants(""));
    assert!(wants("redis"));
    assert!(wants("SUB redis 10,000"));
    assert!(!wants("redis recovery"));
    assert!(!wants("0,000"));
}

#[test]
fn quantiles_are_samples() {
    let samples: Vec<f64> = (0..=300).rev().map(f64::from).collect();
    assert_eq!(median(&samples), Some(150.0));
    assert_eq!(quantile(&samples, 0.99), Some(297.0));
    assert_eq!(quantile(&samples, 1.0), Some(300.0));
    assert_eq!(median(&[]), None);
}

#[test]
fn a_row_without_a_figure_is_missed_only_if_it_was_too_slow() {
    let missed = |samples: Outcome<Vec<f64>>, bare: Outcome<Vec<f64>>| {
        let row = Row::new("a: b".to_owned(), PerSecond, samples);
        row.wanted(Wanted::OfBare(0.85)).beside(bare).is_missed()
    };
    assert!(!missed(Ok(vec![85.0]), Ok(vec![100.0])));
    assert!(missed(Ok(vec![84.0]), Ok(vec![100.0])));
    assert!(missed(Err(Unmeasured::TimedOut(Duration::ZERO)), Ok(vec![100.0])));
    assert!(!missed(Err(failed("broken")), Ok(vec![100.0])));
    assert!(!missed(Ok(vec![85.0]), Err(Unmeasured::Skipped)));
}

#[test]
fn the_table_fits_80_columns() {
    let text = format!("{}\n{}", table::head(false), table::section(&rows(), None));
    assert_snapshot!(text, @"
                                     median  bare loop share           wanted
    redis recovery 1,000, once
      median of 10, all open         3.1 ms
      longest of 10, all open        302 ms                         <= 300 ms missed
    redis sweep 10,000, 3 times
      submit                      100000 /s
      chunks, first to last        36000 /s   40000 /s  0.90          >= 0.85
      memory, worker                14.0 MB
    rabbitmq sweep 300,000, once
      chunks, first to last         7000 /s   10000 /s  0.70          >= 0.85 missed
        bare loop: over 50,000 chunks
    embedded sweep 300,000
      submit                         > 60 s                           >= 0.85 missed
      aggregate                       error
        error: exit status: 69: no
      chunks, to the exit                 -      error
        error: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
    ");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
}

#[test]
fn a_saved_run_is_shown_as_a_change() {
    let text = format!("{}\n{}", table::head(true), table::section(&rows()[..5], Some(&saved())));
    assert_snapshot!(text, @"
                                     median  bare loop share before    wanted
    redis recovery 1,000, once
      median of 10, all open         3.1 ms                    +0 %
      longest of 10, all open        302 ms                    +0 % <= 300 ms missed
    redis sweep 10,000, 3 times
      submit                      100000 /s                   +25 %
      chunks, first to last        36000 /s   40000 /s  0.90   +0 %   >= 0.85
      memory, worker                14.0 MB
    ");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
}

#[test]
fn a_run_is_saved_and_read_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("before.json");
    fs::write(&path, "an earlier run").expect("writes");
    let reserved = Reserved::new(&path).expect("there is room");
    assert_eq!(fs::read_to_string(&path).expect("reads"), "an earlier run");
    assert_eq!(reserved.write(&saved()), Ok(path.clone()));
    let read = Saved::read(&path).expect("is of this machine");
    assert_eq!(read.samples, saved().samples);
    assert_eq!(read.figure("redis sweep 10,000: submit"), Some(80_000.0));
    assert_eq!(read.figure("embedded sweep 300,000: submit"), None);
    assert_eq!(fs::read_dir(&directory).expect("reads").count(), 1);
}

#[test]
fn what_was_not_measured_to_its_end_saves_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    drop(Reserved::new(&directory.path().join("before.json")).expect("there is room"));
    assert_eq!(fs::read_dir(&directory).expect("reads").count(), 0);
}

#[test]
fn a_file_that_cannot_be_written_is_refused_before_anything_is_measured() {
    let refused = |path: &str| Reserved::new(Path::new(path)).expect_err("cannot be written");
    let missing = refused("/nowhere/before.json");
    assert_eq!(missing, "cannot save to /nowhere/before.json: there is no such directory");
    assert_eq!(refused("/dev/full"), "cannot save to /dev/full: it is not a regular file");
    assert_eq!(refused("/tmp"), "cannot save to /tmp: it is not a regular file");
}

#[test]
fn a_run_of_another_machine_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("before.json");
    let write = |text: &str| fs::write(&path, text).expect("writes");
    let other = Machine { host: "other".to_owned(), processor: "fast".to_owned(), cores: 64 };
    write(&serde_json::to_string(&Saved { machine: other, ..saved() }).expect("JSON"));
    let refused = Saved::read(&path).expect_err("is of another machine");
    let place = path.display();
    let said = format!("{place} was measured on another machine (other, 64 cores of fast)");
    assert!(refused.starts_with(&said), "{refused}");
    write("{}");
    let refused = Saved::read(&path).expect_err("is no run");
    assert!(refused.starts_with(&format!("{place} is not a run that --save has written")));
    let refused = Saved::read(&directory.path().join("none")).expect_err("is not there");
    assert!(refused.starts_with("cannot read "), "{refused}");
}
