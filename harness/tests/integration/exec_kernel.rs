//! A program of the user's own as the kernel.

use crate::support::{Said, Sandbox, json, reasons};

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
