//! The way of a result into the journal. Those of our workers are recorded there many at a time, by a record of
//! their own; anybody else's go there one by one, as tasks do.
//!
//! ```text
//!  ttg.results.exchange ──┬── ttg.results                      every result: the wire contract's
//!                         └── filter ──┬── is recorded together ──► filter, where it has been
//!                                      └── any other: its alternate exchange, others ──► journal
//! ```
//!
//! The way from the filter to itself leads nowhere, since the server takes a message to each exchange once. It is
//! there because an exchange that finds no way at all takes its alternate.

use futures_util::future::{try_join, try_join4};
use lapin::message::Delivery as Message;
use lapin::options::{ExchangeBindOptions, ExchangeDeclareOptions, QueueBindOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, ExchangeKind};

use super::names::{Queues, RESULTS_EXCHANGE};

/// A header of results that a record of our own brings into the journal. One that begins with `x-` would not be
/// looked at.
const RECORDED_TOGETHER: &str = "ttg-recorded-together";

/// The headers of such a result.
pub(in crate::queue::rabbitmq) fn recorded_together() -> FieldTable {
    let mut headers = FieldTable::default();
    headers.insert(RECORDED_TOGETHER.into(), AMQPValue::Boolean(true));
    headers
}

/// Whether a message is a result that a record of the journal tells of too.
pub(in crate::queue::rabbitmq) fn is_recorded_together(message: &Message) -> bool {
    let headers = message.properties.headers().as_ref();
    let recorded = recorded_together();
    headers
        .is_some_and(|there| recorded.inner().keys().all(|name| there.inner().contains_key(name)))
}

/// Exchanges of our own: what tells the results apart, and what brings those of others to the journal.
pub(super) fn exchanges(queues: &Queues) -> [String; 2] {
    let journal = queues.journal();
    ["filter", "others"].map(|name| format!("{journal}.{name}"))
}

/// Declares it, on a server where the journal is.
pub(super) async fn declare(channel: &Channel, queues: &Queues) -> lapin::Result<()> {
    let [filter, others] = exchanges(queues);
    let (journal, results) = (queues.journal(), queues.results.as_str());
    let none = FieldTable::default;
    // Nobody publishes to them.
    let inner = ExchangeDeclareOptions { durable: true, internal: true, ..Default::default() };
    let declare = |name: &str, kind, with| channel.exchange_declare(name.into(), kind, inner, with);
    let mut to_others = none();
    to_others.insert("alternate-exchange".into(), AMQPValue::LongString(others.as_str().into()));
    let mut together = recorded_together();
    together.insert("x-match".into(), AMQPValue::LongString("all".into()));
    let lead = |from: &str, to: &str, key: &str, which| {
        let options = ExchangeBindOptions::default();
        channel.exchange_bind(to.into(), from.into(), key.into(), options, which)
    };
    // On one channel they are done in this order. The last is what an earlier version had in place of all this.
    let exchanges = try_join(
        declare(&others, ExchangeKind::Fanout, none()),
        declare(&filter, ExchangeKind::Headers, to_others),
    );
    let (from_others, options) = (others.as_str().into(), QueueBindOptions::default());
    let ways = try_join4(
        channel.queue_bind(journal.as_str().into(), from_others, "".into(), options, none()),
        lead(&filter, &filter, "", together),
        lead(RESULTS_EXCHANGE, &filter, results, none()),
        channel.queue_unbind(
            journal.as_str().into(),
            RESULTS_EXCHANGE.into(),
            results.into(),
            none(),
        ),
    );
    try_join(exchanges, ways).await?;
    Ok(())
}
