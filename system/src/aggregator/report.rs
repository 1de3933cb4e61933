//! The report of a sweep: as data, and for people.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::chunk::ChunkId;
use crate::printable;
use crate::stats::Stats;

/// Width of the longest bar.
const BAR: u64 = 30;

/// What a sweep came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Whether every chunk is in it.
    pub complete: bool,
    /// Chunks in it.
    pub chunks: u64,
    /// Chunks of the sweep, where a coordinator has said.
    pub expected_chunks: Option<u64>,
    /// Chunks that are dead.
    pub dead_lettered: u64,
    /// Messages left out because their chunk was in it already.
    pub duplicates_removed: u64,
    /// Messages left out because they cannot be read, or are not what a chunk of the sweep can come to.
    pub unreadable: u64,
    /// The first of those, with the reasons.
    pub refused_results: Vec<Refused>,
    /// Chunks of the sweep that are not in it: the first stretches of them.
    pub missing_chunks: Vec<Stretch>,
    /// What the values came to; nothing where there are none.
    pub result: Option<Stats>,
    /// Seconds from the sweep's creation to its last result.
    pub wall_seconds: f64,
    /// Seconds of computing, over all workers.
    pub cpu_seconds: f64,
    /// Parameters per second of wall time.
    pub effective_params_per_second: f64,
    /// Parameters per second of computing.
    pub cpu_params_per_second: f64,
    /// Computing time in wall time.
    pub parallelism: f64,
    /// What each worker did.
    pub workers: BTreeMap<String, Share>,
}

/// A result that was left out, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// The chunk that it says it is of, where that can be read.
    pub chunk: Option<u64>,
    /// Who has sent it, where that can be read.
    pub worker: Option<String>,
    /// Why.
    pub reason: String,
}

/// Chunks that follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Stretch {
    /// The first of them.
    pub first: u64,
    /// The last of them.
    pub last: u64,
}

/// What one worker did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Share {
    /// Chunks.
    pub chunks: u64,
    /// Parameters.
    pub params: u64,
    /// Seconds of computing.
    pub seconds: f64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let expected =
            self.expected_chunks.map_or_else(String::new, |n| format!(" of {}", grouped(n)));
        let state = if self.complete { "complete" } else { "INCOMPLETE" };
        writeln!(f, "Sweep results: {state}")?;
        writeln!(f)?;
        let params = self.result.map_or(0, |r| r.count);
        line(f, "Total parameters", &grouped(params))?;
        line(f, "Total chunks", &format!("{}{expected}", grouped(self.chunks)))?;
        if let Some(result) = self.result {
            line(f, "Grand sum", &decimal(result.sum, 2))?;
            line(f, "Global minimum", &result.min.to_string())?;
            line(f, "Global maximum", &result.max.to_string())?;
            line(f, "Average", &format!("{:.4}", result.avg))?;
        }
        for (name, count) in [
            ("Dead letters", self.dead_lettered),
            ("Duplicates removed", self.duplicates_removed),
            ("Refused results", self.unreadable),
        ] {
            if count > 0 {
                line(f, name, &grouped(count))?;
            }
        }
        self.say_what_is_missing(f)?;
        writeln!(f)?;
        line(f, "Wall time", &format!("{:.2} s", self.wall_seconds))?;
        line(f, "CPU time", &format!("{:.2} s", self.cpu_seconds))?;
        let rate = |rate: f64| format!("{} params/s", decimal(rate, 0));
        line(f, "Effective throughput", &rate(self.effective_params_per_second))?;
        line(f, "CPU throughput", &rate(self.cpu_params_per_second))?;
        line(f, "Parallelism", &format!("{:.2}x", self.parallelism))?;
        writeln!(f)?;
        writeln!(f, "Chunks per worker")?;
        let most = self.workers.values().map(|share| share.chunks).max().unwrap_or(0).max(1);
        for (worker, share) in &self.workers {
            let bar = "█".repeat((share.chunks * BAR).div_ceil(most) as usize);
            let worker = printable::line(worker);
            writeln!(f, "  {worker:<18} {:>8}  {bar}", grouped(share.chunks))?;
        }
        Ok(())
    }
}

/// How many refused results and missing chunks are told to people.
const TOLD: usize = 5;

impl Report {
    /// Which chunks are missing, and what was refused.
    fn say_what_is_missing(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.missing_chunks.is_empty() {
            let id = |chunk: u64| ChunkId(chunk).to_string();
            let stretch = |it: &Stretch| match it.first == it.last {
                true => id(it.first),
                false => format!("{} to {}", id(it.first), id(it.last)),
            };
            let told: Vec<_> = self.missing_chunks.iter().take(TOLD).map(stretch).collect();
            let more = if self.missing_chunks.len() > TOLD { ", …" } else { "" };
            writeln!(f, "\nMissing chunks\n  {}{more}", told.join(", "))?;
        }
        if !self.refused_results.is_empty() {
            writeln!(f, "\nRefused results")?;
        }
        for Refused { chunk, worker, reason } in self.refused_results.iter().take(TOLD) {
            let chunk = chunk.map_or_else(|| "?".to_owned(), |chunk| ChunkId(chunk).to_string());
            let worker = printable::line(worker.as_deref().unwrap_or("?"));
            writeln!(f, "  {chunk} of {worker}: {}", printable::line(reason))?;
        }
        if self.unreadable > TOLD.min(self.refused_results.len()) as u64 {
            writeln!(f, "  … ({} in all)", grouped(self.unreadable))?;
        }
        Ok(())
    }

    /// One line per worker with its parameters and rates.
    pub fn details(&self) -> String {
        let mut text =
            format!("  {:<18} {:>10} {:>10} {:>12}\n", "worker", "params", "seconds", "params/s");
        for (worker, share) in &self.workers {
            let worker = printable::line(worker);
            let rate = if share.seconds > 0.0 { share.params as f64 / share.seconds } else { 0.0 };
            text.push_str(&format!(
                "  {worker:<18} {:>10} {:>10.2} {:>12}\n",
                grouped(share.params),
                share.seconds,
                decimal(rate, 1)
            ));
        }
        text
    }
}

fn line(f: &mut fmt::Formatter<'_>, name: &str, value: &str) -> fmt::Result {
    writeln!(f, "  {name:<22} {value:>18}")
}

/// A number with a comma every three digits.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn decimal(number: f64, places: usize) -> String {
    let text = format!("{:.places$}", number.abs());
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let sign = if number < 0.0 { "-" } else { "" };
    let whole = whole.parse().map_or_else(|_| whole.to_owned(), grouped);
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregator::Share;
    use crate::stats::Stats;

    fn report() -> Report {
        let share = |chunks| Share { chunks, params: chunks * 100, seconds: chunks as f64 };
        Report {
            complete: true,
            chunks: 100,
            expected_chunks: Some(100),
            dead_lettered: 0,
            duplicates_removed: 0,
            unreadable: 0,
            refused_results: Vec::new(),
            missing_chunks: Vec::new(),
            result: Some(Stats {
                sum: 5_000_355.0,
                count: 10_000,
                min: 0.41,
                max: 999.98,
                avg: 500.0355,
            }),
            wall_seconds: 34.2,
            cpu_seconds: 100.0,
            effective_params_per_second: 292.4,
            cpu_params_per_second: 100.0,
            parallelism: 2.924,
            workers: [("worker-0".to_owned(), share(34)), ("worker-1".to_owned(), share(66))]
                .into(),
        }
    }

    #[test]
    fn a_complete_sweep_reads_like_this() {
        insta::assert_snapshot!(report().to_string(), @r#"
        Sweep results: complete

          Total parameters                   10,000
          Total chunks                   100 of 100
          Grand sum                    5,000,355.00
          Global minimum                       0.41
          Global maximum                     999.98
          Average                          500.0355

          Wall time                         34.20 s
          CPU time                         100.00 s
          Effective throughput         292 params/s
          CPU throughput               100 params/s
          Parallelism                         2.92x

        Chunks per worker
          worker-0                 34  ████████████████
          worker-1                 66  ██████████████████████████████
        "#);
    }

    #[test]
    fn an_incomplete_sweep_says_so_first() {
        let report = Report {
            complete: false,
            chunks: 97,
            dead_lettered: 3,
            duplicates_removed: 1_234,
            unreadable: 9,
            refused_results: vec![
                Refused {
                    chunk: Some(7),
                    worker: Some("worker-\u{1b}9".to_owned()),
                    reason: "it counts 50 parameters, and the chunk has 100".to_owned(),
                },
                Refused { chunk: None, worker: None, reason: "status is missing".to_owned() },
            ],
            missing_chunks: [(7, 7), (20, 21)].map(|(first, last)| Stretch { first, last }).into(),
            ..report()
        };
        insta::assert_snapshot!(report.to_string(), @r#"
        Sweep results: INCOMPLETE

          Total parameters                   10,000
          Total chunks                    97 of 100
          Grand sum                    5,000,355.00
          Global minimum                       0.41
          Global maximum                     999.98
          Average                          500.0355
          Dead letters                            3
          Duplicates removed                  1,234
          Refused results                         9

        Missing chunks
          00007, 00020 to 00021

        Refused results
          00007 of worker- 9: it counts 50 parameters, and the chunk has 100
          ? of ?: status is missing
          … (9 in all)

          Wall time                         34.20 s
          CPU time                         100.00 s
          Effective throughput         292 params/s
          CPU throughput               100 params/s
          Parallelism                         2.92x

        Chunks per worker
          worker-0                 34  ████████████████
          worker-1                 66  ██████████████████████████████
        "#);
    }

    #[test]
    fn details_are_one_line_per_worker() {
        insta::assert_snapshot!(report().details(), @r#"
        worker                 params    seconds     params/s
        worker-0                3,400      34.00        100.0
        worker-1                6,600      66.00        100.0
        "#);
    }
}
