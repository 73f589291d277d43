//! The parameters of a request. Each may come once, and none that is not known: a mistyped one would be missed silently.

use calendar_store_client::Reason;
use percent_encoding::percent_decode_str;

use crate::Problem;

/// The longest query, in bytes: fifty names and a few times.
const LONGEST: usize = 16 * 1024;

/// Parameters that are known and come as often as they may.
#[derive(Debug)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// The parameters of a query, of which these are known; the second ones may come several times.
    pub fn parse(query: Option<&str>, once: &[&str], often: &[&str]) -> Result<Self, Problem> {
        let query = query.unwrap_or_default();
        if query.len() > LONGEST {
            return Err(Problem::new(Reason::Invalid, format!("a query has at most {LONGEST} bytes")).of("query"));
        }
        let mut pairs: Vec<(String, String)> = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decoded(name).ok_or_else(|| not_text("query"))?;
            let repeated = pairs.iter().any(|(known, _)| *known == name);
            if once.contains(&name.as_str()) && repeated {
                let detail = format!("{name} is given more than once: give it once");
                return Err(Problem::new(Reason::Invalid, detail).of(name));
            }
            if !once.contains(&name.as_str()) && !often.contains(&name.as_str()) {
                let known = [once, often].concat().join(", ");
                let detail = if known.is_empty() {
                    "there are no parameters here".to_owned()
                } else {
                    format!("there is no such parameter here: known are {known}")
                };
                return Err(Problem::new(Reason::Invalid, detail).of(shortened(&name)));
            }
            let value = decoded(value).ok_or_else(|| not_text(&name))?;
            pairs.push((name, value));
        }
        Ok(Self(pairs))
    }

    /// The value of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// All values of a parameter.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The value of parameter `limit`.
    pub fn limit(&self, default: usize, most: usize) -> Result<usize, Problem> {
        let Some(text) = self.get("limit") else { return Ok(default) };
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse() {
            Ok(limit) if digits && (1..=most).contains(&limit) => Ok(limit),
            _ => Err(Problem::new(Reason::Invalid, format!("use a number from 1 to {most}")).of("limit")),
        }
    }
}

/// A value in an answer: long ones are cut, so that an answer is not as large as what was asked.
fn shortened(text: &str) -> String {
    text.chars().take(64).collect()
}

fn decoded(text: &str) -> Option<String> {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

fn not_text(field: &str) -> Problem {
    Problem::new(Reason::Invalid, "it is not UTF-8: encode its bytes with %").of(shortened(field))
}
