//! Reading values out of the tree: what is expected, and one sentence where it is not so.

use std::fmt::Display;
use std::time::Duration;

use super::error::{Place, Problem};
use super::node::{Entry, Node, Value};
use super::units;
use super::words::{listed, quoted, suggestion};

/// A value and the name by which messages call it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field<'a> {
    pub(super) name: &'a str,
    /// Where its key is written; for what has none, where it is written itself.
    pub(super) key_place: &'a Place,
    pub(super) node: &'a Node,
}

/// A mapping whose keys are all known.
pub(super) struct Fields<'a> {
    owner: &'a str,
    place: &'a Place,
    entries: Vec<&'a Entry>,
}

impl<'a> Field<'a> {
    /// A value that has no key: the scenario itself, or an item of a list.
    pub(super) fn unnamed(name: &'a str, node: &'a Node) -> Self {
        Self { name, key_place: &node.place, node }
    }

    fn of(entry: &'a Entry) -> Self {
        Self { name: &entry.key, key_place: &entry.place, node: &entry.node }
    }

    /// The sentence "<name> <what>", about the value.
    pub(super) fn refuse(&self, what: impl Display) -> Problem {
        Problem::new(&self.node.place, format!("{} {what}", self.name))
    }

    /// "… is 3, but must be a list (write for example …)"
    fn mismatch(&self, expected: &str, example: &str) -> Problem {
        let is = &self.node.value;
        let hint = match example {
            "" => String::new(),
            example => format!(" (write for example {example})"),
        };
        self.refuse(format!("is {is}, but must be {expected}{hint}"))
    }

    /// A mapping with no other keys than these.
    pub(super) fn mapping(&self, keys: &[&str]) -> Result<Fields<'a>, Problem> {
        let fields = self.free_mapping(&format!("with the keys {}", listed(keys, "and")))?;
        match fields.iter().find(|entry| !keys.contains(&entry.key.as_str())) {
            Some(unknown) => Err(Problem::new(
                &unknown.place,
                format!(
                    "unknown key {} in {}{}",
                    quoted(&unknown.key),
                    self.name,
                    suggestion(&unknown.key, keys)
                ),
            )),
            None => self.present(fields),
        }
    }

    /// A mapping with any keys.
    pub(super) fn any_mapping(&self) -> Result<impl Iterator<Item = Field<'a>>, Problem> {
        let fields = self.free_mapping("of names and values")?;
        Ok(self.present(fields)?.entries.into_iter().map(Field::of))
    }

    fn free_mapping(&self, holding: &str) -> Result<&'a [Entry], Problem> {
        match &self.node.value {
            Value::Map(entries) => Ok(entries),
            _ => Err(self.mismatch(&format!("a mapping {holding}"), "")),
        }
    }

    fn present(&self, entries: &'a [Entry]) -> Result<Fields<'a>, Problem> {
        if let Some(empty) = entries
            .iter()
            .find(|entry| matches!(entry.node.value, Value::Null) && !entry.node.removed())
        {
            return Err(Problem::new(
                &empty.place,
                format!("{} has no value (give one, or leave the key out)", quoted(&empty.key)),
            ));
        }
        Ok(Fields {
            owner: self.name,
            place: &self.node.place,
            entries: entries.iter().filter(|entry| !entry.node.removed()).collect(),
        })
    }

    pub(super) fn list(&self, example: &str) -> Result<Vec<&'a Node>, Problem> {
        match &self.node.value {
            Value::List(items) => Ok(items.iter().filter(|item| !item.removed()).collect()),
            _ => Err(self.mismatch("a list", example)),
        }
    }

    /// One line of text.
    pub(super) fn text(&self, example: &str) -> Result<&'a str, Problem> {
        let Value::Text(text) = &self.node.value else {
            return Err(self.mismatch("text", example));
        };
        let text = text.trim();
        if text.is_empty() {
            return Err(self.mismatch("some text", example));
        }
        if text.chars().any(char::is_control) {
            return Err(self.mismatch("one line of printable text", example));
        }
        Ok(text)
    }

    /// A name that is safe in paths and on command lines.
    pub(super) fn name(&self, example: &str) -> Result<&'a str, Problem> {
        let text = self.text(example)?;
        let safe = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if text.len() > 64 || text.starts_with('-') || !text.chars().all(safe) {
            return Err(self.mismatch("at most 64 lower-case letters, digits and `-`", example));
        }
        Ok(text)
    }

    pub(super) fn whole(&self, example: &str) -> Result<u64, Problem> {
        match self.node.value {
            Value::Whole(value @ 0..) => u64::try_from(value)
                .map_err(|_| self.mismatch("a whole number below 2^64", example)),
            // Digits beyond what YAML reads as whole.
            Value::Real(value) if value >= 2_f64.powi(64) => {
                Err(self.mismatch("a whole number below 2^64", example))
            }
            _ => Err(self.mismatch("a whole number, not negative", example)),
        }
    }

    /// A whole number from 1 to `most`.
    pub(super) fn count(&self, most: u64, example: &str) -> Result<u64, Problem> {
        match self.whole(example)? {
            0 => Err(self
                .refuse(format!("is 0, but at least 1 is needed (write for example {example})"))),
            value if value > most => {
                Err(self.refuse(format!("is {value}, but at most {most} are possible")))
            }
            value => Ok(value),
        }
    }

    /// A finite number, 0 or more.
    pub(super) fn amount(&self, example: &str) -> Result<f64, Problem> {
        let value = match self.node.value {
            Value::Whole(value) => value as f64,
            Value::Real(value) => value,
            _ => return Err(self.mismatch("a number", example)),
        };
        if !value.is_finite() || value < 0.0 {
            return Err(self.mismatch("a finite number, not negative", example));
        }
        Ok(value)
    }

    pub(super) fn duration(&self, example: &str) -> Result<Duration, Problem> {
        let expected = "a time in ms, s, m or h";
        let Value::Text(text) = &self.node.value else {
            return Err(self.mismatch(expected, example));
        };
        match units::duration(text) {
            Some(value) if units::POSSIBLE.contains(&value) => Ok(value),
            Some(_) => {
                Err(self.refuse(format!("is {}, but 1ms to 720h are possible", text.trim())))
            }
            None => Err(self.mismatch(expected, example)),
        }
    }

    /// One of the names in a table.
    pub(super) fn choice<T: Copy>(&self, table: &[(&'static str, T)]) -> Result<T, Problem> {
        let names: Vec<&str> = table.iter().map(|(name, _)| *name).collect();
        let Value::Text(text) = &self.node.value else {
            return Err(self.mismatch(&listed(&names, "or"), ""));
        };
        match table.iter().find(|(name, _)| name == text) {
            Some((_, value)) => Ok(*value),
            None => Err(self.refuse(format!(
                "is {}, which does not exist{}",
                quoted(text),
                suggestion(text, &names)
            ))),
        }
    }
}

impl<'a> Fields<'a> {
    pub(super) fn get(&self, key: &str) -> Option<Field<'a>> {
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        Some(Field::of(entry))
    }

    pub(super) fn need(&self, key: &str, example: &str) -> Result<Field<'a>, Problem> {
        self.get(key).ok_or_else(|| {
            Problem::new(
                self.place,
                format!("{} has no {key} (write for example {example})", self.owner),
            )
        })
    }

    /// The field of the one key among these that is there; two or none is a mistake.
    pub(super) fn exactly_one(&self, keys: &[&str], example: &str) -> Result<Field<'a>, Problem> {
        let mut found = self.entries.iter().filter(|entry| keys.contains(&entry.key.as_str()));
        match (found.next(), found.next()) {
            (Some(one), None) => Ok(Field::of(one)),
            (Some(one), Some(other)) => Err(Problem::new(
                &other.place,
                format!(
                    "{} has {} and {}, but must have exactly one of {} (remove one)",
                    self.owner,
                    one.key,
                    other.key,
                    listed(keys, "or")
                ),
            )),
            (None, _) => Err(Problem::new(
                self.place,
                format!(
                    "{} has no {} (write for example {example})",
                    self.owner,
                    listed(keys, "or")
                ),
            )),
        }
    }
}
