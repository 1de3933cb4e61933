//! Entries of streams.

use redis::{FromRedisValue, ParsingError, Value};

use crate::wire::Fields;

/// An entry of a stream: its id and its fields.
pub(super) type Entry = (String, EntryFields);

/// What was read, by stream; nothing where the wait was over.
pub(super) type Read = Option<Vec<(String, Vec<Entry>)>>;

/// Fields, of which a server tells names and values in turn. Bytes that are not UTF-8 are replaced.
pub(super) struct EntryFields(pub(super) Fields);

impl FromRedisValue for EntryFields {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let values = match value {
            Value::Array(values) => values,
            // The entry is gone.
            Value::Nil => Vec::new(),
            other => return Err(unexpected(&other)),
        };
        let mut fields = Vec::with_capacity(values.len().div_ceil(2));
        let mut texts = values.into_iter().map(text);
        while let Some(name) = texts.next() {
            fields.push((name?, texts.next().transpose()?.unwrap_or_default()));
        }
        Ok(Self(fields))
    }
}

/// The moment in an entry's id, in milliseconds since 1970.
pub(super) fn entry_ms(id: &str) -> i64 {
    id.split('-').next().and_then(|ms| ms.parse().ok()).unwrap_or(0)
}

/// Takes the memory of what is text, as almost everything is.
fn text(value: Value) -> Result<String, ParsingError> {
    match value {
        Value::BulkString(bytes) => Ok(String::from_utf8(bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())),
        other => String::from_redis_value(other),
    }
}

fn unexpected(value: &Value) -> ParsingError {
    format!("fields of an entry are expected, not {value:?}").into()
}
