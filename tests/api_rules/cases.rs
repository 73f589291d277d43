//! The table: what may be written in each field, what may not, and what is said about it.
//!
//! A case is a valid object with one thing changed. [`Outcome::Refused`] says which part of the API server decides, since only
//! the rules can be tried without one.

use serde_json::{Value, json};

use crate::{application, status, subscription};

/// Which kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Subscription,
    Application,
}

/// Who refuses an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// A CEL rule of ours.
    Rule,
    /// The schema: types, bounds, required fields.
    Schema,
    /// The strict reading of what was sent: unknown fields.
    Reading,
}

/// What is to come of a case.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Accepted,
    Refused {
        by: By,
        /// The field that the API server names in front of its text.
        at: String,
        /// What the text must contain.
        says: String,
    },
}

/// A valid object with one thing changed, and what is to come of it.
#[derive(Clone, Debug)]
pub struct Case {
    pub kind: Kind,
    /// The field that is changed, in dots, with numbers for elements: `spec.calendarIds.0`.
    pub path: String,
    /// What it is changed to; `None` leaves it out.
    pub value: Option<Value>,
    pub outcome: Outcome,
}

impl Case {
    /// The object.
    pub fn object(&self) -> Value {
        let mut object = match self.kind {
            Kind::Subscription if self.path.starts_with("spec.store.remote") => subscription::in_a_calendar_store(),
            Kind::Subscription => subscription::complete(),
            Kind::Application => application::complete(),
        };
        if self.of_status() {
            object["status"] = status::complete();
        }
        put(&mut object, &self.path, self.value.clone());
        object
    }

    /// Whether it is about what stands in the status.
    pub fn of_status(&self) -> bool {
        self.path.starts_with("status")
    }

    /// What the case tries, for the messages of failed tests.
    pub fn title(&self) -> String {
        let value = self.value.as_ref().map_or_else(|| "left out".to_owned(), Value::to_string);
        format!("{:?} {} {}", self.kind, self.path, value.chars().take(120).collect::<String>())
    }
}

/// Sets the field at `path`, or takes it out.
pub fn put(object: &mut Value, path: &str, value: Option<Value>) {
    let (parents, last) = path.rsplit_once('.').unwrap_or(("", path));
    let mut at = object;
    for step in parents.split('.').filter(|step| !step.is_empty()) {
        at = match at {
            Value::Array(elements) => &mut elements[step.parse::<usize>().unwrap()],
            fields => &mut fields[step],
        };
    }
    match (at, value) {
        (Value::Array(elements), Some(value)) => elements[last.parse::<usize>().unwrap()] = value,
        (Value::Object(fields), Some(value)) => drop(fields.insert(last.to_owned(), value)),
        (Value::Object(fields), None) => drop(fields.remove(last).unwrap_or_else(|| panic!("nothing at {path}"))),
        (other, value) => panic!("cannot put {value:?} into {other} at {path}"),
    }
}

/// `spec.calendarIds.0` as the API server writes it: `spec.calendarIds[0]`.
fn as_server_writes(path: &str) -> String {
    path.split('.').fold(String::new(), |written, step| match step.parse::<usize>() {
        Ok(index) => format!("{written}[{index}]"),
        Err(_) if written.is_empty() => step.to_owned(),
        Err(_) => format!("{written}.{step}"),
    })
}

/// The table, while it is written.
pub struct Table {
    kind: Kind,
    pub cases: Vec<Case>,
}

impl Table {
    pub fn of(kind: Kind) -> Self {
        Self { kind, cases: Vec::new() }
    }

    pub fn add(&mut self, path: &str, value: Option<Value>, outcome: Outcome) -> &mut Self {
        self.cases.push(Case { kind: self.kind, path: path.to_owned(), value, outcome });
        self
    }

    pub fn refused(&mut self, path: &str, value: Option<Value>, by: By, says: &str) -> &mut Self {
        let outcome = Outcome::Refused { by, at: as_server_writes(path), says: says.to_owned() };
        self.add(path, value, outcome)
    }

    /// A rule on the object that the field is in, or on one further up, refuses it.
    pub fn refused_at(&mut self, at: &str, path: &str, value: Option<Value>, says: &str) -> &mut Self {
        let outcome = Outcome::Refused { by: By::Rule, at: at.to_owned(), says: says.to_owned() };
        self.add(path, value, outcome)
    }

    pub fn good(&mut self, path: &str, values: &[Value]) -> &mut Self {
        for value in values {
            self.add(path, Some(value.clone()), Outcome::Accepted);
        }
        self
    }

    pub fn rule(&mut self, path: &str, says: &str, values: &[Value]) -> &mut Self {
        for value in values {
            self.refused(path, Some(value.clone()), By::Rule, says);
        }
        self
    }

    pub fn schema(&mut self, path: &str, says: &str, values: &[Value]) -> &mut Self {
        for value in values {
            self.refused(path, Some(value.clone()), By::Schema, says);
        }
        self
    }

    /// May be left out, and null means the same.
    pub fn optional(&mut self, path: &str) -> &mut Self {
        self.add(path, None, Outcome::Accepted).add(path, Some(Value::Null), Outcome::Accepted)
    }

    /// Must be there, and null means the same as leaving it out.
    pub fn required(&mut self, path: &str) -> &mut Self {
        self.refused(path, None, By::Schema, "Required value").refused(
            path,
            Some(Value::Null),
            By::Schema,
            "Required value",
        )
    }

    /// Values of other types than `wanted`, one of each.
    pub fn typed(&mut self, path: &str, wanted: &str) -> &mut Self {
        let values = [
            ("string", json!("7")),
            ("integer", json!(7)),
            ("boolean", json!(true)),
            ("array", json!([])),
            ("object", json!({})),
        ];
        for (_, value) in values.into_iter().filter(|(name, _)| *name != wanted) {
            // The API server names a number by its format, `int32`.
            self.schema(path, &format!("must be of type {}", wanted.trim_end_matches("eger")), &[value]);
        }
        self
    }

    pub fn unknown_field(&mut self, parent: &str) -> &mut Self {
        let path = format!("{parent}.colour");
        let says = format!("unknown field \"{}\"", as_server_writes(&path));
        self.refused(&path, Some(json!("red")), By::Reading, &says)
    }

    pub fn boolean(&mut self, path: &str) -> &mut Self {
        self.optional(path).good(path, &[json!(false)]).typed(path, "boolean")
    }

    pub fn choice(&mut self, path: &str, values: &[&str]) -> &mut Self {
        let (first, lower) = (values[0], values[0].to_lowercase());
        let other_case = if lower == first { first.to_uppercase() } else { lower };
        self.good(path, &values.iter().map(|value| json!(value)).collect::<Vec<_>>()).typed(path, "string").schema(
            path,
            "Unsupported value",
            &[json!(""), json!(other_case), json!(format!("{first} ")), json!("Other")],
        )
    }

    pub fn number(&mut self, path: &str, least: i64, most: i64) -> &mut Self {
        self.optional(path)
            .good(path, &[json!(least), json!(most)])
            .typed(path, "integer")
            .schema(
                path,
                &format!("should be greater than or equal to {least}"),
                &[json!(least - 1), json!(-2_000_000_000)],
            )
            .schema(path, &format!("should be less than or equal to {most}"), &[json!(most + 1), json!(2_000_000_000)])
            .schema(path, "should be less than or equal to", &[json!(99_999_999_999_i64)])
            .schema(path, "must be of type int", &[json!(1.5)])
    }

    pub fn object_name(&mut self, path: &str) -> &mut Self {
        let says = "must be the name of an object: lower case letters, digits, '-' and '.'";
        let bad = [
            "",
            "Calendars",
            "a_b",
            "-a",
            "a-",
            "a..b",
            ".a",
            "a b",
            "a/b",
            "../other/secrets/a",
            "a%2fb",
            "ä",
            "a\nb",
            "a?x=1",
        ];
        self.good(path, &[json!("a"), json!("7"), json!("a.b-c"), json!("a".repeat(253))])
            .typed(path, "string")
            .rule(path, says, &bad.map(|bad| json!(bad)))
            .schema(path, "may not be more than 253 bytes", &[json!("a".repeat(254)), json!("a".repeat(100_000))])
    }

    pub fn interval(&mut self, path: &str, least: &str, too_short: &str) -> &mut Self {
        let says = format!("must be a duration of at least {least} and at most 8760h");
        let bad = [
            too_short,
            "0s",
            "",
            " ",
            "1d",
            "1w",
            "1",
            "3600",
            "-48h",
            "+48h",
            "1.5h",
            "48H",
            "48 h",
            "48h ",
            " 48h",
            "h",
            "48hours",
            "P2D",
            "123456h",
            "1h1h1h1h1h",
            "8761h",
            "99999h99999h99999h99999h",
            "48h\n",
            "４８h",
            "1us",
            "duration('48h')",
        ];
        self.optional(path)
            .good(
                path,
                &[
                    json!(least),
                    json!("8760h"),
                    json!("24h30m"),
                    json!("24h0m0s500ms"),
                    json!("90000s"),
                    json!("30m48h"),
                ],
            )
            .typed(path, "string")
            .rule(path, &says, &bad.map(|bad| json!(bad)))
            .schema(path, "may not be more than 32 bytes", &[json!("1h".repeat(17)), json!("9".repeat(100_000))])
    }

    pub fn id(&mut self, path: &str) -> &mut Self {
        let bad = ["", " ", "a b", " a", "a ", "a\tb", "a\nb", "a\u{a0}b", "a\u{200b}b", "é", "a\u{0}b"];
        self.good(path, &[json!("a"), json!("cal_Hq@Ab_c-9"), json!("../a?b=c&d#e"), json!("a".repeat(255))])
            .typed(path, "string")
            .rule(path, "must be an id of at least one character, without blanks", &bad.map(|bad| json!(bad)))
            .schema(path, "may not be more than 255 bytes", &[json!("a".repeat(256))])
    }
}

/// All cases of both kinds.
pub fn table() -> Vec<Case> {
    [subscription::cases(), application::cases(), status::cases()].concat()
}
