//! The faults of a scenario: what, when, to whom.

use std::time::Duration;

use super::error::{Place, Problem};
use super::fields::{Field, Fields};
use super::node::{Node, Value};
use super::units::{self, POSSIBLE};
use super::words::{listed, nearest, quoted, suggestion};
use crate::plan::{Backend, FaultKind, PlannedFault, Target, Trigger};

/// What a scenario needs to know of a kind of fault.
struct Kind {
    kind: FaultKind,
    /// It lasts for a time (`for`) and then heals.
    lasts: bool,
    /// It leaves chunks behind that others have to take over when their leases end.
    orphans: bool,
    /// Its worker never works again.
    ends_worker: bool,
}

/// Every kind of fault. A new one is one line here.
#[rustfmt::skip]
const KINDS: &[Kind] = &[
    Kind { kind: FaultKind::Kill,      lasts: false, orphans: true,  ends_worker: true },
    Kind { kind: FaultKind::Terminate, lasts: false, orphans: false, ends_worker: true },
    Kind { kind: FaultKind::Pause,     lasts: true,  orphans: true,  ends_worker: false },
    Kind { kind: FaultKind::Restart,   lasts: false, orphans: true,  ends_worker: false },
];

/// Workers that are not called by their number.
const WORKERS: &[(&str, Target)] =
    &[("random", Target::Random), ("busy", Target::Busy), ("all", Target::All)];

/// What is not a worker.
const ROLES: &[(&str, Target)] = &[
    ("coordinator", Target::Coordinator),
    ("aggregator", Target::Aggregator),
    ("broker", Target::Broker),
];

/// `at` and `after`: exactly one of them.
const TRIGGERS: &[&str] = &["at", "after"];

fn kind(of: FaultKind) -> &'static Kind {
    KINDS.iter().find(|kind| kind.kind == of).expect("every fault was read by way of the table")
}

fn strikes_workers(fault: &PlannedFault) -> bool {
    !ROLES.iter().any(|(_, role)| *role == fault.target)
}

/// Whether others must take over what it leaves behind.
pub(super) fn orphans_chunks(fault: &PlannedFault) -> bool {
    strikes_workers(fault) && kind(fault.kind).orphans
}

/// Whether its worker never works again.
pub(super) fn ends_worker(fault: &PlannedFault) -> bool {
    strikes_workers(fault) && kind(fault.kind).ends_worker
}

/// A fault and where the file says what other faults may contradict.
struct Written<'a> {
    fault: PlannedFault,
    name_place: &'a Place,
    when: Field<'a>,
}

/// The faults of a scenario, in the order of the file.
pub(super) fn read(
    scenario: &Fields<'_>,
    workers: u32,
    backend: Backend,
) -> Result<Vec<PlannedFault>, Problem> {
    let Some(list) = scenario.get("faults") else {
        return Ok(Vec::new());
    };
    let mut all: Vec<Written<'_>> = Vec::new();
    for item in list.list("faults: [{ at: 30%, kill: { worker: busy } }]")? {
        let written = one(item, all.len() + 1, workers, backend)?;
        let name = &written.fault.name;
        if all.iter().any(|other| other.fault.name == *name) {
            return Err(Problem::new(
                written.name_place,
                format!("a second fault is called {name} (give each a name of its own)"),
            ));
        }
        all.push(written);
    }
    all.iter().try_for_each(|written| check_order(written, &all))?;
    Ok(all.into_iter().map(|written| written.fault).collect())
}

fn one(item: &Node, number: usize, workers: u32, backend: Backend) -> Result<Written<'_>, Problem> {
    let kinds: Vec<&str> = KINDS.iter().map(|kind| kind.kind.name()).collect();
    let keys = [TRIGGERS, &["name"], &kinds].concat();
    let fields = Field::unnamed("a fault", item).mapping(&keys)?;

    let name = fields.get("name");
    let when = fields.exactly_one(TRIGGERS, "at: 30%")?;
    let what = fields.exactly_one(&kinds, "kill: { worker: busy }")?;
    let kind = KINDS
        .iter()
        .find(|kind| kind.kind.name() == what.name)
        .expect("the key is one of the kinds");
    let details = what.mapping(match kind.lasts {
        true => &["worker", "role", "for"],
        false => &["worker", "role"],
    })?;
    let fault = PlannedFault {
        name: match &name {
            Some(field) => field.name("name: first")?.to_owned(),
            None => format!("{}-{number}", what.name),
        },
        trigger: trigger(&when)?,
        kind: kind.kind,
        target: target(&details, kind, workers, backend)?,
        hold: hold(&details, kind)?,
    };
    let name_place = name.map_or(&item.place, |field| &field.node.place);
    Ok(Written { fault, name_place, when })
}

fn trigger(field: &Field<'_>) -> Result<Trigger, Problem> {
    if field.name == "after" {
        return Ok(Trigger::After(field.name("after: first")?.to_owned()));
    }
    let text = match &field.node.value {
        Value::Text(text) => text,
        other => return Err(neither_share_nor_time(field, &other.to_string())),
    };
    if let Some(share) = units::percentage(text) {
        if share > 0.0 && share <= 100.0 {
            return Ok(Trigger::Progress(share));
        }
        return Err(field.refuse(format!(
            "is {share}%, but a share of the sweep is above 0% and at most 100% (write for \
             example at: 30%)"
        )));
    }
    match units::duration(text) {
        Some(time) if POSSIBLE.contains(&time) => Ok(Trigger::Time(time)),
        _ => Err(neither_share_nor_time(field, &quoted(text))),
    }
}

fn neither_share_nor_time(field: &Field<'_>, is: &str) -> Problem {
    field.refuse(format!(
        "is {is}, but must be a share of the sweep or a time after the first task (write for \
         example at: 30% or at: 3s)"
    ))
}

fn target(
    details: &Fields<'_>,
    kind: &Kind,
    workers: u32,
    backend: Backend,
) -> Result<Target, Problem> {
    let example = format!("{}: {{ worker: busy }}", kind.kind.name());
    let whom = details.exactly_one(&["worker", "role"], &example)?;
    if whom.name == "role" {
        let target = whom.choice(ROLES)?;
        return match why_not(target, kind, backend) {
            Some(reason) => Err(whom.refuse(format!("is {}, but {reason}", whom.node.value))),
            None => Ok(target),
        };
    }
    let Value::Whole(number) = whom.node.value else {
        return worker_by_word(&whom, workers);
    };
    match u32::try_from(number).ok().filter(|number| *number < workers) {
        Some(number) => Ok(Target::Worker(number)),
        None if workers == 1 => Err(whom.refuse(format!("is {number}, but the only worker is 0"))),
        None => Err(whom.refuse(format!(
            "is {number}, but of {workers} workers the numbers are {}",
            numbers(workers)
        ))),
    }
}

/// Why such a fault can't strike this role, if so.
fn why_not(role: Target, kind: &Kind, backend: Backend) -> Option<String> {
    match (role, backend, kind.kind) {
        (_, Backend::Static, _) => Some(
            "backend static has no coordinator, no aggregator and no broker (strike a worker \
             instead, or choose another backend)"
                .to_owned(),
        ),
        (Target::Broker, Backend::Embedded, _) => Some(
            "the embedded broker is a file, which no process serves (choose backend redis or \
             rabbitmq)"
                .to_owned(),
        ),
        (Target::Broker, _, FaultKind::Restart) => None,
        (Target::Broker, _, kind) => Some(format!(
            "{} would leave the sweep without a broker (write restart: {{ role: broker }})",
            kind.name()
        )),
        _ => None,
    }
}

fn worker_by_word(whom: &Field<'_>, workers: u32) -> Result<Target, Problem> {
    let words: Vec<&str> = WORKERS.iter().map(|(word, _)| *word).collect();
    let refuse = |is: &str, hint: String| {
        whom.refuse(format!(
            "is {is}, but must be a number ({}), {}{hint}",
            numbers(workers),
            listed(&words, "or")
        ))
    };
    let Value::Text(text) = &whom.node.value else {
        return Err(refuse(&whom.node.value.to_string(), String::new()));
    };
    match WORKERS.iter().find(|(word, _)| word == text) {
        Some((_, target)) => Ok(*target),
        None => Err(refuse(
            &quoted(text),
            match nearest(text, words.iter().copied()) {
                Some(word) => format!(" (did you mean {word}?)"),
                None => String::new(),
            },
        )),
    }
}

fn numbers(workers: u32) -> String {
    match workers {
        1 => "0".into(),
        _ => format!("0 to {}", workers - 1),
    }
}

fn hold(details: &Fields<'_>, kind: &Kind) -> Result<Option<Duration>, Problem> {
    if !kind.lasts {
        return Ok(None);
    }
    let example = format!("{}: {{ worker: busy, for: 3s }}", kind.kind.name());
    let time = details.need("for", &example)?;
    time.duration("for: 3s").map(Some)
}

/// Of a fault that strikes after another: the other exists, and the chain has a beginning.
fn check_order(written: &Written<'_>, all: &[Written<'_>]) -> Result<(), Problem> {
    let find = |name: &str| all.iter().find(|other| other.fault.name == name);
    let own = &written.fault.name;
    let mut chain = vec![own.as_str()];
    let mut at = &written.fault;
    while let Trigger::After(name) = &at.trigger {
        // What is wrong further up the chain is said of the fault that it is wrong with.
        let Some(before) = find(name) else {
            if chain.len() > 1 {
                return Ok(());
            }
            let names: Vec<&str> = all.iter().map(|other| other.fault.name.as_str()).collect();
            return Err(written.when.refuse(format!(
                "is {}, but no fault has that name{}",
                quoted(name),
                suggestion(name, &names)
            )));
        };
        at = &before.fault;
        chain.push(&at.name);
        if at.name == *own {
            return Err(written.when.refuse(format!(
                "goes round in a circle ({}), so it would never strike (give it an `at` instead)",
                chain.join(" after ")
            )));
        }
        if chain.len() > all.len() {
            return Ok(());
        }
    }
    Ok(())
}
