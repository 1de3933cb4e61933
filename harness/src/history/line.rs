//! An event as one line of the history: `{"t_s":1.5,"event":"stopped","process":"worker-0",…}`, and
//! back. The time is first and the name second, so that a line is read in one go, with nothing kept
//! aside: a history may have millions. What is not known, a name or a field, is refused.

use std::borrow::Cow;
use std::fmt;

use serde::de::value::{BorrowedStrDeserializer, MapAccessDeserializer};
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, VariantAccess, Visitor,
};
use serde::{Deserialize, forward_to_deserialize_any};

use super::{Event, Record};

impl Record {
    /// Appends the record as JSON, without a newline.
    ///
    /// # Errors
    /// Where an event has no such form.
    pub fn write(&self, line: &mut Vec<u8>) -> Result<(), serde_json::Error> {
        line.extend_from_slice(b"{\"t_s\":");
        serde_json::to_writer(&mut *line, &self.t_s)?;
        line.extend_from_slice(b",\"event\":");
        let start = line.len();
        serde_json::to_writer(&mut *line, &self.event)?;
        if line[start] == b'{' {
            // `{"name":{…}}` becomes `"name",…}`: a name has no colon in it.
            let length = line[start..].iter().position(|byte| *byte == b':').unwrap_or_default();
            line.splice(start + length..start + length + 2, [b',']);
            line.remove(start);
            line.pop();
        } else {
            line.push(b'}');
        }
        Ok(())
    }

    /// Reads what [`Record::write`] wrote.
    ///
    /// # Errors
    /// Where it is something else.
    pub fn read(line: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(line)
    }
}

impl<'de> Deserialize<'de> for Record {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(RecordVisitor)
    }
}

struct RecordVisitor;

impl<'de> Visitor<'de> for RecordVisitor {
    type Value = Record;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event: `t_s`, `event`, and what belongs to that event")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Record, A::Error> {
        expect(&mut map, "t_s")?;
        let t_s = map.next_value()?;
        expect(&mut map, "event")?;
        let name = map.next_value()?;
        Ok(Record { t_s, event: Event::deserialize(Named { name, fields: map })? })
    }
}

fn expect<'de, A: MapAccess<'de>>(map: &mut A, key: &str) -> Result<(), A::Error> {
    match map.next_key::<Cow<'_, str>>()? {
        Some(found) if found == key => Ok(()),
        Some(found) => Err(A::Error::custom(format!("`{found}` where `{key}` belongs"))),
        None => Err(A::Error::custom(format!("`{key}` is missing"))),
    }
}

/// An event whose name is known, and whose fields are still to be read.
struct Named<'de, A> {
    name: &'de str,
    fields: A,
}

impl<'de, A: MapAccess<'de>> Deserializer<'de> for Named<'de, A> {
    type Error = A::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, A::Error> {
        visitor.visit_enum(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier
        ignored_any
    }
}

impl<'de, A: MapAccess<'de>> EnumAccess<'de> for Named<'de, A> {
    type Error = A::Error;
    type Variant = Fields<A>;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Fields<A>), A::Error> {
        let variant = seed.deserialize(BorrowedStrDeserializer::new(self.name))?;
        Ok((variant, Fields(self.fields)))
    }
}

struct Fields<A>(A);

impl<'de, A: MapAccess<'de>> VariantAccess<'de> for Fields<A> {
    type Error = A::Error;

    fn unit_variant(mut self) -> Result<(), A::Error> {
        match self.0.next_key::<Cow<'_, str>>()? {
            None => Ok(()),
            Some(field) => Err(A::Error::unknown_field(&field, &[])),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, A::Error> {
        seed.deserialize(MapAccessDeserializer::new(self.0))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, A::Error> {
        Err(A::Error::custom("an event has named fields"))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        visitor.visit_map(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::{History, plan_with_kill};
    use crate::history::EndReason;

    fn line(record: &Record) -> String {
        let mut line = Vec::new();
        record.write(&mut line).unwrap();
        String::from_utf8(line).unwrap()
    }

    fn refusal(line: &str) -> String {
        Record::read(line.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn the_time_is_first_and_the_name_second_and_all_fields_are_beside_them() {
        let ended = Record { t_s: 40.0, event: Event::RunEnded { why: EndReason::Complete } };
        assert_eq!(line(&ended), r#"{"t_s":40.0,"event":"run-ended","why":"complete"}"#);
        let started = Record { t_s: 0.5, event: Event::SweepStarted };
        assert_eq!(line(&started), r#"{"t_s":0.5,"event":"sweep-started"}"#);
    }

    #[test]
    fn what_is_written_reads_back() {
        for record in History::of(plan_with_kill()).records {
            assert_eq!(Record::read(line(&record).as_bytes()).unwrap(), record);
        }
    }

    #[test]
    fn what_is_not_known_is_refused() {
        let said = refusal(r#"{"t_s":1.0,"event":"earthquake"}"#);
        assert!(said.starts_with("unknown variant `earthquake`"), "{said}");
        let said = refusal(r#"{"t_s":1.0,"event":"sweep-started","loudly":true}"#);
        assert!(said.starts_with("unknown field `loudly`"), "{said}");
        let said = refusal(r#"{"t_s":1.0,"event":"retried","attempts":1,"loudly":true}"#);
        assert!(said.starts_with("unknown field `loudly`"), "{said}");
        let whole = History::of(plan_with_kill());
        let result = Record { t_s: 1.0, event: whole.result_of("00003") };
        let said = refusal(&line(&result).replace("\"count\"", "\"loudly\""));
        assert!(said.starts_with("unknown field `loudly`"), "{said}");
    }

    #[test]
    fn a_field_that_is_missing_or_there_twice_is_refused() {
        let said = refusal(r#"{"t_s":1.0,"event":"retried"}"#);
        assert!(said.starts_with("missing field `attempts`"), "{said}");
        let said = refusal(r#"{"t_s":1.0,"event":"retried","attempts":1,"attempts":2}"#);
        assert!(said.starts_with("duplicate field `attempts`"), "{said}");
    }

    #[test]
    fn another_order_or_another_form_is_refused() {
        let said = refusal(r#"{"event":"sweep-started","t_s":1.0}"#);
        assert!(said.starts_with("`event` where `t_s` belongs"), "{said}");
        let said = refusal("{}");
        assert!(said.starts_with("`t_s` is missing"), "{said}");
        let said = refusal("7");
        assert!(said.starts_with("invalid type: integer `7`, expected an event"), "{said}");
        let said = refusal(r#"{"t_s":null,"event":"sweep-started"}"#);
        assert!(said.starts_with("invalid type: null, expected f64"), "{said}");
    }
}
