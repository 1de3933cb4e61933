//! The harness as its users have it: the real binary, real processes, real brokers.

mod callers_environment;
mod check;
mod cluster;
mod cluster_objects;
mod cluster_trouble;
mod compare;
mod containers;
mod correct_runs;
mod docker;
mod exec_kernel;
mod exit_codes;
mod external;
mod first_evening;
mod hand;
mod kind;
mod leaves_nothing_behind;
mod model;
mod output;
#[path = "../../../system/tests/manifests/restricted.rs"]
mod restricted;
mod scenarios;
mod selftest;
mod soak;
mod stragglers;
mod strikes;
mod support;
mod twice_at_once;
mod why;
