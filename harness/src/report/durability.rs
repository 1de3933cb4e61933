//! What a broker's settings permit to be lost where a fault ends its server.

use crate::plan::{Backend, FaultKind, Fsync, Plan};

/// In words, where the server is struck so that it matters.
pub(super) fn permits(plan: &Plan) -> Option<String> {
    let ends = |kind| matches!(kind, FaultKind::Kill | FaultKind::DiskFull);
    let struck =
        plan.has_fault(|fault| ends(fault.kind) && fault.target == crate::plan::Target::Broker);
    if !struck {
        return None;
    }
    Some(match (plan.backend, plan.fsync()) {
        (Backend::RabbitMq, _) => {
            "persistent messages, confirmed: nothing confirmed may be lost".to_owned()
        }
        (_, Fsync::Always) => "appendfsync always: nothing confirmed may be lost".to_owned(),
        (_, Fsync::EverySec) => "appendfsync everysec: what was confirmed in the last two seconds \
                                 may be lost with the server, more with the machine"
            .to_owned(),
        (_, Fsync::No) => "appendfsync no: what was confirmed and the operating system has not \
                           written may be lost with the machine"
            .to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::plan_with_kill;
    use crate::plan::Target;

    fn with(target: Target, fsync: Option<Fsync>) -> Option<String> {
        let mut plan = plan_with_kill();
        plan.faults[0].target = target;
        plan.broker.fsync = fsync;
        permits(&plan)
    }

    #[test]
    fn a_weaker_setting_says_what_it_permits() {
        let said = with(Target::Broker, Some(Fsync::EverySec)).unwrap();
        assert!(said.contains("last two seconds may be lost"), "{said}");
    }

    #[test]
    fn a_struck_broker_is_durable_unless_the_scenario_says_otherwise() {
        let said = with(Target::Broker, None).unwrap();
        assert_eq!(said, "appendfsync always: nothing confirmed may be lost");
    }

    #[test]
    fn where_no_fault_ends_the_server_it_does_not_matter() {
        assert_eq!(with(Target::Busy, Some(Fsync::No)), None);
    }
}
