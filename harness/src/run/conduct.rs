//! A run from its first process to its last: start, faults, heal, wait, final reading.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use rustix::process::Signal;
use tokio::sync::watch;
use tokio::task::LocalSet;
use tokio::time::{Instant, interval, sleep, timeout};
use ttg_contract::chunk::ChunkId;
use ttg_system::queue::{self, Broker};

use super::crashes::caught;
use super::interrupts::{Interrupts, cut_short};
use super::reading::{read_at_the_end, read_the_rest};
use super::recompute::recompute;
use super::submit::submit;
use super::tap::Tap;
use super::{RunDirectory, RunError, Stage, afterwards, attempts, missing, room};
use crate::environment::{BrokerProcess, Fleet, Host, Unavailable};
use crate::fault;
use crate::history::{EndReason, Event, Record};
use crate::plan::{Afterwards, Backend, Plan, RoleProgram};
use crate::words::counted;

/// How long processes may take to leave once the sweep is complete, at least.
const LEAVE: Duration = Duration::from_secs(15);

/// The wire contract's default of the time after which an idle worker leaves.
const IDLE: Duration = Duration::from_secs(30);

/// How long they may take once they are told to.
const STOP: Duration = Duration::from_secs(5);

/// And where the harness itself has crashed.
const AT_ONCE: Duration = Duration::from_millis(150);

/// Chunks of a sweep that does not go on that are told with their workers.
const HELD: usize = 20;

/// How often to look whether the sweep stalls.
const LOOK: Duration = Duration::from_millis(100);

/// How long workers may take until they ask for tasks. Later than that, the sweep begins without.
const READY: Duration = Duration::from_secs(5);

/// How often to look whether they do.
const SOON: Duration = Duration::from_millis(2);

/// Carries the plan out. Everything that is observed goes to `listener`.
///
/// # Errors
/// Where the machine lacks something, or a process cannot be started.
pub async fn run(
    plan: &Plan,
    directory: &RunDirectory,
    listener: Box<dyn FnMut(&Record)>,
) -> Result<EndReason, RunError> {
    let mut interrupts = Interrupts::listen()?;
    missing::programs_are_there(plan)?;
    let host = Host::find(plan).await?.map(Rc::new);
    let ended = run_in(plan, directory, host.clone(), &mut interrupts, listener).await;
    // Nobody else holds it: all that the run started is gone.
    if let Some(host) = host.and_then(Rc::into_inner) {
        host.close().await;
    }
    ended
}

async fn run_in(
    plan: &Plan,
    directory: &RunDirectory,
    host: Option<Rc<Host>>,
    interrupts: &mut Interrupts,
    listener: Box<dyn FnMut(&Record)>,
) -> Result<EndReason, RunError> {
    let fleet = Fleet::new(&directory.logs(), host.clone())
        .map_err(|error| Unavailable(format!("cannot start a process: {error}")))?;
    let process = tokio::select! {
        process = start_broker(plan, directory, host.as_deref()) => process?,
        () = interrupts.next() => return Err(RunError::Interrupted),
    };
    let broker = match &process {
        Some(process) => Some(
            queue::connect(&process.settings(), None)
                .await
                .map_err(|error| Unavailable(error.to_string()))?,
        ),
        None => None,
    };
    let describe = process.as_ref().map(BrokerProcess::describe);
    let stage = Rc::new(Stage::new(plan.clone(), fleet, process, broker, listener));
    directory.begins();
    stage.emit(Event::RunStarted { at: jiff::Timestamp::now().to_string() });
    if let Some(pods) = stage.fleet.host().and_then(Host::pods) {
        stage.emit(Event::ClusterReady { cluster: pods.describe().await });
    }
    if let Some(broker) = &stage.broker {
        // Some brokers say who holds what only from the first question on.
        let _ = broker.held().await;
    }
    if let Some(broker) = describe {
        stage.emit(Event::BrokerReady { broker });
    }
    let tasks = LocalSet::new();
    let conducted = caught(tasks.run_until(async {
        stage.spawn(
            "the watch over the disk".to_owned(),
            room::watch(Rc::clone(&stage), directory.path().to_owned()),
        );
        conduct(Rc::clone(&stage), interrupts).await
    }));
    let ended = match conducted.await {
        Ok(ended) => ended,
        Err(said) => {
            stage.has_crashed("the run", &said);
            Ok(tasks.run_until(end_of_a_crash(&stage)).await)
        }
    };
    leave_empty(&stage).await;
    if let Some(server) = stage.server() {
        server.keep_log(&directory.logs()).await;
    }
    // Tasks that still watch something hold the stage, and with it every process.
    drop(tasks);
    ended
}

/// Starts the broker, where the run has its room. What is waited for meanwhile is said at once: on a
/// cluster it may take minutes.
async fn start_broker(
    plan: &Plan,
    directory: &RunDirectory,
    host: Option<&Host>,
) -> Result<Option<BrokerProcess>, Unavailable> {
    let start = async {
        if let Some(host) = host {
            host.make_room(plan).await?;
        }
        BrokerProcess::start(plan, &directory.broker(), &directory.logs(), host).await
    };
    let Some(mut waits) = host.and_then(Host::waits_for) else { return start.await };
    let told = async {
        while waits.changed().await.is_ok() {
            if let Some(why) = waits.borrow_and_update().as_deref() {
                crate::report::tell(format_args!("{why}"));
            }
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        started = start => started,
        () = told => unreachable!("it tells for ever"),
    }
}

/// Tells what the cluster is waited for.
async fn tell_waits(stage: Rc<Stage>, mut waits: watch::Receiver<Option<String>>) {
    while waits.changed().await.is_ok() {
        let why = waits.borrow_and_update().clone();
        stage.emit(Event::Waits { why });
    }
}

/// Somebody else's broker is left as it was found.
async fn leave_empty(stage: &Stage) {
    let (Some(BrokerProcess::External(external)), Some(broker)) =
        (&stage.broker_process, &stage.broker)
    else {
        return;
    };
    let left = match broker.reset().await {
        Ok(()) => external.leave().await,
        Err(error) => Err(error),
    };
    if let Err(error) = left {
        crate::report::tell(format_args!("warning: {error}; something of this run is still there"));
    }
}

async fn conduct(stage: Rc<Stage>, interrupts: &mut Interrupts) -> Result<EndReason, RunError> {
    if let Some(waits) = stage.fleet.host().and_then(Host::waits_for) {
        stage.spawn("the watch over the cluster".to_owned(), tell_waits(Rc::clone(&stage), waits));
    }
    let mut tap = Tap::of(stage.plan.sweep.chunks());
    let why = sweep(&stage, &mut tap, interrupts).await?;
    if why == EndReason::Crashed {
        return Ok(end_of_a_crash(&stage).await);
    }
    if let (EndReason::Stalled | EndReason::TimedOut, Some(broker)) = (why, &stage.broker) {
        still_held(&stage, &**broker).await;
    }
    stage.change(|standing| standing.over = true);
    stop_all(&stage, STOP).await;
    let mut reading = read_the_rest(&stage, &mut tap, interrupts, why).await;
    // One whose output is copied from elsewhere may have ended before that.
    stage.reports.tell_last(&stage);
    let is_watched = !matches!(reading.why, EndReason::Interrupted | EndReason::BrokerGone);
    let loses = stage.plan.loses_with_broker();
    if reading.why == EndReason::Complete || (is_watched && loses) {
        tokio::select! {
            () = recompute(&stage, stage.headway.sweep_took()) => {}
            cut = cut_short(&stage, interrupts) => reading.why = cut,
        }
    }
    // Last of all: a program that computes again is the user's, and may do anything.
    if reading.is_whole && !loses {
        reading = read_at_the_end(&stage, &mut tap, interrupts, reading.why).await;
    }
    if reading.why == EndReason::Crashed {
        return Ok(end_of_a_crash(&stage).await);
    }
    stage.emit(Event::RunEnded { why: reading.why });
    Ok(reading.why)
}

/// Starts everybody, lets the faults loose, and watches until the sweep is over; and once more where dead
/// letters are replayed then.
async fn sweep(
    stage: &Rc<Stage>,
    tap: &mut Tap,
    interrupts: &mut Interrupts,
) -> Result<EndReason, RunError> {
    tokio::select! {
        started = start_all(stage) => started?,
        cut = cut_short(stage, interrupts) => return Ok(cut),
    }
    for fault in stage.plan.faults.clone() {
        let what = format!("fault {}", fault.name);
        stage.spawn(what, fault::carry_out(Rc::clone(stage), fault));
    }
    stage.spawn("the watch over attempts".to_owned(), attempts::watch(Rc::clone(stage)));
    let why = watch_until_over(stage, tap, interrupts).await;
    if why == EndReason::Complete
        && let (Some(broker), Some(Afterwards::Replay { env })) =
            (stage.broker.as_deref(), &stage.plan.afterwards)
    {
        tokio::select! {
            replayed = afterwards::replay(stage, tap, broker, env) => replayed?,
            cut = cut_short(stage, interrupts) => return Ok(cut),
        }
        return Ok(watch_until_over(stage, tap, interrupts).await);
    }
    Ok(why)
}

/// Ends everything at once, and judges nothing: what is in force may be healed by nobody any more.
async fn end_of_a_crash(stage: &Stage) -> EndReason {
    stage.change(|standing| standing.over = true);
    stage.let_all_go().await;
    stop_all(stage, AT_ONCE).await;
    stage.emit(Event::RunEnded { why: EndReason::Crashed });
    EndReason::Crashed
}

/// Tells who has what of a sweep that does not go on.
async fn still_held(stage: &Stage, broker: &dyn Broker) {
    let Ok(Ok(held)) = timeout(READY, broker.held()).await else { return };
    let chunks = held.len() as u64;
    let mut workers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for one in held.into_iter().take(HELD) {
        let chunk = one.chunk_index.map_or_else(|| "?".to_owned(), |at| ChunkId(at).to_string());
        workers.entry(one.worker).or_default().push(chunk);
    }
    stage.emit(Event::StillHeld { workers, chunks });
}

/// Watches until the sweep is over, and gives its processes time to leave.
async fn watch_until_over(stage: &Stage, tap: &mut Tap, interrupts: &mut Interrupts) -> EndReason {
    let broker = stage.broker.as_deref();
    let begun = Instant::now();
    let why = tokio::select! {
        why = the_end(stage) => why,
        cut = cut_short(stage, interrupts) => cut,
        reason = broker_end(stage) => {
            stage.emit(Event::BrokerLost { reason });
            EndReason::BrokerGone
        }
        () = follow(tap, stage, broker) => unreachable!("a tap follows for ever"),
    };
    match why {
        EndReason::Complete => {
            let left = stage.until(|now| now.exits == now.starts);
            // The broker may be complete before its last results were read, and a foreign worker stays for seconds.
            tokio::select! {
                _ = timeout(leave(stage, begun.elapsed()), left) => {}
                cut = cut_short(stage, interrupts) => return cut,
                () = follow(tap, stage, broker) => unreachable!("a tap follows for ever"),
            }
        }
        EndReason::WorkersGone | EndReason::Stalled if stage.plan.loses_with_broker() => {
            tokio::select! {
                _ = timeout(stage.strain.allows(LEAVE), aggregator_left(stage)) => {}
                _ = cut_short(stage, interrupts) => {}
            }
        }
        _ => {}
    }
    why
}

/// How long processes may take to leave. One may still compute what another has settled: twice as long
/// as a chunk takes. An aggregator that was started again reads all from the beginning: half as long as
/// the sweep took. A foreign worker stays for its idle time.
fn leave(stage: &Stage, sweep: Duration) -> Duration {
    // A worker's own word of how long its chunk took is no reason to wait longer than the sweep did.
    let chunk = stage.plan.sweep.chunk_time().max(stage.headway.longest().min(sweep));
    let patience = stage.strain.allows(LEAVE).max(chunk.saturating_mul(2)).max(sweep / 2);
    patience + idle_time(&stage.plan)
}

/// Whoever combines results may find out last that they are gone: it is to say so by itself.
async fn aggregator_left(stage: &Stage) {
    let Some(aggregator) = stage.fleet.get("aggregator") else { return };
    stage.until(|now| now.ended.contains(&aggregator.pid)).await;
}

/// How long a foreign program stays though there is nothing to do: the wire contract tells it no
/// other way when a sweep is complete. Nor does a foreign coordinator tell our workers.
fn idle_time(plan: &Plan) -> Duration {
    let roles = [&plan.coordinator, &plan.aggregator];
    if plan.foreign.is_none() && roles.iter().all(|role| role.foreign().is_none()) {
        return Duration::ZERO;
    }
    let said = plan.env.get("IDLE_TIMEOUT_SECONDS").and_then(|text| text.parse().ok());
    said.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).unwrap_or(IDLE)
}

/// The sweep begins when its first task is submitted, so the workers come first: what they need to
/// start is not the queue's time.
async fn start_all(stage: &Rc<Stage>) -> Result<(), RunError> {
    let start = async |name: &str| match stage.start(name).await {
        Ok(_) => Ok(()),
        Err(error) => Err(not_started(name, error)),
    };
    for number in 0..stage.plan.workers {
        start(&format!("worker-{number}")).await?;
    }
    for worker in stage.fleet.workers() {
        worker.runs().await?;
    }
    if let Some(broker) = stage.broker.as_deref() {
        wait_for_workers(stage, broker).await;
        match stage.plan.coordinator {
            RoleProgram::None => {
                stage.spawn("the submission".to_owned(), submit(Rc::clone(stage)));
            }
            RoleProgram::Ours | RoleProgram::Foreign(_) => start("coordinator").await?,
        }
        if !stage.plan.aggregator.is_none() {
            start("aggregator").await?;
        }
    }
    Ok(())
}

/// Waits until every worker asks for tasks, but not for so long that foreign workers who do would leave
/// for want of any; who was waited for in vain is told.
async fn wait_for_workers(stage: &Stage, broker: &dyn Broker) {
    let idle = idle_time(&stage.plan);
    let patience = if idle.is_zero() { READY } else { READY.min(idle / 2) };
    let _ = timeout(patience, all_ask_for_tasks(stage, broker)).await;
    if let Ok(Some(missing @ 1..)) = timeout(READY, not_asking(stage, broker)).await {
        let workers = counted(stage.plan.workers.into(), "worker");
        let why =
            format!("the sweep begins though {missing} of {workers} did not ask for tasks yet");
        stage.emit(Event::Waits { why: Some(why) });
    }
}

/// Why a process was not started: the host's reason, if it is one.
fn not_started(name: &str, error: std::io::Error) -> RunError {
    match error.downcast::<Unavailable>() {
        Ok(unavailable) => RunError::Unavailable(unavailable),
        // Its log cannot be opened, or there is no process to be had: the machine's.
        Err(error) => Unavailable(format!("cannot start {name}: {error}")).into(),
    }
}

/// Waits until every worker is seen at the broker, or one has ended already. On Redis nothing is
/// seen of a foreign one before it has a task.
async fn all_ask_for_tasks(stage: &Stage, broker: &dyn Broker) {
    let all = stage.plan.workers as usize;
    while stage.fleet.workers().len() == all && matches!(not_asking(stage, broker).await, Some(1..))
    {
        sleep(SOON).await;
    }
}

/// How many workers are not seen at the broker, where it says.
async fn not_asking(stage: &Stage, broker: &dyn Broker) -> Option<usize> {
    let plan = &stage.plan;
    let unseen = match &plan.foreign {
        Some(foreign) if plan.backend == Backend::Redis => foreign.workers as usize,
        _ => 0,
    };
    let there = broker.workers().await.ok()?;
    Some((plan.workers as usize).saturating_sub(there + unseen))
}

async fn follow(tap: &mut Tap, stage: &Stage, broker: Option<&dyn Broker>) {
    match broker {
        Some(broker) => tap.follow(stage, broker).await,
        None => std::future::pending().await,
    }
}

async fn broker_end(stage: &Stage) -> String {
    match &stage.broker_process {
        Some(process) => process.ended().await,
        None => std::future::pending().await,
    }
}

/// Waits until there is nothing more to wait for. Faults that are being carried out come first:
/// they heal before anything is judged. Where no worker is left, one that is still to come may
/// bring one back.
async fn the_end(stage: &Stage) -> EndReason {
    let begun = Instant::now();
    let mut look = interval(LOOK);
    loop {
        tokio::select! {
            () = stage.until(|now| {
                let gone = stage.fleet.workers().is_empty() && !stage.expects_fault(now);
                now.in_flight == 0 && (now.complete || gone)
            }) => return over(stage).await,
            _ = look.tick() => {
                stage.strain.look();
                let stall_after = stage.stall_after();
                if begun.elapsed() >= stage.plan.timeout {
                    if stage.plan.timeout_is_set {
                        return EndReason::TimedOut;
                    }
                    // What nobody has set ends no sweep that gets on, whatever faults are about.
                    if stage.headway.silent_for() >= stall_after {
                        return EndReason::Stalled;
                    }
                }
                let silent = stage.headway.is_silent(stall_after);
                let now = stage.standing();
                if silent && now.in_flight == 0 && !stage.expects_fault(&now) {
                    return EndReason::Stalled;
                }
            }
        }
    }
}

/// Workers that have left may have completed the sweep a moment before the tap knows.
async fn over(stage: &Stage) -> EndReason {
    let complete = match &stage.broker {
        Some(broker) => timeout(STOP, stage.is_complete_now(&**broker))
            .await
            .is_ok_and(|is_complete| is_complete),
        None => {
            all_is_read(stage).await;
            true
        }
    };
    if complete { EndReason::Complete } else { EndReason::WorkersGone }
}

/// Static workers are done when all that they printed is read. Somebody who has outlived one may hold
/// its output open for ever: where nothing more comes of it, what is missing is not known.
async fn all_is_read(stage: &Stage) {
    let outputs = u64::from(stage.plan.workers);
    let read = || stage.until(|now| now.outputs_read >= outputs);
    loop {
        let patience = stage.strain.allows(STOP);
        if timeout(patience, read()).await.is_ok() {
            return;
        }
        if stage.headway.silent_for() >= patience {
            let open = outputs.saturating_sub(stage.standing().outputs_read);
            let reason = format!(
                "{} held open after the worker had ended, so that it cannot be read to its end",
                counted(open, "output")
            );
            return stage.emit(Event::BrokerLost { reason });
        }
    }
}

/// Asks everything that still lives to leave, and then makes it.
async fn stop_all(stage: &Stage, patience: Duration) {
    for signal in [Signal::TERM, Signal::KILL] {
        for process in stage.fleet.living() {
            stage.emit(Event::Stopped { process: process.name.clone(), signal: signal.as_raw() });
            process.signal(signal).await;
            process.signal(Signal::CONT).await;
        }
        if timeout(stage.strain.allows(patience), stage.until_all_left()).await.is_ok() {
            break;
        }
    }
}
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_cannot_be_written_is_the_machines() {
        let cause = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
        let error = not_started("worker-0", cause);
        assert!(matches!(error, RunError::Unavailable(_)), "{error}");
        assert_eq!(error.to_string(), "cannot start worker-0: permission denied");
    }
}
