//! Brokers and workers in containers.
//!
//! Whatever is made here carries labels that say which run it belongs to and which process owns it,
//! so that it can be found and removed however that process ended (`sweep`). An engine may be shared with
//! other machines: what their harnesses have is left alone.

mod container;
mod engine;
mod exhaust;
mod image;
mod network;
mod rabbitmq;
mod redis;
mod server;
mod sweep;
mod volume;
mod worker;

pub use engine::{Engine, Run};
pub use exhaust::{SUBCOMMAND as EXHAUST_SUBCOMMAND, exhaust_memory, main as exhaust_main};
pub(crate) use image::Images;
pub use network::Network;
pub(crate) use rabbitmq::IMAGES as RABBITMQ_IMAGES;
pub use rabbitmq::start as start_rabbitmq;
pub(crate) use redis::IMAGES as REDIS_IMAGES;
pub use redis::start as start_redis;
pub use server::ServerContainer;
pub use sweep::{Found, Kind, Which, list, sweep};
pub use worker::{Bind, Ended, WorkerContainer, WorkerSpec};
