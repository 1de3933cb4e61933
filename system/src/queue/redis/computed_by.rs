//! The set of the kernels. Once a worker's kernel is in it, each commit asks whether it still is, in the step that
//! stores the results, and each reading of tasks looks: that it may be another sweep by now costs no question.

use std::cell::{Cell, RefCell};

use ::redis::{RedisResult, Value, from_redis_value};
use async_trait::async_trait;

use super::Redis;
use super::keys::KERNELS;
use crate::kernel::Identity;
use crate::queue::computed_by::{Judged, MOST, answer, judge};
use crate::queue::{ComputedBy, KernelCheck, Result};

/// What was written down for this worker.
#[derive(Default)]
pub(super) struct Recorded {
    /// Its kernel, and how it was asked for; each commit looks for it.
    kernel: RefCell<Option<(Identity, KernelCheck)>>,
    /// Whether that was answered, and it was written down.
    is_known: Cell<bool>,
    /// Whether the tasks that were read last came with it.
    is_there: Cell<bool>,
}

impl Recorded {
    /// The kernel as it is written down; empty where none is.
    pub(super) fn text(&self) -> String {
        let kernel = self.kernel.borrow();
        kernel.as_ref().map(|(own, _)| own.as_str().to_owned()).unwrap_or_default()
    }

    /// Looks at what was written down when tasks were read. What cannot be read is asked for later, with the
    /// tasks in hand, which must not be lost for it.
    pub(super) fn look(&self, there: Value) {
        let there: RedisResult<Vec<String>> =
            there.extract_error().and_then(|there| Ok(from_redis_value(there)?));
        let (there, kernel) = (there.unwrap_or_default(), self.kernel.borrow());
        let is_there =
            |(own, _): &(Identity, KernelCheck)| there.iter().any(|it| it == own.as_str());
        self.is_there.set(kernel.as_ref().is_some_and(is_there));
    }

    /// Tasks came without it.
    pub(super) fn lose_sight(&self) {
        self.is_there.set(false);
    }

    /// Whether nothing need be asked.
    fn answers(&self, own: &Identity, check: KernelCheck) -> bool {
        let kernel = self.kernel.borrow();
        let is_known = kernel.as_ref().is_some_and(|(kernel, _)| kernel == own);
        // Where it is to be stored, the commit looks.
        is_known && self.is_known.get() && (check != KernelCheck::Look || self.is_there.get())
    }
}

impl Redis {
    /// Asks once more what was asked when the kernel was written down, which it is not any more.
    pub(super) async fn record_again(&self) -> Result<()> {
        let recorded = self.recorded.kernel.borrow().clone();
        let Some((own, check)) = recorded else { return Ok(()) };
        self.ask_for_kernel(&own, check).await
    }

    async fn ask_for_kernel(&self, own: &Identity, check: KernelCheck) -> Result<()> {
        let room = match check {
            KernelCheck::Look => 0,
            KernelCheck::Record => 1,
            KernelCheck::Same => MOST,
        };
        let is_to_stay = check != KernelCheck::Look;
        if is_to_stay {
            // Also where the asking is given up, nothing is stored from now on without a look.
            self.recorded.kernel.replace(Some((own.clone(), check)));
            self.recorded.is_known.set(false);
        }
        let script = script!("kernel");
        let mut script = script.key(KERNELS);
        script.arg(own.as_str()).arg(room);
        let there: Vec<String> = self.run(&mut script).await?;
        let judged = judge(&there, own, check);
        match judged {
            Judged::Known | Judged::New if is_to_stay => self.recorded.is_known.set(true),
            // There is nothing to look for.
            Judged::Accepted if is_to_stay => drop(self.recorded.kernel.take()),
            _ => {}
        }
        answer(&judged, &there, own, &self.settings.address)
    }
}

#[async_trait(?Send)]
impl ComputedBy for Redis {
    async fn compute_with(&self, own: &Identity, check: KernelCheck) -> Result<()> {
        if self.recorded.answers(own, check) {
            return Ok(());
        }
        self.ask_for_kernel(own, check).await
    }
}
