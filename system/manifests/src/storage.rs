//! Where a broker keeps its data.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimSpec, Volume, VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::pod::scratch;

/// Name of the volume with a broker's data.
pub(super) const DATA: &str = "data";

/// Where a broker keeps its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Storage {
    /// In a volume that outlives its Pod.
    Claim {
        /// Name of a StorageClass; none: the cluster's default.
        class: Option<String>,
    },
    /// In a directory of the node that goes with the Pod: whoever deletes the Pod deletes the sweep.
    EmptyDir,
}

impl Storage {
    /// The claim of this size, if there is one.
    pub(super) fn claim(
        &self,
        size: &str,
        labels: BTreeMap<String, String>,
    ) -> Option<PersistentVolumeClaim> {
        let Self::Claim { class } = self else { return None };
        let requests = BTreeMap::from([("storage".to_owned(), Quantity(size.to_owned()))]);
        Some(PersistentVolumeClaim {
            metadata: ObjectMeta {
                name: Some(DATA.to_owned()),
                labels: Some(labels),
                ..Default::default()
            },
            spec: Some(PersistentVolumeClaimSpec {
                access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
                resources: Some(VolumeResourceRequirements {
                    requests: Some(requests),
                    limits: None,
                }),
                storage_class_name: class.clone(),
                ..Default::default()
            }),
            status: None,
        })
    }

    /// The volume of this size that takes the claim's place, if there is none.
    pub(super) fn volume(&self, size: &str) -> Option<Volume> {
        (*self == Self::EmptyDir).then(|| scratch(DATA, size))
    }
}
