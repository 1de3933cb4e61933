//! A worker that was frozen, lost its lease and woke up changes nothing that is not its own.

use std::rc::Rc;
use std::time::Duration;

use rstest::rstest;
use ttg_system::chunk::Sweep;
use ttg_system::queue::{Broker, Commit, Delivery, Failure};

use crate::support::bench::Backend::{self, Embedded, Model, Redis};
use crate::support::bench::{Bench, assert_nothing_to_claim, claim_one, commit};

const A_MINUTE: Duration = Duration::from_secs(60);

struct Scene {
    bench: Bench,
    sweep: Sweep,
    zombie: Rc<dyn Broker>,
    lost: Delivery,
    owner: Rc<dyn Broker>,
    taken: Delivery,
}

/// A chunk's lease ran out in silence, and another worker took it over.
async fn scene(backend: Backend) -> Scene {
    let lease = Duration::from_millis(40);
    let (mut bench, sweep) = Bench::start(backend).with_lease(lease).with_sweep(1).await;
    let zombie = bench.worker("worker-1").await;
    let lost = claim_one(&*zombie).await;
    // Redis goes by the lease of who takes over, the others by that of who held.
    if backend != Redis {
        bench.settings.lease = A_MINUTE;
    }
    let owner = bench.worker("worker-2").await;
    let taken = claim_one(&*owner).await;
    assert_eq!(taken.task, lost.task);
    assert_eq!((lost.token.number, taken.token.number), (1, 2));
    assert_eq!(owner.redelivered().await.expect("reads").deliveries, 1);
    bench.settings.lease = A_MINUTE;
    Scene { bench, sweep, zombie, lost, owner, taken }
}

impl Scene {
    async fn assert_the_owner_still_has_it(&self) {
        let held = self.owner.held().await.expect("reads");
        assert_eq!(held.len(), 1, "{held:?}");
        assert_eq!((held[0].worker.as_str(), &held[0].token), ("worker-2", &self.taken.token));
        let third = self.bench.worker("worker-3").await;
        assert_nothing_to_claim(&*third).await;
    }
}

#[rstest]
#[tokio::test]
async fn its_commit_after_the_owners_changes_nothing(
    #[values(Embedded, Redis, Model)] backend: Backend,
) {
    let s = scene(backend).await;
    assert_eq!(commit(&*s.owner, &s.taken, "worker-2").await, Commit::Committed);
    assert_eq!(commit(&*s.zombie, &s.lost, "worker-1").await, Commit::AlreadySettled);
    s.bench.assert_exact(&s.sweep).await;
    assert!(s.bench.report().await.workers.contains_key("worker-2"));
}

#[rstest]
#[tokio::test]
async fn its_commit_before_the_owners_counts_and_the_owners_acknowledges(
    #[values(Embedded, Redis, Model)] backend: Backend,
) {
    let s = scene(backend).await;
    assert_eq!(commit(&*s.zombie, &s.lost, "worker-1").await, Commit::Committed);
    let held = s.owner.held().await.expect("reads");
    assert_eq!(held.len(), 1, "a zombie acknowledges for nobody else");
    assert_eq!(commit(&*s.owner, &s.taken, "worker-2").await, Commit::AlreadySettled);
    assert_eq!(s.owner.held().await.expect("reads"), []);
    s.bench.assert_exact(&s.sweep).await;
    assert!(s.bench.report().await.workers.contains_key("worker-1"));
}

#[rstest]
#[tokio::test]
async fn its_renewal_steals_nothing_back_and_reports_the_loss(
    #[values(Embedded, Redis, Model)] backend: Backend,
) {
    let s = scene(backend).await;
    let lost = s.zombie.renew(std::slice::from_ref(&s.lost.token)).await.expect("renews");
    assert_eq!(lost, std::slice::from_ref(&s.lost.token));
    s.assert_the_owner_still_has_it().await;
}

#[rstest]
#[tokio::test]
async fn its_failure_changes_nothing(#[values(Embedded, Redis, Model)] backend: Backend) {
    let s = scene(backend).await;
    for retry_count in [0, 100] {
        let mut lost = s.lost.clone();
        lost.task.retry_count = retry_count;
        assert_eq!(s.zombie.fail(&lost, "woke up").await.expect("fails"), Failure::NotHeld);
    }
    s.assert_the_owner_still_has_it().await;
    assert_eq!(commit(&*s.owner, &s.taken, "worker-2").await, Commit::Committed);
    s.bench.assert_exact(&s.sweep).await;
}

#[rstest]
#[tokio::test]
async fn its_release_and_its_leaving_change_nothing(
    #[values(Embedded, Redis, Model)] backend: Backend,
) {
    let s = scene(backend).await;
    s.zombie.release(std::slice::from_ref(&s.lost.token)).await.expect("releases");
    s.assert_the_owner_still_has_it().await;
    s.zombie.leave().await.expect("leaves");
    s.assert_the_owner_still_has_it().await;
}

#[rstest]
#[tokio::test]
async fn a_failure_of_the_owner_after_the_zombies_commit_is_not_retried(
    #[values(Embedded, Redis, Model)] backend: Backend,
) {
    let s = scene(backend).await;
    commit(&*s.zombie, &s.lost, "worker-1").await;
    assert_eq!(s.owner.fail(&s.taken, "broken").await.expect("fails"), Failure::NotHeld);
    assert_eq!(s.owner.held().await.expect("reads"), []);
    assert_nothing_to_claim(&*s.owner).await;
    s.bench.assert_exact(&s.sweep).await;
}

#[rstest]
#[tokio::test]
async fn a_number_of_a_delivery_is_never_given_twice(
    #[values(Embedded, Redis, Model)] backend: Backend,
) {
    let (bench, _) = Bench::start(backend).with_sweep(1).await;
    let worker = bench.worker("worker-1").await;
    let before = claim_one(&*worker).await;
    worker.release(std::slice::from_ref(&before.token)).await.expect("releases");
    let now = claim_one(&*worker).await;
    assert_ne!(before.token, now.token);
    let both = [before.token.clone(), now.token.clone()];
    assert_eq!(worker.renew(&both).await.expect("renews"), std::slice::from_ref(&before.token));
    worker.release(std::slice::from_ref(&before.token)).await.expect("releases");
    assert_eq!(worker.held().await.expect("reads").len(), 1);
}
