//! The set of the kernels.

use async_trait::async_trait;

use super::Redis;
use super::keys::KERNELS;
use crate::kernel::Identity;
use crate::queue::computed_by::{MOST, answer, judge};
use crate::queue::{ComputedBy, KernelCheck, Result};

#[async_trait(?Send)]
impl ComputedBy for Redis {
    async fn compute_with(&self, own: &Identity, check: KernelCheck) -> Result<()> {
        let room = match check {
            KernelCheck::Look => 0,
            KernelCheck::Record => 1,
            KernelCheck::Same => MOST,
        };
        let script = script!("kernel");
        let mut script = script.key(KERNELS);
        script.arg(own.as_str()).arg(room);
        let there: Vec<String> = self.run(&mut script).await?;
        answer(&judge(&there, own, check), &there, own, &self.settings.address)
    }
}
