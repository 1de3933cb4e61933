//! Brokers and workers as Pods of a cluster, through the API of Kubernetes.
//!
//! Whatever is made here carries labels that say which run it belongs to and which process of which
//! machine owns it, so that it can be found and removed however that process ended (`sweep`). Nothing
//! without them is listed, changed or deleted.

pub mod access;
mod broker;
mod cluster;
mod events;
mod fleet;
mod forward;
mod hand;
mod image;
mod kubeconfig;
mod logs;
mod nodes;
mod patience;
mod pod;
mod policy;
mod run;
mod settings;
mod standing;
mod sweep;
mod trouble;
mod watch;

pub use broker::BrokerPod;
pub(crate) use broker::BrokerWanted;
pub use cluster::Cluster;
pub use fleet::PodFleet;
pub(crate) use fleet::{Setup, Wanted};
pub(crate) use nodes::ready as nodes_ready;
pub(crate) use pod::PodEnd;
pub use pod::PodProcess;
pub use run::Run;
pub use sweep::{Found, Where, Which, list, sweep};
