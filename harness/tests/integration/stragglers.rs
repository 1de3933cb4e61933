//! Results that come when the sweep is complete, while those who stored them are still there.

use serde_json::Value;

use crate::support::{Sandbox, events, scenarios};

/// A foreign worker that stores its last result once more when it has nothing left to do, and then stays for a while.
const STRAGGLER: &str = "\
import os, sys, time
sys.path.insert(0, os.environ['FOREIGN'])
import redis_queue, worker

def run(one, until_idle=redis_queue.run):
    compute, results = one.compute, []
    def kept(task):
        results.append(compute(task))
        return results[-1]
    one.compute = kept
    until_idle(one)
    queue = redis_queue.Queue(one)
    queue.call(queue.redis.xadd, redis_queue.RESULTS, results[-1])
    time.sleep(2)

redis_queue.run = run
sys.exit(worker.main())
";

/// Whether this is said of the foreign worker, of which there is one.
fn is_of_straggler(event: &Value, what: &str, named: &str) -> bool {
    event["event"] == what && event[named] == "worker-0"
}

#[test]
fn results_are_seen_when_they_come_and_not_when_the_last_process_has_left() {
    let sandbox = Sandbox::new();
    let script = sandbox.write("straggler.py", STRAGGLER);
    let file = sandbox.write(
        "straggler.yaml",
        &format!(
            "name: straggler\n\
             description: A foreign worker stores a result again when the sweep is complete.\n\
             sweep: {{ params: 40, chunk_size: 10, kernel: {{ reference: {{ work_ms: 10 }} }} }}\n\
             backend: redis\n\
             workers: 2\n\
             system:\n  command: [/usr/bin/python3, {script}]\n  workers: 1\n  \
               env: {{ IDLE_TIMEOUT_SECONDS: 1, FOREIGN: {} }}\n\
             expect: {{ coverage: exactly-once }}\n",
            scenarios().join("../fixtures/foreign").display()
        ),
    );
    let said = sandbox.run(&["run", &file]);
    let events = events(&sandbox.latest("straggler"));
    let last = events.iter().rposition(|event| is_of_straggler(event, "result", "worker"));
    let left = events.iter().position(|event| is_of_straggler(event, "process-exited", "process"));
    let all = events.iter().filter(|event| event["event"] == "result").count();
    assert_eq!(all, 5, "one of four chunks is stored twice: {said}");
    assert!(last.expect("a result") < left.expect("it left"), "{events:#?}");
}
