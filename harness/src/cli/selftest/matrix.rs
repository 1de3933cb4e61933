//! What is said of the runs: one line each as they end, and one at the end.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::case::{Cases, Planted, caught};
use crate::exit::Exit;
use crate::report::say;
use crate::report::terminal::{WIDTH, wrapped};
use crate::results::Results;
use crate::verdict::Verdict;
use crate::words::counted;

/// Columns before what is said of a run: `caught  rabbitmq  never-acknowledges          `.
const LEFT: usize = 46;

/// What became of one defect.
enum Fate {
    Caught(String),
    Missed(String, PathBuf),
}

/// What is known so far.
pub(super) struct Matrix<'a> {
    cases: &'a Cases,
    /// Of each ground, whether the correct system passed, and where its run is.
    correct: Vec<Option<(Verdict, PathBuf)>>,
    /// Of each planted defect.
    fates: Vec<Option<Fate>>,
    told: Vec<bool>,
}

impl<'a> Matrix<'a> {
    pub(super) fn new(cases: &'a Cases) -> Self {
        Self {
            cases,
            correct: cases.grounds.iter().map(|_| None).collect(),
            fates: cases.planted.iter().map(|_| None).collect(),
            told: vec![false; cases.planted.len()],
        }
    }

    /// The correct system was run through a ground.
    pub(super) fn correct(&mut self, ground: usize, verdict: Verdict, directory: PathBuf) {
        self.correct[ground] = Some((verdict, directory));
        for at in 0..self.cases.planted.len() {
            if self.cases.planted[at].ground == ground {
                self.tell(at);
            }
        }
    }

    /// A defect was run.
    pub(super) fn broken(&mut self, at: usize, results: &Results, directory: &Path) {
        let fate = match caught(self.cases.planted[at].defect, results) {
            Ok(evidence) => Fate::Caught(evidence),
            Err(why) => Fate::Missed(why, directory.to_owned()),
        };
        self.fates[at] = Some(fate);
        self.tell(at);
    }

    /// Says what became of a defect, once both runs are known.
    fn tell(&mut self, at: usize) {
        let planted = &self.cases.planted[at];
        let (Some(fate), Some((verdict, ground))) =
            (&self.fates[at], &self.correct[planted.ground])
        else {
            return;
        };
        if std::mem::replace(&mut self.told[at], true) {
            return;
        }
        match fate {
            _ if *verdict != Verdict::Pass => {
                let why = format!("the correct system does not pass either ({verdict})");
                missed(planted, &why, ground);
            }
            Fate::Missed(why, directory) => missed(planted, why, directory),
            Fate::Caught(evidence) => {
                let evidence = clipped(evidence, WIDTH - LEFT);
                say(format_args!("{}{evidence}\n", left("caught", planted)));
            }
        }
    }

    /// Says what all came to.
    pub(super) fn conclude(&self, took: Duration) -> Exit {
        let is_caught = |at: &usize| {
            let passed = &self.correct[self.cases.planted[*at].ground];
            let passed = passed.as_ref().is_some_and(|(verdict, _)| *verdict == Verdict::Pass);
            passed && matches!(self.fates[*at], Some(Fate::Caught(_)))
        };
        let told = self.told.iter().filter(|told| **told).count();
        let caught = (0..self.told.len()).filter(is_caught).count();
        let runs = self.correct.iter().flatten().count();
        let passed = self.correct.iter().flatten().filter(|it| it.0 == Verdict::Pass).count();
        if told + runs == 0 {
            return Exit::Pass;
        }
        let all = self.told.len();
        // An interrupt, or a broker that does not start, ends it early.
        let of = if told < all { format!("{told} of ") } else { String::new() };
        let defects = format!("{of}{}", counted(all as u64, "planted defect"));
        let outcome = match told - caught {
            0 if told < all => "all of these caught".to_owned(),
            0 => "all caught".to_owned(),
            missed => format!("{caught} caught, {missed} MISSED"),
        };
        let correct = if passed == runs {
            format!("{} passed", counted(runs as u64, "correct run"))
        } else {
            format!("{passed} of {} passed", counted(runs as u64, "correct run"))
        };
        say(format_args!("{defects}: {outcome}; {correct}; {} s\n", took.as_secs()));
        if told == caught && passed == runs { Exit::Pass } else { Exit::Fail }
    }
}

fn left(word: &str, Planted { defect, backend, .. }: &Planted) -> String {
    format!("{word:8}{:10}{:28}", backend.name(), defect.name)
}

fn missed(planted: &Planted, why: &str, directory: &Path) {
    let mut left = left("MISSED", planted);
    for line in wrapped(why, WIDTH - LEFT) {
        say(format_args!("{left:LEFT$}{line}\n"));
        left.clear();
    }
    say(format_args!("{:8}see {}\n", "", directory.display()));
}

/// As much of a text as has room in a line.
fn clipped(text: &str, columns: usize) -> String {
    if text.chars().count() <= columns {
        return text.to_owned();
    }
    text.chars().take(columns - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_room_is_clipped_and_says_so() {
        assert_eq!(clipped("10 missing", 10), "10 missing");
        assert_eq!(clipped("1000 missing", 10), "1000 miss…");
    }
}
