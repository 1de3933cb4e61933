//! The table of the kernels.

use async_trait::async_trait;
use rusqlite::Connection;

use super::Embedded;
use crate::kernel::Identity;
use crate::queue::computed_by::{Judged, answer, judge};
use crate::queue::{ComputedBy, KernelCheck, Result};

#[async_trait(?Send)]
impl ComputedBy for Embedded {
    async fn compute_with(&self, own: &Identity, check: KernelCheck) -> Result<()> {
        // A look first: workers that start together must not queue up for the write lock.
        let mut there = self.with(|connection| kernels(connection)).await?;
        let mut judged = judge(&there, own, check);
        if judged == Judged::New {
            let own = own.clone();
            (there, judged) = self
                .transact(move |t| {
                    let there = kernels(t)?;
                    let judged = judge(&there, &own, check);
                    if judged == Judged::New {
                        t.execute("INSERT INTO kernels (kernel) VALUES (?)", [own.as_str()])?;
                    }
                    Ok((there, judged))
                })
                .await?;
        }
        answer(&judged, &there, own, &self.settings.address)
    }
}

fn kernels(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare_cached("SELECT kernel FROM kernels")?;
    statement.query_map([], |row| row.get(0))?.collect()
}
