//! Entries of streams.

use crate::wire::Fields;

/// An entry of a stream; values may be any bytes.
pub(super) type Entry = (String, Vec<Vec<u8>>);

/// What was read, by stream; nothing where the wait was over.
pub(super) type Read = Option<Vec<(String, Vec<Entry>)>>;

/// Names and values in turn, as fields. Bytes that are not UTF-8 are replaced.
pub(super) fn to_fields(values: &[Vec<u8>]) -> Fields {
    let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
    values
        .chunks(2)
        .map(|pair| (text(&pair[0]), pair.get(1).map(text).unwrap_or_default()))
        .collect()
}

/// The moment in an entry's id, in milliseconds since 1970.
pub(super) fn entry_ms(id: &str) -> i64 {
    id.split('-').next().and_then(|ms| ms.parse().ok()).unwrap_or(0)
}
