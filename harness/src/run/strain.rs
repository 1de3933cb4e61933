//! How much slower than usual this machine may be, because others want its processors too: what must
//! happen within a fixed time has so many times as long.

use std::cell::Cell;
use std::fs;
use std::thread::available_parallelism;
use std::time::Duration;

/// However busy a machine is, nobody is waited for longer than so many times.
const MOST: f64 = 10.0;

/// A machine is usual up to so many processes for each processor.
const USUAL: f64 = 2.0;

/// The weight of one look among those before: looks are a tenth of a second apart, and one of them
/// catches many at the same moment who sleep most of the time.
const WEIGHT: f64 = 0.02;

/// The load of this machine over the last moments, against its number of processors.
pub(super) struct Strain {
    processors: f64,
    runnable: Cell<f64>,
    load: Cell<f64>,
}

impl Strain {
    pub(super) fn here() -> Self {
        let processors = available_parallelism().map_or(1.0, |count| count.get() as f64);
        let strain = Self { processors, runnable: Cell::default(), load: Cell::default() };
        strain.look();
        strain
    }

    /// Looks how many want a processor.
    pub(super) fn look(&self) {
        // Where the system does not say, it is a usual one.
        let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let Some((load, runnable)) = read(&text) else { return };
        self.load.set(load);
        self.runnable.set(self.runnable.get() + (runnable - self.runnable.get()) * WEIGHT);
    }

    /// So much time, and more on a machine under load.
    pub(super) fn allows(&self, time: Duration) -> Duration {
        time.mul_f64(times(self.load.get().max(self.runnable.get()) / self.processors))
    }
}

/// The load of the last minute, and how many are runnable just now.
fn read(text: &str) -> Option<(f64, f64)> {
    let mut words = text.split_whitespace();
    let load = words.next()?.parse().ok()?;
    let runnable = words.nth(2)?.split('/').next()?.parse().ok()?;
    Some((load, runnable))
}

/// How many times as long, at so many runnable processes for each processor.
fn times(load: f64) -> f64 {
    (load / USUAL).clamp(1.0, MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_load_is_read_as_the_kernel_writes_it() {
        assert_eq!(read("14.50 13.31 9.10 16/235 11008\n"), Some((14.5, 16.0)));
        assert_eq!(read(""), None);
        assert_eq!(read("a b c d e"), None);
    }

    #[test]
    fn a_usual_machine_has_the_usual_time_and_a_busy_one_more() {
        assert_eq!([0.0, 1.0, 2.0, 10.0, 1000.0].map(times), [1.0, 1.0, 1.0, 5.0, 10.0]);
        assert!(Strain::here().allows(Duration::from_secs(1)) >= Duration::from_secs(1));
    }
}
