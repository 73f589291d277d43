//! What all operators of this run asked the API servers for: the record that `tests/rights` holds against the chart's rights.
//!
//! A run of the whole suite leaves it behind as a file; one of chosen tests leaves the file as it was.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde_json::json;
use testenv::{AuditEntry, ControlPlane};

/// Requests that were let pass, by API group, resource and verb; and those that were denied, also by the
/// test and the answer.
#[derive(Default)]
struct Usage {
    /// How much of each server's audit log is counted, by its folder.
    counted: BTreeMap<String, usize>,
    uses: BTreeMap<[String; 3], usize>,
    denials: BTreeMap<[String; 5], usize>,
}

/// What was granted, so that an old record is told from a present one.
const RIGHTS: &str = include_str!("../../../charts/cronofy-operator/files/rbac.yaml");

static USAGE: Mutex<Option<Usage>> = Mutex::new(None);

/// Counts what has come to the server's audit log since it was counted last.
pub fn record(plane: &ControlPlane) {
    let Ok(log) = plane.audit() else { return };
    let mut usage = USAGE.lock().unwrap_or_else(PoisonError::into_inner);
    let usage = usage.get_or_insert_default();
    let counted = usage.counted.entry(plane.dir().display().to_string()).or_default();
    for entry in &log[(*counted).min(log.len())..] {
        if let Some(test) = test_of(entry) {
            let resource = match entry.subresource.as_str() {
                "" => entry.resource.clone(),
                subresource => format!("{}/{subresource}", entry.resource),
            };
            let [group, verb] = [entry.group.clone(), entry.verb.clone()];
            if matches!(entry.code, 401 | 403) {
                *usage.denials.entry([test, group, resource, verb, entry.code.to_string()]).or_default() += 1;
            } else {
                *usage.uses.entry([group, resource, verb]).or_default() += 1;
            }
        }
    }
    *counted = log.len();
    // Chosen tests are given as arguments: with any of them this is not the whole suite.
    if std::env::args()
        .skip(1)
        .all(|argument| argument.starts_with("--test-threads") || argument.parse::<u16>().is_ok())
    {
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rights-used.json");
        let list = |counts: Vec<(Vec<String>, usize)>| {
            counts.into_iter().map(|(of, count)| json!([of, count])).collect::<Vec<_>>()
        };
        let uses = list(usage.uses.iter().map(|(of, count)| (of.to_vec(), *count)).collect());
        let denials = list(usage.denials.iter().map(|(of, count)| (of.to_vec(), *count)).collect());
        fs::write(file, json!({ "rights": RIGHTS, "uses": uses, "denials": denials }).to_string()).unwrap();
    }
}

/// The test of whose operator this is a request, by its namespace without the random end; `None` if it is somebody else's.
fn test_of(entry: &AuditEntry) -> Option<String> {
    let (namespace, name) = entry.user.strip_prefix("system:serviceaccount:")?.split_once(':')?;
    let (test, _) = namespace.rsplit_once('-')?;
    ["operator", "limited"].contains(&name).then(|| test.to_owned())
}
