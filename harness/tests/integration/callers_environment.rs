//! What the harness is called with is none of the system's business.

use ttg_contract::variables::VARIABLES;

use crate::support::{Sandbox, finish};

/// It writes down what it was told, and computes.
const KERNEL: &str = "\
import json, os, sys
with open(os.path.join(os.path.dirname(sys.argv[0]), f'told-{os.getpid()}'), 'w') as told:
    json.dump(dict(os.environ), told)
for line in sys.stdin:
    chunk = json.loads(line)
    values = [float(k) for k in range(chunk['start_param'], chunk['end_param'])]
    print(json.dumps({'values': values}), flush=True)
";

/// No worker would start with this.
const CALLERS: &str = "the caller's own";

#[test]
fn no_variable_of_the_system_reaches_it() {
    let sandbox = Sandbox::new();
    let kernel = sandbox.write("kernel.py", KERNEL);
    let scenario = sandbox.write(
        "mine.yaml",
        &format!(
            "name: mine\ndescription: Its program tells what it is told.\n\
             sweep: {{ params: 40, chunk_size: 5, kernel: {{ exec: {{ command: [python3, {kernel}] }} }} }}\n\
             workers: 2\n"
        ),
    );
    let mut harness = sandbox.harness(&["run", &scenario]);
    let unlisted = ["SIMULATE_SOMETHING", "REDIS_SOMETHING", "RABBITMQ_SOMETHING"];
    for name in VARIABLES.iter().map(|variable| variable.name).chain(unlisted) {
        harness.env(name, CALLERS);
    }
    let said =
        finish(harness.env("SIMULATE_SLOW_SHARE", "1").env("WORKER_NAME", "x").env("MINE", "kept"));
    assert_eq!(said.code, Some(0), "{said}");
    let told: Vec<_> = sandbox.entries().into_iter().filter(|it| it.starts_with("told-")).collect();
    assert!(told.len() > 2, "two workers, and whoever computes again: {told:?}");
    for file in told {
        let told = crate::support::json(sandbox.path().join(file));
        let told = told.as_object().unwrap();
        assert_eq!(told["MINE"], "kept");
        for (name, value) in told {
            let strange =
                value == CALLERS || ["SIMULATE_SLOW_SHARE", "WORKER_NAME"].contains(&&**name);
            assert!(!strange, "{name} is {value}");
        }
    }
}
