//! Static mode: an indexed Job, each index of which computes its own share of the range.

use k8s_openapi::api::batch::v1::{Job, JobSpec};

use super::process::{ProcessSpec, role_job};

/// `workers` Pods of an indexed Job; each finds its number in `JOB_COMPLETION_INDEX`. A share whose
/// worker failed is computed again from its start, `retries` times over all.
pub fn static_job(process: &ProcessSpec, workers: i32, retries: i32) -> Job {
    let job = role_job(process, retries);
    let spec = job.spec.map(|spec| JobSpec {
        completion_mode: Some("Indexed".to_owned()),
        completions: Some(workers),
        parallelism: Some(workers),
        ..spec
    });
    Job { spec, ..job }
}
