//! Brokers and workers as Pods of a cluster, through the API of Kubernetes.
//!
//! Whatever is made here carries labels that say which run it belongs to and which process of which
//! machine owns it, so that it can be found and removed however that process ended (`sweep`). Nothing
//! without them is listed, changed or deleted.

mod broker;
mod cluster;
mod events;
mod fleet;
mod forward;
mod hand;
mod kubeconfig;
mod label;
mod logs;
mod nodes;
mod patience;
mod pod;
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
pub use label::Maker;
pub use pod::PodProcess;
pub(crate) use pod::PodEnd;
pub use run::Run;
pub use sweep::{Found, Where, Which, list, sweep};
