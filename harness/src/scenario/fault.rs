//! The faults of a scenario: what, when, to whom.

use std::collections::BTreeMap;
use std::time::Duration;

use super::bite;
use super::error::{Place, Problem};
use super::fault_settings;
use super::fields::{Field, Fields};
use super::node::{Node, Value};
use super::units::{self, POSSIBLE};
use super::words::{listed, nearest, quoted, suggestion};
use crate::fault::{Ends, Entry, Lasts, Role, Site, entries, entry};
use crate::plan::{
    Draw, Environment, FaultKind, KillBy, Occupant, PlannedFault, Settings, Sweep, Target, Trigger,
};

/// What the faults of a scenario depend on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ground<'a> {
    pub(super) site: Site,
    pub(super) workers: u32,
    pub(super) sweep: &'a Sweep,
    pub(super) seed: u64,
    pub(super) env: &'a BTreeMap<String, String>,
}

/// Workers that are not called by their number.
const WORKERS: &[(&str, Target)] =
    &[("random", Target::Random), ("busy", Target::Busy), ("all", Target::All)];

/// What is not a worker.
const ROLES: &[(&str, Target)] = &[
    ("coordinator", Target::Coordinator),
    ("aggregator", Target::Aggregator),
    ("broker", Target::Broker),
];

/// Whose Pod a node is chosen by.
const OCCUPANTS: &[(&str, Occupant)] =
    &[("busy", Occupant::Busy), ("random", Occupant::Random), ("broker", Occupant::Broker)];

/// `at` and `after`: exactly one of them.
const TRIGGERS: &[&str] = &["at", "after"];

fn strikes_workers(fault: &PlannedFault) -> bool {
    Role::of(fault.target) == Role::Worker
}

/// Whether others must take over what it leaves behind.
pub(super) fn orphans_chunks(fault: &PlannedFault) -> bool {
    let one = |fault: &PlannedFault| strikes_workers(fault) && entry(fault.kind).orphans;
    one(fault) || fault.settings.mix.iter().any(|draw| one(&draw.fault))
}

/// Whether its worker never works again.
pub(super) fn ends_worker(fault: &PlannedFault) -> bool {
    strikes_workers(fault) && matches!(entry(fault.kind).ends, Ends::Killed | Ends::Asked)
}

/// A fault and where the file says what other faults may contradict.
struct Written<'a> {
    fault: PlannedFault,
    name_place: &'a Place,
    when: Field<'a>,
    every: Option<Field<'a>>,
}

/// The faults of a scenario, in the order of the file.
pub(super) fn read(
    scenario: &Fields<'_>,
    ground: Ground<'_>,
) -> Result<Vec<PlannedFault>, Problem> {
    let Some(list) = scenario.get("faults") else {
        return Ok(Vec::new());
    };
    let mut all: Vec<Written<'_>> = Vec::new();
    for item in list.list("faults: [{ at: 30%, kill: { worker: busy } }]")? {
        let written = one(item, all.len() + 1, ground)?;
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
    let faults: Vec<PlannedFault> = all.iter().map(|written| written.fault.clone()).collect();
    for Written { fault, when, every, .. } in &all {
        bite::in_time(fault, when, every.as_ref(), &faults, ground)?;
    }
    Ok(faults)
}

fn names() -> Vec<&'static str> {
    entries().map(|entry| entry.name).collect()
}

fn one<'a>(item: &'a Node, number: usize, ground: Ground<'_>) -> Result<Written<'a>, Problem> {
    let kinds = names();
    let keys = [TRIGGERS, &["name", "every"], &kinds].concat();
    let fields = Field::unnamed("a fault", item).mapping(&keys)?;
    let name = fields.get("name");
    let what = fields.exactly_one(&kinds, "kill: { worker: busy }")?;
    let entry = named(&what);
    let when = when(&fields, entry)?;
    let repeats = fields.get("every");
    let every = repeats.as_ref().map(|field| every(field, entry)).transpose()?;
    let fault = PlannedFault {
        name: match &name {
            Some(field) => field.name("name: first")?.to_owned(),
            None => format!("{}-{number}", what.name),
        },
        trigger: match &when {
            Some(field) => trigger(field, ground)?,
            None => Trigger::Start,
        },
        every,
        ..what_of(&what, entry, ground)?
    };
    if let Some(field) = repeats.as_ref().filter(|_| ends_worker(&fault)) {
        return Err(field.refuse(format!(
            "lets {} strike until no worker is left (write restart, which replaces them)",
            entry.name
        )));
    }
    let name_place = name.map_or(&item.place, |field| &field.node.place);
    Ok(Written { fault, name_place, when: when.unwrap_or(what), every: repeats })
}

fn named(what: &Field<'_>) -> &'static Entry {
    entries().find(|entry| entry.name == what.name).expect("the key is one of the kinds")
}

/// What a fault does, without its name and its moment.
fn what_of(
    what: &Field<'_>,
    entry: &'static Entry,
    ground: Ground<'_>,
) -> Result<PlannedFault, Problem> {
    let of_sweep = entry.on == [Role::Sweep];
    let whom: &[&str] = match entry.on {
        [Role::Sweep] => &[],
        [Role::Node] => &["node"],
        _ => &["worker", "role"],
    };
    let lasts: &[&str] = if entry.lasts == Lasts::No { &[] } else { &["for"] };
    let keys = [whom, lasts, entry.needs, entry.takes].concat();
    let details = what.mapping(&keys)?;
    let target = if of_sweep {
        stands(what, entry, Target::Sweep, ground.site)?
    } else {
        target(&details, entry, ground)?
    };
    let hold = hold(&details, entry, target)?;
    let mut settings = Settings::default();
    for word in entry.needs {
        let field = details.need(word, &fault_settings::example(entry, word))?;
        read_setting(&mut settings, &field, entry, ground)?;
    }
    for field in entry.takes.iter().filter_map(|word| details.get(word)) {
        read_setting(&mut settings, &field, entry, ground)?;
        if field.name == "by" && settings.by == KillBy::Delete {
            may_be_deleted(&field, target, ground.site)?;
        }
    }
    bite::settings(&details, entry.kind, hold, &settings, ground)?;
    let (name, trigger, every) = (String::new(), Trigger::Start, None);
    Ok(PlannedFault { name, trigger, every, kind: entry.kind, target, hold, settings })
}

/// Only a worker's Pod is deleted: of what a Job or a StatefulSet has made, another takes its place.
fn may_be_deleted(field: &Field<'_>, target: Target, site: Site) -> Result<(), Problem> {
    if site.environment != Environment::Kubernetes {
        return Err(
            field.refuse("is delete, but only a Pod is deleted (choose environment kubernetes)")
        );
    }
    match Role::of(target) {
        Role::Worker => Ok(()),
        _ => Err(field.refuse("is delete, but only a worker's Pod is (write by: signal)")),
    }
}

fn read_setting(
    settings: &mut Settings,
    field: &Field<'_>,
    entry: &Entry,
    ground: Ground<'_>,
) -> Result<(), Problem> {
    if field.name == "mix" {
        settings.mix = mix(field, ground)?;
        return Ok(());
    }
    fault_settings::read(settings, field, entry, ground.sweep)
}

/// What chaos draws from.
fn mix(field: &Field<'_>, ground: Ground<'_>) -> Result<Vec<Draw>, Problem> {
    let example = "mix: [{ weight: 3, restart: { worker: random } }]";
    // What strikes a node strikes whoever is on it, and they do not come back.
    let is_drawn = |entry: &&Entry| entry.on != [Role::Sweep] && entry.on != [Role::Node];
    let kinds: Vec<&str> = entries().filter(is_drawn).map(|entry| entry.name).collect();
    let keys = [&["weight"], &kinds[..]].concat();
    let mut mix = Vec::new();
    for item in field.list(example)? {
        let fields = Field::unnamed("a fault of the mix", item).mapping(&keys)?;
        let what = fields.exactly_one(&kinds, "restart: { worker: random }")?;
        let weight = match fields.get("weight") {
            Some(field) => field.count(1000, "weight: 3")?,
            None => 1,
        };
        let fault = what_of(&what, named(&what), ground)?;
        if ends_worker(&fault) {
            return Err(what.refuse(
                "would leave fewer workers each time it is drawn (write restart, which replaces \
                 them)",
            ));
        }
        mix.push(Draw { weight: u32::try_from(weight).expect("1000 fits"), fault });
    }
    if mix.is_empty() {
        return Err(field.refuse(format!("is empty (write for example {example})")));
    }
    Ok(mix)
}

/// When a fault strikes; one of the sweep may do so from the beginning.
fn when<'a>(fields: &Fields<'a>, entry: &Entry) -> Result<Option<Field<'a>>, Problem> {
    let from_the_start = matches!(entry.kind, FaultKind::Poison | FaultKind::SlowChunks);
    if !from_the_start {
        return fields.exactly_one(TRIGGERS, "at: 30%").map(Some);
    }
    match TRIGGERS.iter().find_map(|key| fields.get(key)) {
        Some(field) => Err(field.refuse(format!(
            "has no meaning for {}, which is there from the beginning (remove it)",
            entry.name
        ))),
        None => Ok(None),
    }
}

fn every(field: &Field<'_>, entry: &Entry) -> Result<Duration, Problem> {
    if entry.on == [Role::Sweep] {
        return Err(field.refuse(format!(
            "has no meaning for {}, which strikes more than once by itself (remove it)",
            entry.name
        )));
    }
    field.duration("every: 2s")
}

fn trigger(field: &Field<'_>, ground: Ground<'_>) -> Result<Trigger, Problem> {
    if field.name == "after" {
        return Ok(Trigger::After(field.name("after: first")?.to_owned()));
    }
    let text = match &field.node.value {
        Value::Text(text) => text,
        other => return Err(neither_share_nor_time(field, &other.to_string())),
    };
    if let Some(share) = text.strip_suffix("submitted").and_then(units::percentage) {
        if ground.site.no_coordinator {
            return Err(field.refuse(
                "is a share submitted, but the harness submits by itself, all at once (write a share \
                 of the sweep, as in at: 30%)",
            ));
        }
        if share > 0.0 && share < 100.0 {
            bite::before_all_is_submitted(field, share, ground.sweep)?;
            return Ok(Trigger::Submitted(share));
        }
        return Err(field.refuse(format!(
            "is {share}% submitted, but a share that leaves something to submit is above 0% and \
             below 100% (write for example at: 30% submitted)"
        )));
    }
    if let Some(share) = units::percentage(text) {
        if share > 0.0 && share < 100.0 {
            bite::before_all_is_committed(field, share, ground.sweep)?;
            return Ok(Trigger::Progress(share));
        }
        return Err(field.refuse(format!(
            "is {share}%, but a share that leaves something to do is above 0% and below 100% (write \
             for example at: 30%)"
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

fn target(details: &Fields<'_>, entry: &Entry, ground: Ground<'_>) -> Result<Target, Problem> {
    let example = match entry.on {
        [Role::Broker] => format!("{}: {{ role: broker }}", entry.name),
        _ => format!("{}: {{ worker: busy }}", entry.name),
    };
    if entry.on == [Role::Node] {
        let node = details.need("node", &format!("{}: {{ node: busy, for: 5s }}", entry.name))?;
        return stands(&node, entry, Target::Node(node.choice(OCCUPANTS)?), ground.site);
    }
    let workers = ground.workers;
    let whom = details.exactly_one(&["worker", "role"], &example)?;
    if whom.name == "role" {
        return stands(&whom, entry, whom.choice(ROLES)?, ground.site);
    }
    let Value::Whole(number) = whom.node.value else {
        return stands(&whom, entry, worker_by_word(&whom, workers)?, ground.site);
    };
    match u32::try_from(number).ok().filter(|number| *number < workers) {
        Some(number) => stands(&whom, entry, Target::Worker(number), ground.site),
        None if workers == 1 => Err(whom.refuse(format!("is {number}, but the only worker is 0"))),
        None => Err(whom.refuse(format!(
            "is {number}, but of {workers} workers the numbers are {}",
            numbers(workers)
        ))),
    }
}

/// The target, if such a fault can strike it there.
fn stands(field: &Field<'_>, entry: &Entry, target: Target, site: Site) -> Result<Target, Problem> {
    let role = Role::of(target);
    let strangers = || {
        let roles: Vec<&str> = entry.on.iter().map(|role| role.name()).collect();
        let (name, roles) = (entry.name, listed(&roles, "or"));
        format!("{name} strikes {roles} (strike that instead, or choose another fault)")
    };
    let reason = match site.lacks(role) {
        Some(reason) => Some(reason.to_owned()),
        None if !entry.on.contains(&role) => Some(strangers()),
        None => (entry.refuse)(&site, role).map(str::to_owned),
    };
    match reason {
        None => Ok(target),
        Some(reason) if role == Role::Sweep => Err(field.refuse(format!("is refused: {reason}"))),
        Some(reason) => Err(field.refuse(format!("is {}, but {reason}", field.node.value))),
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

fn hold(details: &Fields<'_>, entry: &Entry, target: Target) -> Result<Option<Duration>, Problem> {
    let field = match entry.lasts {
        Lasts::No => return Ok(None),
        Lasts::May => details.get("for"),
        Lasts::Must => Some(details.need("for", &hold_example(entry))?),
    };
    match field {
        Some(field) if entry.kind == FaultKind::Kill && target != Target::Broker => {
            Err(field
                .refuse("has no meaning for a process that stays dead (write restart instead)"))
        }
        Some(field) => bite::hold(&field, entry).map(Some),
        None => Ok(None),
    }
}

fn hold_example(entry: &Entry) -> String {
    match entry.on {
        [Role::Sweep] => "for: 20s".to_owned(),
        [Role::Broker] => format!("{}: {{ role: broker, for: 3s }}", entry.name),
        [Role::Node] => format!("{}: {{ node: busy, for: 5s }}", entry.name),
        _ => format!("{}: {{ worker: busy, for: 3s }}", entry.name),
    }
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
