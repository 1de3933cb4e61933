//! Where a server in a container keeps its data.

use std::collections::HashMap;

use testcontainers::bollard::models::VolumeCreateRequest;

use super::engine::{Run, failed};
use crate::environment::Unavailable;

/// Makes a volume of the run and returns its name. With a size in bytes it is a file system of its
/// own, in memory, that can be full.
pub(super) async fn create(run: &Run, of: &str, size: Option<u64>) -> Result<String, Unavailable> {
    let name = run.name(of);
    let options = size.map(|bytes| {
        HashMap::from([
            ("type".to_owned(), "tmpfs".to_owned()),
            ("device".to_owned(), "tmpfs".to_owned()),
            // For whichever user the server is.
            ("o".to_owned(), format!("size={bytes},mode=1777")),
        ])
    });
    let request = VolumeCreateRequest {
        name: Some(name.clone()),
        driver: Some("local".to_owned()),
        driver_opts: options,
        labels: Some(run.labels()),
        ..Default::default()
    };
    run.engine().docker().create_volume(request).await.map_err(failed("create a volume"))?;
    Ok(name)
}
