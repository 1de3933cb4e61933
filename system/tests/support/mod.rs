//! What the tests share: brokers of every kind, each started for one test and ended with it.
#![allow(dead_code, reason = "each test file uses its part")]

pub(crate) mod bench;
pub(crate) mod cable;
pub(crate) mod certificates;
pub(crate) mod detour;
pub(crate) mod graveyard;
pub(crate) mod kernels;
pub(crate) mod model;
pub(crate) mod process;
pub(crate) mod rabbitmq_server;
pub(crate) mod redis_server;
