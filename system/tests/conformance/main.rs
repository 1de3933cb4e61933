//! What every backend promises: one suite, run on each of them, and on the model that stands for
//! them in simulated time. RabbitMQ is left out where a lease must end while its worker is there:
//! there a delivery belongs to a connection, which `tests/rabbitmq.rs` freezes, kills and closes.

#[path = "../support/mod.rs"]
mod support;

mod claims;
mod computed_by;
mod dead_letters;
mod departures;
mod failures;
mod garbage;
mod reading;
mod submission;
mod zombies;
