//! Fields as the members of a JSON object.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::{Fields, RETRY_COUNT, Task, TaskResult, bounded, get};

/// Fields as a JSON object: numbers where the wire has numbers is for the reader to decide.
pub fn to_json(fields: &[(impl AsRef<str>, impl AsRef<str>)]) -> String {
    text(&Members { fields, failures: None })
}

/// The same of a task or a dead letter on RabbitMQ, whose `retry_count` is a number and always there.
pub fn to_message(fields: &Fields) -> String {
    let failures = get(fields, RETRY_COUNT).and_then(|text| text.parse().ok()).unwrap_or(0);
    text(&Members { fields, failures: Some(failures) })
}

impl Task {
    /// Reads a message that is JSON.
    ///
    /// # Errors
    /// As of its fields.
    pub fn from_json(text: &str) -> Result<Self, String> {
        Self::from_fields(&borrow_json(text))
    }
}

impl TaskResult {
    /// The message as JSON.
    pub fn to_json(&self) -> String {
        to_json(&self.values())
    }

    /// Reads a message that is JSON.
    ///
    /// # Errors
    /// As of its fields.
    pub fn from_json(text: &str) -> Result<Self, String> {
        Self::from_fields(&borrow_json(text))
    }
}

/// The members of a JSON object, by name; of several of one name the last.
struct Members<'a, N, V> {
    fields: &'a [(N, V)],
    /// The `retry_count`, in place of any that is among the fields.
    failures: Option<u32>,
}

/// What a member says.
#[derive(Serialize)]
#[serde(untagged)]
enum Member<'a> {
    Text(&'a str),
    Number(u32),
}

impl<N: AsRef<str>, V: AsRef<str>> Serialize for Members<'_, N, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let texts =
            self.fields.iter().map(|(name, value)| (name.as_ref(), Member::Text(value.as_ref())));
        let failures = self.failures.map(|count| (RETRY_COUNT, Member::Number(count)));
        serializer.collect_map(texts.chain(failures).collect::<BTreeMap<_, _>>())
    }
}

/// Fields of a JSON object; strings and numbers are taken alike. Anything else is kept whole
/// under `raw`, so that nothing is dropped.
pub fn from_json(text: &str) -> Fields {
    let owned =
        |(name, value): (Cow<'_, str>, Cow<'_, str>)| (name.into_owned(), value.into_owned());
    borrow_json(text).into_iter().map(owned).collect()
}

/// As `from_json`, and borrowed from the text as far as that is possible.
fn borrow_json(text: &str) -> Vec<(Cow<'_, str>, Cow<'_, str>)> {
    match serde_json::from_str::<Pairs>(text) {
        Ok(Pairs(pairs)) => pairs,
        Err(_) => vec![("raw".into(), bounded(text).into())],
    }
}

/// The members of a JSON object, those of the same name too.
struct Pairs<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'de> Deserialize<'de> for Pairs<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PairsVisitor;

        impl<'de> Visitor<'de> for PairsVisitor {
            type Value = Pairs<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut members: M) -> Result<Pairs<'de>, M::Error> {
                let mut pairs = Vec::new();
                while let Some((Text(name), value)) = members.next_entry()? {
                    let value = match value {
                        Said::Text(text) => text,
                        Said::Other(other) => other.to_string().into(),
                    };
                    pairs.push((name, value));
                }
                Ok(Pairs(pairs))
            }
        }

        deserializer.deserialize_map(PairsVisitor)
    }
}

/// A text, borrowed where nothing in it is escaped.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// What a member that is read says.
#[derive(Deserialize)]
#[serde(untagged)]
enum Said<'a> {
    Text(#[serde(borrow)] Cow<'a, str>),
    Other(Value),
}

fn text(members: &impl Serialize) -> String {
    serde_json::to_string(members).expect("texts and numbers can be written")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::wire::owned;

    #[rstest]
    #[case::of_several_of_one_name_the_last(&[("b", "1"), ("a", "2"), ("b", "3")], r#"{"a":"2","b":"3"}"#)]
    #[case::nothing(&[], "{}")]
    #[case::what_has_to_be_escaped(&[("a\n", "\"\u{1}")], r#"{"a\n":"\"\u0001"}"#)]
    fn fields_are_written_by_name(#[case] fields: &[(&str, &str)], #[case] json: &str) {
        let fields =
            owned(fields.iter().map(|(name, value)| (*name, (*value).to_owned())).collect());
        assert_eq!(to_json(&fields), json);
    }

    #[rstest]
    #[case::none(&[("b", "1")], r#"{"b":"1","retry_count":0}"#)]
    #[case::twice(&[("retry_count", "2"), ("z", "1"), ("retry_count", "3")], r#"{"retry_count":2,"z":"1"}"#)]
    #[case::no_number(&[("retry_count", "many")], r#"{"retry_count":0}"#)]
    fn a_message_says_how_often_it_failed(#[case] fields: &[(&str, &str)], #[case] json: &str) {
        let fields =
            owned(fields.iter().map(|(name, value)| (*name, (*value).to_owned())).collect());
        assert_eq!(to_message(&fields), json);
    }

    #[rstest]
    #[case::texts(r#"{"b":"1","a":""}"#, &[("b", "1"), ("a", "")])]
    #[case::what_is_escaped(r#"{"a\n":"\"\u00e9"}"#, &[("a\n", "\"é")])]
    #[case::numbers_and_the_rest(r#"{"n":-1.50,"t":true,"z":null,"o":{"b":[1, "\n"]}}"#, &[("n", "-1.5"), ("t", "true"), ("z", "null"), ("o", r#"{"b":[1,"\n"]}"#)])]
    #[case::those_of_one_name(r#"{"a":"1","a":2}"#, &[("a", "1"), ("a", "2")])]
    #[case::no_object("[1]", &[("raw", "[1]")])]
    #[case::more_than_an_object("{} 1", &[("raw", "{} 1")])]
    fn fields_are_read_as_they_stand(#[case] json: &str, #[case] fields: &[(&str, &str)]) {
        let fields = fields.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        assert_eq!(from_json(json), owned(fields));
    }
}
