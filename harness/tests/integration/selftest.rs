//! Every planted defect is caught; a defect that is not caught would say so.

use std::collections::BTreeSet;

use crate::support::{Sandbox, scenarios};

macro_rules! each_is_caught {
    ($backend:ident: $($defect:ident,)*) => {
        mod $backend {
            $(#[test]
            fn $defect() {
                let defect = stringify!($defect).replace('_', "-");
                super::is_caught(&defect, stringify!($backend));
            })*

            /// Names of the defects that have a test here.
            pub(super) const TESTED: &[&str] = &[$(stringify!($defect)),*];
        }
    };
}

each_is_caught! { embedded:
    acknowledges_early,
    aggregator_stops_at_silence,
    counts_redelivered_twice,
    drops_remainder,
    half_chunk_on_sigterm,
    loses_replayed,
    never_takes_over,
    resubmits,
    zombie_overwrites,
}

each_is_caught! { redis:
    acknowledges_early,
    aggregator_stops_at_silence,
    counts_redelivered_twice,
    drops_remainder,
    half_chunk_on_sigterm,
    loses_replayed,
    never_takes_over,
    resubmits,
    zombie_overwrites,
}

each_is_caught! { rabbitmq:
    aggregator_stops_at_silence,
    drops_remainder,
    half_chunk_on_sigterm,
    loses_replayed,
}

fn is_caught(defect: &str, backend: &str) {
    let sandbox = Sandbox::new();
    let directory = scenarios().display().to_string();
    let said = sandbox.run(&["selftest", defect, "--backend", backend, "--scenarios", &directory]);
    assert_eq!(said.code, Some(0), "{said}");
    assert!(said.stdout.starts_with(&format!("caught  {defect} ")), "{said}");
    sandbox.assert_that_nothing_lives();
}

#[test]
fn every_defect_has_a_test_on_every_backend() {
    let backends =
        [("embedded", embedded::TESTED), ("redis", redis::TESTED), ("rabbitmq", rabbitmq::TESTED)];
    for (backend, tested) in backends {
        let said = Sandbox::new().run(&["selftest", "--list", "--backend", backend]);
        let listed: BTreeSet<&str> =
            said.stdout.lines().filter_map(|line| line.split_whitespace().next()).collect();
        let tested: Vec<String> = tested.iter().map(|test| test.replace('_', "-")).collect();
        assert_eq!(listed, tested.iter().map(String::as_str).collect());
    }
}

#[test]
fn a_defect_that_does_not_show_is_called_missed() {
    let sandbox = Sandbox::new();
    // 1,000 is a multiple of 10: the defect that drops the remainder has none to drop.
    let scenario = std::fs::read_to_string(scenarios().join("quickstart.yaml")).unwrap();
    assert!(scenario.contains("params: 1003"));
    sandbox.write("quickstart.yaml", &scenario.replace("params: 1003", "params: 1000"));
    let said = sandbox.run(&["selftest", "drops-remainder", "--scenarios", "."]);
    assert_eq!(said.code, Some(1), "{said}");
    assert!(said.stdout.starts_with("MISSED  drops-remainder "), "{said}");
    assert!(said.stdout.contains("the verdict is pass, not fail"), "{said}");
}
