//! Figures that were published of the earlier system, in Python. They were not measured here.

/// What was published of one scenario.
pub(super) struct Published {
    pub(super) scenario: &'static str,
    pub(super) runtime: &'static str,
    pub(super) throughput: &'static str,
}

const ALL: [Published; 6] = [
    Published { scenario: "m3-redis", runtime: "36 s", throughput: "27" },
    Published { scenario: "m3-rabbitmq", runtime: "39 s", throughput: "25" },
    Published { scenario: "m3-redis-fault", runtime: "48 s", throughput: "20" },
    Published { scenario: "m3-rabbitmq-fault", runtime: "49 s", throughput: "20" },
    Published { scenario: "m3-redis-medium", runtime: "41 s", throughput: "243" },
    Published { scenario: "m3-rabbitmq-medium", runtime: "38-39 s", throughput: "256-263" },
];

/// Of this scenario, if anything was.
pub(super) fn of(scenario: &str) -> Option<&'static Published> {
    ALL.iter().find(|published| published.scenario == scenario)
}
