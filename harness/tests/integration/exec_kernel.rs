//! A program of the user's own as the kernel.

use crate::support::{Said, Sandbox, events, eventually, json, reasons};

/// Ten milliseconds per chunk; the values are the reference kernel's, so that they can be judged.
const KERNEL: &str = "\
import json, sys, time
for line in sys.stdin:
    chunk = json.loads(line)
    if chunk['chunk_id'] in sys.argv[1:]:
        answer = {'error': 'no luck with ' + chunk['chunk_id']}
    else:
        time.sleep(0.01)
        params = range(chunk['start_param'], chunk['end_param'])
        answer = {'values': [float(f'{(7 * k + 13) % 1000}.{k % 100}') for k in params]}
    print(json.dumps(answer), flush=True)
";

/// Runs a sweep of 200 parameters in chunks of 5, whose program has these arguments.
fn run(sandbox: &Sandbox, arguments: &str, faults: &str) -> Said {
    let kernel = sandbox.write("kernel.py", KERNEL);
    let scenario = sandbox.write(
        "mine.yaml",
        &format!(
            "name: mine\n\
             description: A program of my own computes.\n\
             sweep:\n  params: 200\n  chunk_size: 5\n  \
               kernel: {{ exec: {{ command: [python3, {kernel}{arguments}] }} }}\n\
             workers: 2\n\
             faults: {faults}\n\
             system: {{ env: {{ MAX_RETRIES: 1, RETRY_DELAY_MS: 50 }} }}\n\
             expect: {{ coverage: exactly-once }}\n"
        ),
    );
    sandbox.run(&["run", &scenario])
}

#[test]
fn passes_though_its_worker_is_killed() {
    let sandbox = Sandbox::new();
    let said = run(&sandbox, "", "[{ at: 20%, kill: { worker: busy } }]");
    assert_eq!(said.code, Some(0), "{said}");
    let results = json(sandbox.latest("mine").join("results.json"));
    assert_eq!(results["faults"][0]["bit"], true);
    assert_eq!(results["aggregate"]["count"], 200);
    assert_eq!(sandbox.living(), [""; 0]);
}

#[test]
fn ends_in_the_dead_letters_where_it_fails() {
    let sandbox = Sandbox::new();
    let said = run(&sandbox, ", '00007', '00020'", "[]");
    assert_eq!(said.code, Some(1), "{said}");
    let results = json(sandbox.latest("mine").join("results.json"));
    let dead = &results["coverage"]["dead_lettered"];
    assert_eq!(dead["ranges"].to_string(), "[[35,40],[100,105]]", "{said}");
    let reasons = reasons(&sandbox.latest("mine"));
    let first = "coverage: of 200 parameters: 10 in the dead letters\n";
    assert!(reasons.starts_with(first), "{reasons}");
    assert!(said.stdout.contains("chunks 00007, 00020 are in the dead letters"), "{said}");
    assert!(results.to_string().contains("no luck with 00007"), "{said}");
}

#[test]
fn that_is_not_there_is_69_and_named() {
    let sandbox = Sandbox::new();
    let scenario = sandbox.write(
        "absent.yaml",
        "name: absent\n\
         description: Its program is not there.\n\
         sweep: { params: 4, chunk_size: 2, kernel: { exec: { command: [./no-such-kernel] } } }\n\
         workers: 1\n\
         system: { env: { MAX_RETRIES: 0 } }\n",
    );
    let said = sandbox.run(&["run", &scenario]);
    assert_eq!(said.code, Some(69), "{said}");
    assert!(said.stderr.contains("no-such-kernel: no such file"), "{said}");
}

/// What it answers the second time that it is asked for chunk 00007 is another thing.
const FICKLE: &str = "\
import json, os, sys
seen = os.path.join(os.path.dirname(sys.argv[0]), 'seen')
for line in sys.stdin:
    chunk = json.loads(line)
    params = range(chunk['start_param'], chunk['end_param'])
    answer = {'values': [k * 0.5 for k in params]}
    if chunk['chunk_id'] == '00007':
        if not os.path.exists(seen):
            open(seen, 'w').close()
        elif sys.argv[1] == 'fails':
            answer = {'error': 'out of licences'}
        else:
            answer['values'][2] += 1e-6
    print(json.dumps(answer), flush=True)
";

/// A sweep of 100 chunks with that program.
fn fickle(sandbox: &Sandbox, how: &str, expect: &str) -> Said {
    let kernel = sandbox.write("fickle.py", FICKLE);
    let scenario = sandbox.write(
        "mine.yaml",
        &format!(
            "name: mine\n\
             description: A program of my own computes.\n\
             sweep:\n  params: 500\n  chunk_size: 5\n  \
               kernel: {{ exec: {{ command: [python3, {kernel}, {how}] }} }}\n\
             workers: 2\n\
             expect: {{ coverage: exactly-once{expect} }}\n"
        ),
    );
    sandbox.run(&["run", &scenario])
}

#[test]
fn one_spoilt_chunk_of_a_hundred_is_found() {
    let sandbox = Sandbox::new();
    let said = fickle(&sandbox, "differs", ", recompute: all");
    assert_eq!(said.code, Some(1), "{said}");
    let reasons = reasons(&sandbox.latest("mine"));
    assert!(reasons.starts_with("coverage: of 500 parameters: 5 with a wrong value"), "{reasons}");
    assert!(said.stdout.contains("chunk 00007, computed again, was reported with sum"), "{said}");
}

#[test]
fn that_fails_when_a_chunk_is_computed_again_is_told() {
    let sandbox = Sandbox::new();
    let said = fickle(&sandbox, "fails", ", recompute: all");
    assert_eq!(said.code, Some(2), "{said}");
    let reasons = reasons(&sandbox.latest("mine"));
    assert_eq!(reasons, "values: 99 of 100 chunks computed again, and at least 100 expected");
    let line =
        "chunk 00007 was reported, and cannot be computed again: the kernel reported: out of";
    let results = json(sandbox.latest("mine").join("results.json"));
    assert!(results["findings"].to_string().contains(line), "{said}");
}

#[test]
fn the_share_that_is_computed_again_can_be_chosen() {
    let sandbox = Sandbox::new();
    let said = fickle(&sandbox, "differs", ", recompute: 1%");
    assert!(matches!(said.code, Some(0 | 1)), "{said}");
    // By chance, it may be the one.
    let is_told = said.stdout.contains("1 of 100 chunks computed again (1.0 %)");
    assert!(said.code == Some(1) || is_told, "{said}");
}

#[test]
fn an_interrupt_ends_what_is_computed_again() {
    let sandbox = Sandbox::new();
    let kernel = sandbox.write(
        "slow.py",
        "import json, os, sys, time\n\
         seen = os.path.join(os.path.dirname(sys.argv[0]), 'seen')\n\
         for line in sys.stdin:\n    \
           time.sleep(600 if os.path.exists(seen) else 0)\n    \
           open(seen, 'w').close()\n    \
           print(json.dumps({'values': [1.0]}), flush=True)\n",
    );
    let scenario = sandbox.write(
        "slow.yaml",
        &format!(
            "name: slow\ndescription: Its second answer takes for ever.\n\
             sweep: {{ params: 1, chunk_size: 1, kernel: {{ exec: {{ command: [python3, {kernel}] }} }} }}\n\
             workers: 1\nexpect: {{ recompute: all }}\n"
        ),
    );
    let mut harness = sandbox.start(&["run", &scenario]);
    let pid = rustix::process::Pid::from_raw(harness.id().try_into().unwrap()).unwrap();
    let is_there = |process: &str| process.contains("slow.py") && !process.contains("guard");
    eventually(|| {
        let living = sandbox.living();
        let over = events(&sandbox.latest("slow"));
        let over = over.iter().any(|it| it["process"] == "aggregator" && it["code"] == 0);
        let waits = over && living.iter().any(|it| is_there(it));
        if waits { Ok(()) } else { Err(format!("it does not compute again: {living:?}")) }
    });
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(harness.wait().unwrap().code(), Some(2));
    sandbox.assert_that_nothing_lives();
    let last = events(&sandbox.latest("slow")).pop().unwrap();
    assert_eq!((&last["event"], &last["why"]), (&"run-ended".into(), &"interrupted".into()));
}
