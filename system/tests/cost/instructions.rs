//! Instructions of a worker, as valgrind counts them, on a broker that costs next to nothing.

use std::cell::Cell;
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use async_trait::async_trait;
use ttg_system::chunk::Sweep;
use ttg_system::kernel::Identity;
use ttg_system::queue::{
    Asker, Commit, ComputedBy, Delivery, Failure, KernelCheck, Queue, Reconcile, Result, Token,
};
use ttg_system::so_far::SoFar;
use ttg_system::wire::{Task, TaskResult};
use ttg_system::worker::{Batch, Options};

use super::figures::{Figures, committed, explained};
use super::{NEVER, work};

/// Chunks of the sweep that is counted.
const CHUNKS: &str = "TTG_TEST_COUNTED_CHUNKS";

/// What a process takes to start is in each, and falls out of their differences.
const SWEEPS: [u64; 3] = [1_000, 3_000, 9_000];

#[test]
fn a_chunk_takes_the_instructions_that_are_agreed_on() {
    let [few, more, many] = SWEEPS.map(instructions);
    let between = |from, to, chunks| {
        Figures::between(
            ["work"],
            &[vec![("instructions", from)], vec![("instructions", to)]],
            chunks,
        )
    };
    let seen =
        [between(few, more, SWEEPS[1] - SWEEPS[0]), between(more, many, SWEEPS[2] - SWEEPS[1])];
    let complaints = committed("worker").complaints(&seen);
    assert!(complaints.is_empty(), "{}", explained("worker", &complaints, &seen));
}

/// Of this program, carrying out the test below.
fn instructions(chunks: u64) -> u64 {
    let counted = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe().expect("it runs"))
        .args(["--exact", "instructions::a_worker_on_a_broker_that_costs_nothing"])
        .args(["--test-threads", "1"])
        .env(CHUNKS, chunks.to_string())
        .output()
        .unwrap_or_else(|error| panic!("valgrind is missing: run ci/test ({error})"));
    let told = String::from_utf8_lossy(&counted.stderr);
    let count = told.lines().find_map(|line| line.split_once("Collected : "));
    let count = count.and_then(|(_, count)| count.trim().parse().ok());
    assert!(counted.status.success(), "{told}");
    count.unwrap_or_else(|| panic!("valgrind counted nothing: {told}"))
}

/// It is also what the test above counts.
#[tokio::test(start_paused = true)]
async fn a_worker_on_a_broker_that_costs_nothing() {
    let chunks = std::env::var(CHUNKS).map_or(100, |chunks| chunks.parse().expect("a number"));
    let sweep = Sweep { start: 0, params: chunks, chunk_size: 1 };
    let broker = Rc::new(Free { sweep, handed_over: Cell::new(0) });
    let options = Options {
        name: "worker-1".to_owned(),
        idle_timeout: NEVER,
        lease: NEVER,
        takeover_interval: NEVER,
        stop_grace: NEVER,
        batch: Batch::new(NEVER, 64),
        fault_rate: 0.0,
        identity: Identity::built_in("reference"),
        same_kernel: false,
        so_far: Rc::<SoFar>::default(),
        seed: 7,
    };
    work(broker, options, chunks).await;
}

/// A broker that remembers how many chunks it has handed over, and nothing else.
struct Free {
    sweep: Sweep,
    handed_over: Cell<u64>,
}

#[async_trait(?Send)]
impl Reconcile for Free {}

#[async_trait(?Send)]
impl ComputedBy for Free {
    async fn compute_with(&self, _: &Identity, _: KernelCheck) -> Result<()> {
        Ok(())
    }
}

#[async_trait(?Send)]
impl Queue for Free {
    async fn claim(&self, max: usize, _: Duration) -> Result<Vec<Delivery>> {
        let from = self.handed_over.get();
        let to = (from + max as u64).min(self.sweep.chunks());
        self.handed_over.set(to);
        let deliveries = (from..to).map(|index| Delivery {
            token: Token { id: index.to_string(), number: 1 },
            task: Task {
                chunk: self.sweep.chunk(index),
                total_params: self.sweep.params,
                total_chunks: self.sweep.chunks(),
                created_at: "2026-01-02T03:04:05.678901Z".to_owned(),
                retry_count: 0,
                replays: 0,
            },
            suspect: false,
        });
        Ok(deliveries.collect())
    }

    async fn claim_ahead(&self, max: usize) -> Result<Vec<Delivery>> {
        self.claim(max, NEVER).await
    }

    async fn commit(&self, done: &[(Token, TaskResult)]) -> Result<Vec<Commit>> {
        Ok(vec![Commit::Committed; done.len()])
    }

    async fn renew(&self, _: &[Token]) -> Result<Vec<Token>> {
        Ok(Vec::new())
    }

    async fn take_over(&self, _: usize, _: &[Token], _: Asker) -> Result<Vec<Delivery>> {
        Ok(Vec::new())
    }

    async fn fail(&self, _: &Delivery, reason: &str) -> Result<Failure> {
        panic!("nothing fails here: {reason}");
    }

    async fn release(&self, _: &[Token]) -> Result<()> {
        Ok(())
    }

    async fn is_complete(&self) -> Result<bool> {
        Ok(self.handed_over.get() == self.sweep.chunks())
    }

    async fn leave(&self) -> Result<()> {
        Ok(())
    }
}
