//! The timeline of a run, drawn as SVG: a lane for each worker, its chunks as bars, faults as
//! marks.

use super::html::escaped;
use crate::history::{Event, Record};
use crate::plan::Plan;
use crate::words::{quoted, seconds};

/// Bars that are drawn at most.
const MOST_BARS: usize = 2_000;
/// Lanes that are drawn at most.
const MOST_LANES: usize = 64;
const WIDTH: f64 = 960.0;
const LEFT: f64 = 110.0;
const LANE: f64 = 26.0;
const TOP: f64 = 8.0;

/// What is drawn of a history.
#[derive(Debug)]
pub(super) struct Timeline {
    lanes: Vec<String>,
    bars: Vec<Bar>,
    marks: Vec<Mark>,
    /// Of so many chunks one is drawn: 1, 2, 4, …
    stride: u64,
    seen: u64,
    end_s: f64,
}

#[derive(Debug)]
struct Bar {
    lane: usize,
    from_s: f64,
    to_s: f64,
    chunk: String,
}

#[derive(Debug)]
struct Mark {
    /// None: a process that has no lane.
    lane: Option<usize>,
    t_s: f64,
    bit: bool,
    title: String,
}

impl Timeline {
    /// Of a run of this plan.
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            lanes: (0..plan.workers)
                .map(|number| format!("worker-{number}"))
                .take(MOST_LANES)
                .collect(),
            bars: Vec::new(),
            marks: Vec::new(),
            stride: 1,
            seen: 0,
            end_s: 0.0,
        }
    }

    /// Takes one event in.
    pub(super) fn observe(&mut self, record: &Record) {
        self.end_s = self.end_s.max(record.t_s);
        match &record.event {
            Event::Result(result) => {
                let from_s = record.t_s - result.duration_s.clamp(0.0, record.t_s.max(0.0));
                self.bar(&result.worker, from_s, record.t_s, &result.chunk_id);
            }
            Event::FaultInjected { fault, kind, target, bit, proof, .. } => {
                let title = format!("{fault}: {kind} {target} at {}: {proof}", seconds(record.t_s));
                let lane = self.lanes.iter().position(|lane| lane == target);
                self.marks.push(Mark { lane, t_s: record.t_s, bit: *bit, title });
            }
            _ => {}
        }
    }

    /// Every second bar is left out, again and again, so that those that are drawn are spread
    /// over the whole run.
    fn bar(&mut self, worker: &str, from_s: f64, to_s: f64, chunk: &str) {
        let number = self.seen;
        self.seen += 1;
        if !number.is_multiple_of(self.stride) {
            return;
        }
        let Some(lane) = self.lane(worker) else {
            return;
        };
        self.bars.push(Bar { lane, from_s, to_s, chunk: quoted(chunk) });
        if self.bars.len() > MOST_BARS {
            let mut number = 0;
            self.bars.retain(|_| {
                number += 1;
                number % 2 == 1
            });
            self.stride *= 2;
        }
    }

    fn lane(&mut self, worker: &str) -> Option<usize> {
        let known = self.lanes.iter().position(|lane| lane == worker);
        if known.is_none() && self.lanes.len() < MOST_LANES {
            self.lanes.push(worker.to_owned());
            return Some(self.lanes.len() - 1);
        }
        known
    }

    /// What is left out of the drawing, if anything.
    pub(super) fn caption(&self) -> Option<String> {
        (self.stride > 1).then(|| {
            let (drawn, seen) = (self.bars.len(), self.seen);
            format!("{drawn} of {seen} chunks are drawn: every {}th", self.stride)
        })
    }

    /// The drawing.
    pub(super) fn svg(&self) -> String {
        let bottom = TOP + LANE * self.lanes.len() as f64;
        let height = bottom + 28.0;
        let mut svg = format!(
            "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"Timeline of the run\">\n"
        );
        for (lane, worker) in self.lanes.iter().enumerate() {
            let y = TOP + LANE * lane as f64;
            let (name, middle) = (escaped(&quoted(worker)), y + LANE * 0.65);
            svg += &format!(
                "<text class=\"lane\" x=\"{}\" y=\"{middle}\">{name}</text>\n",
                LEFT - 8.0
            );
            svg += &format!(
                "<line class=\"rule\" x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{0}\" y2=\"{0}\"/>\n",
                y + LANE
            );
        }
        self.bars.iter().for_each(|bar| svg += &self.draw_bar(bar));
        self.marks.iter().for_each(|mark| svg += &self.draw_mark(mark, bottom));
        svg += &self.draw_axis(bottom);
        svg + "</svg>\n"
    }

    fn x(&self, t_s: f64) -> f64 {
        let share = if self.end_s > 0.0 { t_s / self.end_s } else { 0.0 };
        LEFT + share.clamp(0.0, 1.0) * (WIDTH - LEFT - 28.0)
    }

    fn draw_bar(&self, bar: &Bar) -> String {
        let (x, y) = (self.x(bar.from_s), TOP + LANE * bar.lane as f64 + 4.0);
        let (width, height) = ((self.x(bar.to_s) - x - 0.5).max(0.7), LANE - 8.0);
        let (chunk, from, to) = (escaped(&bar.chunk), seconds(bar.from_s), seconds(bar.to_s));
        format!(
            "<rect class=\"chunk\" x=\"{x:.2}\" y=\"{y}\" width=\"{width:.2}\" height=\"{height}\">\
             <title>chunk {chunk}, {from} to {to}</title></rect>\n"
        )
    }

    fn draw_mark(&self, mark: &Mark, bottom: f64) -> String {
        let x = self.x(mark.t_s);
        let (from, to) = mark.lane.map_or((TOP, bottom), |lane| {
            let y = TOP + LANE * lane as f64;
            (y, y + LANE)
        });
        let class = if mark.bit { "fault" } else { "fault missed" };
        let (title, radius) = (escaped(&quoted(&mark.title)), 4.5);
        format!(
            "<g class=\"{class}\"><title>{title}</title>\
             <line x1=\"{x:.2}\" x2=\"{x:.2}\" y1=\"{from}\" y2=\"{to}\"/>\
             <circle cx=\"{x:.2}\" cy=\"{:.2}\" r=\"{radius}\"/></g>\n",
            f64::midpoint(from, to)
        )
    }

    fn draw_axis(&self, bottom: f64) -> String {
        const TICKS: u32 = 6;
        let tick = |number: u32| {
            let t_s = self.end_s * f64::from(number) / f64::from(TICKS);
            let (x, at, y) = (self.x(t_s), seconds(t_s), bottom + 18.0);
            format!("<text class=\"tick\" x=\"{x:.2}\" y=\"{y}\">{at}</text>\n")
        };
        (0..=TICKS).map(tick).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::{History, plan, plan_with_kill};
    use crate::report::testing::timeline;

    #[test]
    fn every_chunk_has_its_bar_and_every_fault_its_mark() {
        let svg = timeline(&History::of(plan_with_kill())).svg();
        assert_eq!(svg.matches("<rect").count(), 100);
        assert_eq!(svg.matches("<circle").count(), 1);
        assert_eq!(svg.matches("class=\"lane\"").count(), 3);
    }

    #[test]
    fn too_many_chunks_are_thinned_out_over_the_whole_run_and_that_is_said() {
        let mut plan = plan();
        plan.sweep.end = 90_000;
        let timeline = timeline(&History::of(plan));
        assert!(timeline.bars.len() <= MOST_BARS, "{}", timeline.bars.len());
        assert!(timeline.bars.last().unwrap().to_s > 0.99 * timeline.end_s - 3.0);
        insta::assert_snapshot!(timeline.caption().unwrap(), @"1125 of 9000 chunks are drawn: every 8th");
    }

    #[test]
    fn a_worker_that_the_plan_does_not_know_gets_a_lane() {
        let history =
            History::of(plan()).spoil_result("00003", |result| result.worker = "<foreign>".into());
        assert!(timeline(&history).svg().contains("&lt;foreign&gt;"));
    }

    #[test]
    fn an_empty_run_can_be_drawn() {
        assert!(!Timeline::new(&plan()).svg().contains("NaN"));
    }
}
