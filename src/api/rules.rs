//! What the API server checks beyond types and bounds: CEL rules, each with the message that the user reads.
//!
//! The API server puts the path of the field in front of the message, so a message says "must …" and how to get it right. A
//! rule on an object has only the object's path in front, so its message names the fields.
//!
//! All strings have a `maxLength`: the API server estimates what a rule costs from it, and refuses the definition of a kind
//! whose rules could cost too much.

use kube::core::Rule;
use schemars::Schema;
use serde_json::{Value, json};

/// A rule and the message of its refusal.
pub type RuleWithMessage = (&'static str, &'static str);

/// The name of an object: a DNS subdomain. At most 253 characters, which is a bound of its own.
pub const OBJECT_NAME: RuleWithMessage = (
    r"self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",
    "must be the name of an object: lower case letters, digits, '-' and '.', with a letter or digit at both ends",
);

/// The name of a namespace: a DNS label. At most 63 characters, which is a bound of its own.
pub const NAMESPACE: RuleWithMessage = (
    r"self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
    "must be the name of a namespace: lower case letters, digits and '-', with a letter or digit at both ends",
);

/// The subscription's own name. `<name>-events`, the output's default name, then has at most 63 characters, and both can stand
/// in labels.
pub const SUBSCRIPTION_NAME: RuleWithMessage = (
    "self.metadata.name.size() <= 56",
    "metadata.name must be at most 56 characters long, so that it and the name of its output fit into labels: shorten it",
);

/// Whose calendars are meant must be clear.
pub const ONE_ACCOUNT: RuleWithMessage = (
    "has(self.secretRef) != has(self.applicationCalendarId)",
    "must have exactly one of secretRef and applicationCalendarId: set one and leave the other out",
);

/// An id that somebody else made up: no blanks, no control characters, nothing that only looks like a character.
const ID: RuleWithMessage = (
    "self.matches('^[!-~]+$')",
    "must be an id of at least one character, without blanks and with ASCII characters only: copy it as Cronofy shows it",
);

/// The id of an application calendar, which the user makes up.
pub const APPLICATION_CALENDAR_ID: RuleWithMessage = (
    "self.matches('^[!-~]+$')",
    "must be an id of at least one character, without blanks and with ASCII characters only, such as change-freeze",
);

/// An empty list would read as "no calendars" here and as "all" at Cronofy.
pub const SOME_CALENDARS: RuleWithMessage =
    ("self.size() > 0", "must name at least one calendar: leave calendarIds out to copy all calendars of the account");

/// The two filters leave something over.
pub const FILTERS_AGREE: RuleWithMessage = (
    "!(has(self.onlyManaged) && self.onlyManaged && has(self.includeManaged) && !self.includeManaged)",
    "must not have onlyManaged: true together with includeManaged: false, which leaves no event to copy: drop one of them",
);

/// The shape of names in the time zone database. Whether it is in there only the operator knows.
pub const TIME_ZONE: RuleWithMessage = (
    "self.matches('^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$')",
    "must be the name of an IANA time zone, such as Europe/Berlin or Etc/UTC",
);

/// The base URL of an API.
pub const ENDPOINT: RuleWithMessage = (
    concat!(
        r"self.matches('^https?://([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\\[[0-9A-Fa-f:.]+\\])(:[0-9]{1,5})?",
        r"(/([A-Za-z0-9._~!$&()*+,;=:@/-]|%[0-9A-Fa-f]{2})*)?$')",
        " && isURL(self) && (url(self).getPort() == '' || int(url(self).getPort()) <= 65535)"
    ),
    "must be an absolute http or https URL without user info, query and fragment, such as https://api.cronofy.com",
);

/// The base URL of a calendar store. The operator's token goes there.
pub const STORE_URL: RuleWithMessage = (
    concat!(
        r"self.matches('^(https://([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\\[[0-9A-Fa-f:.]+\\])",
        r"|http://(localhost|127\\.0\\.0\\.1|\\[::1\\]))(:[0-9]{1,5})?",
        r"(/([A-Za-z0-9._~!$&()*+,;=:-]|%[0-9A-Fa-f]{2})*)*$')",
        " && isURL(self) && (url(self).getPort() == '' || int(url(self).getPort()) <= 65535)"
    ),
    "must be an https URL without user info, query and fragment, such as https://calendar-store.calendars.svc; http is taken \
     for localhost, 127.0.0.1 and [::1] only",
);

/// A calendar store is named where one is used.
pub const REMOTE_WITH_TYPE: RuleWithMessage = (
    "!has(self.remote) || (has(self.type) && self.type == 'Remote')",
    "must have remote only with type: Remote: set type to Remote, or leave remote out",
);

/// A selector that has no effect would give a false sense of who is let in, and `from: Selector` alone lets nobody in.
pub const SELECTOR_WITH_FROM: RuleWithMessage = (
    "has(self.selector) == (has(self.from) && self.from == 'Selector')",
    "must have selector exactly with from: Selector: set from to Selector, or leave selector out",
);

/// Operators that compare with values need some; the others must have none.
pub const VALUES_WITH_OPERATOR: RuleWithMessage = (
    "(self.operator in ['In', 'NotIn']) == (has(self.values) && self.values.size() > 0)",
    "must have values exactly with operator In or NotIn: add values, or use Exists or DoesNotExist",
);

/// The key of a label, without its bounds.
pub const LABEL_KEY: RuleWithMessage = (
    r"self.matches('^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$')",
    "must be the key of a label: at most 63 letters, digits, '-', '_' and '.', if need be after a domain and '/'",
);

/// The keys of a map of labels.
pub const LABEL_KEYS: RuleWithMessage = (
    r"self.all(key, key.size() <= 317 && key.matches('^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))",
    "must have keys of labels: at most 63 letters, digits, '-', '_' and '.', if need be after a domain and '/'",
);

/// The value of a label.
pub const LABEL_VALUE: RuleWithMessage = (
    "self.matches('^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$')",
    "must be the value of a label: letters, digits, '-', '_' and '.', with a letter or digit at both ends",
);

/// A duration from `shortest` to a year, in the form of GEP-2257. The form is looked at first: what is none cannot be compared.
pub fn at_least(shortest: &str) -> Rule {
    let rule = format!(
        "self.matches('^([0-9]{{1,5}}(h|m|s|ms)){{1,4}}$') && duration(self) >= duration('{shortest}') && duration(self) <= \
         duration('8760h')"
    );
    let message = format!(
        "must be a duration of at least {shortest} and at most 8760h: one to four whole numbers, each with its unit h, m, s or \
         ms, such as 90m or 1h30m"
    );
    Rule::new(rule).message(message.as_str())
}

/// Makes a list of strings one of ids, with at most 255 characters each.
pub fn list_of_ids(list: &mut Schema) {
    list.insert(
        "items".to_owned(),
        json!({ "type": "string", "maxLength": 255, "x-kubernetes-validations": rules([ID]) }),
    );
}

/// Rules as a schema has them.
pub fn rules<const N: usize>(rules: [RuleWithMessage; N]) -> Value {
    rules.map(|(rule, message)| json!({ "rule": rule, "message": message })).as_slice().into()
}
