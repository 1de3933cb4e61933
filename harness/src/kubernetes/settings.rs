//! What of a broker the cluster decides, where the scenario does not.

use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{Api, ListParams};
use ttg_manifests::Storage;

use super::cluster::Cluster;
use super::nodes;
use crate::docker::{self, Images};
use crate::plan::{Backend, BrokerStorage};

/// How a cluster says which of its StorageClasses is meant where none is named.
const DEFAULT: &str = "storageclass.kubernetes.io/is-default-class";

/// Where a broker's data goes: as the scenario says; else on a volume, unless the cluster is known to
/// have no StorageClass that would make one.
pub(super) async fn storage(cluster: &Cluster, wanted: Option<&BrokerStorage>) -> Storage {
    match wanted {
        Some(BrokerStorage::Volume(class)) => Storage::Claim { class: class.clone() },
        Some(BrokerStorage::Ephemeral) => Storage::EmptyDir,
        None if has_default_class(cluster).await == Some(false) => Storage::EmptyDir,
        None => Storage::Claim { class: None },
    }
}

/// Nothing, where that may not be seen.
async fn has_default_class(cluster: &Cluster) -> Option<bool> {
    let api: Api<StorageClass> = Api::all(cluster.client());
    let parameters = ListParams::default();
    let listed = cluster.call("list storageclasses", async || api.list(&parameters).await).await;
    let is_default = |class: &StorageClass| {
        let annotations = class.metadata.annotations.as_ref();
        annotations.and_then(|it| it.get(DEFAULT)).is_some_and(|it| it == "true")
    };
    listed.ok().map(|classes| classes.items.iter().any(is_default))
}

impl Cluster {
    /// The image of a broker; in static mode, which has none, one that has a shell.
    pub(crate) async fn broker_image(&self, backend: Backend, wanted: Option<&str>) -> String {
        let images = match backend {
            Backend::RabbitMq => &docker::RABBITMQ_IMAGES,
            _ => &docker::REDIS_IMAGES,
        };
        image(self, images, wanted).await
    }
}

/// The image of a broker: what the caller says, what the environment says, the official one; ours, where
/// the nodes have that and not the official one.
async fn image(cluster: &Cluster, images: &Images, wanted: Option<&str>) -> String {
    if let Some(wanted) = wanted {
        return wanted.to_owned();
    }
    if let Ok(wanted) = std::env::var(images.variable) {
        return wanted;
    }
    let there = nodes::images(cluster).await;
    let has = |image: &str| there.iter().any(|it| is_called(it, image));
    let image =
        if has(images.ours) && !has(images.official) { images.ours } else { images.official };
    image.to_owned()
}

/// Whether a node's full name of an image, `docker.io/library/redis:7.2-alpine`, is this one's.
fn is_called(full: &str, image: &str) -> bool {
    full == image || full.strip_suffix(image).is_some_and(|before| before.ends_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_calls_an_image_by_its_full_name() {
        assert!(is_called("docker.io/library/redis:7.2-alpine", "redis:7.2-alpine"));
        assert!(is_called("ttg-redis:debian", "ttg-redis:debian"));
        assert!(!is_called("docker.io/library/ttg-redis:7.2-alpine", "redis:7.2-alpine"));
    }
}
