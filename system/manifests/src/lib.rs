//! The sweep as Kubernetes objects, typed: for `ttg manifests`, which prints them, and for whoever
//! starts each process by itself. Valid from Kubernetes 1.27 to 1.36.

mod autoscale;
mod broker;
mod disruption;
mod labels;
mod name;
mod network;
mod pod;
mod process;
mod rabbitmq;
mod redis;
mod static_job;
mod storage;
mod sweep;
mod yaml;

pub use autoscale::{KEDA, Range, horizontal, keda, scaled_workers};
pub use broker::{Broker, BrokerSpec, Engine, broker};
pub use disruption::{broker_budget, lone_workers_budget, scaled_workers_budget};
pub use labels::{Component, Labels, PROJECT};
pub use name::{check_image, check_label, check_subdomain, check_value};
pub use network::Peer;
pub use process::{ProcessSpec, role_job, worker_pod};
pub use rabbitmq::{Credentials, PASSWORD_KEY, USERNAME_KEY};
pub use static_job::static_job;
pub use storage::Storage;
pub use sweep::{BrokerChoice, Scaling, SweepSpec, documents};
pub use ttg_contract::fsync::Fsync;
pub use yaml::{document, stream};
