//! The sweep as Kubernetes objects, typed: for `ttg manifests`, which prints them, and for whoever
//! starts each process by itself. Valid from Kubernetes 1.27 to 1.36.

mod broker;
mod labels;
mod network;
mod pod;
mod process;
mod rabbitmq;
mod redis;
mod static_job;
mod storage;

pub use broker::{Broker, BrokerSpec, Engine, broker};
pub use labels::{Component, Labels, PROJECT};
pub use network::Peer;
pub use process::{ProcessSpec, role_job, worker_pod};
pub use rabbitmq::{Credentials, PASSWORD_KEY, USERNAME_KEY};
pub use redis::Fsync;
pub use static_job::static_job;
pub use storage::Storage;
