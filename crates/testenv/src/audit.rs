//! Who asked the API server for what.

use std::{
    collections::{BTreeMap, HashSet},
    fs::File,
    io::{ErrorKind, Read, Seek, SeekFrom},
    ops::Deref,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use jiff::Timestamp;
use serde::Deserialize;

use crate::Error;

/// All requests at metadata level, but for those of the API server to itself and for our polling of its readiness.
pub(crate) const POLICY: &str = r#"apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  users: ["system:apiserver"]
- level: None
  nonResourceURLs: ["/readyz*", "/livez*"]
- level: Metadata
"#;

/// One request to the API server.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditEntry {
    /// Who asked; with impersonation, the user acted as. `system:serviceaccount:<namespace>:<name>` for a
    /// `ServiceAccount`.
    pub user: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`; the HTTP method in lower
    /// case where no resource is named.
    pub verb: String,
    /// API group, empty for the core group.
    pub group: String,
    /// Plural name, empty where no resource is named.
    pub resource: String,
    /// Such as `status`, or empty.
    pub subresource: String,
    /// Empty for requests to no namespace or to all.
    pub namespace: String,
    /// Empty for lists, and for creates (the name is in the body).
    pub name: String,
    /// HTTP status of the answer. 0 if it ended without one.
    pub code: u16,
    /// Path and query.
    pub request_uri: String,
    /// What the client calls itself.
    pub user_agent: String,
    /// When the API server received the request.
    pub time: Timestamp,
}

/// Requests in the order in which they were answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditLog(Vec<AuditEntry>);

impl AuditLog {
    /// Only the requests for which `keep` holds.
    #[must_use]
    pub fn filter(&self, keep: impl Fn(&AuditEntry) -> bool) -> Self {
        Self(self.0.iter().filter(|entry| keep(entry)).cloned().collect())
    }

    /// Only those of this user.
    #[must_use]
    pub fn user(&self, user: &str) -> Self {
        self.filter(|entry| entry.user == user)
    }

    /// Only those of this `ServiceAccount`.
    #[must_use]
    pub fn service_account(&self, namespace: &str, name: &str) -> Self {
        self.user(&format!("system:serviceaccount:{namespace}:{name}"))
    }

    /// Only those with this verb.
    #[must_use]
    pub fn verb(&self, verb: &str) -> Self {
        self.filter(|entry| entry.verb == verb)
    }

    /// Only those to this resource (plural name), its subresources included.
    #[must_use]
    pub fn resource(&self, resource: &str) -> Self {
        self.filter(|entry| entry.resource == resource)
    }

    /// Only those to this namespace.
    #[must_use]
    pub fn namespace(&self, namespace: &str) -> Self {
        self.filter(|entry| entry.namespace == namespace)
    }

    /// Only those after the first `count`: pass an earlier log's `len()` to see what came since.
    #[must_use]
    pub fn since(&self, count: usize) -> Self {
        Self(self.0.iter().skip(count).cloned().collect())
    }

    /// Number of requests by user, verb and resource, the latter as `resource` or `resource/subresource`.
    #[must_use]
    pub fn count(&self) -> BTreeMap<(String, String, String), usize> {
        let mut counts = BTreeMap::new();
        for entry in &self.0 {
            let resource = match entry.subresource.as_str() {
                "" => entry.resource.clone(),
                subresource => format!("{}/{subresource}", entry.resource),
            };
            *counts.entry((entry.user.clone(), entry.verb.clone(), resource)).or_default() += 1;
        }
        counts
    }
}

impl Deref for AuditLog {
    type Target = [AuditEntry];

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl IntoIterator for AuditLog {
    type Item = AuditEntry;
    type IntoIter = std::vec::IntoIter<AuditEntry>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// Follows the file the API server appends to.
#[derive(Debug)]
pub(crate) struct AuditTail {
    path: PathBuf,
    read: Mutex<ReadSoFar>,
}

#[derive(Debug, Default)]
struct ReadSoFar {
    /// End of the last complete line.
    offset: u64,
    /// A watch is logged when it begins and again when it ends: the second line is not another request.
    ids: HashSet<String>,
    entries: Vec<AuditEntry>,
}

impl AuditTail {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, read: Mutex::default() }
    }

    pub(crate) fn read(&self) -> Result<AuditLog, Error> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bytes = Vec::new();
        match File::open(&self.path) {
            Ok(mut file) => file
                .seek(SeekFrom::Start(read.offset))
                .and_then(|_| file.read_to_end(&mut bytes))
                .map(drop)
                .map_err(Error::io("read the audit log"))?,
            // The API server makes it with the first request.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io("open the audit log")(error)),
        }
        read.append(&bytes)?;
        Ok(AuditLog(read.entries.clone()))
    }
}

impl ReadSoFar {
    /// Takes in the complete lines. A line that is still being written is left for the next time.
    fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        for line in bytes.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n")) {
            let event: Event = serde_json::from_slice(line)
                .map_err(|source| Error::Audit { line: String::from_utf8_lossy(line).trim_end().to_owned(), source })?;
            self.offset += line.len() as u64;
            if self.ids.insert(event.audit_id.clone()) {
                self.entries.push(event.into());
            }
        }
        Ok(())
    }
}

/// The part we read of an event in `audit.k8s.io/v1`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    #[serde(rename = "auditID")]
    audit_id: String,
    #[serde(rename = "requestURI")]
    request_uri: String,
    verb: String,
    user: User,
    impersonated_user: Option<User>,
    #[serde(default)]
    user_agent: String,
    #[serde(default)]
    object_ref: ObjectRef,
    #[serde(default)]
    response_status: ResponseStatus,
    request_received_timestamp: Timestamp,
}

#[derive(Deserialize)]
struct User {
    #[serde(default)]
    username: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ObjectRef {
    api_group: String,
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Default, Deserialize)]
struct ResponseStatus {
    #[serde(default)]
    code: u16,
}

impl From<Event> for AuditEntry {
    fn from(event: Event) -> Self {
        let ObjectRef { api_group, resource, subresource, namespace, name } = event.object_ref;
        Self {
            user: event.impersonated_user.unwrap_or(event.user).username,
            verb: event.verb,
            group: api_group,
            resource,
            subresource,
            namespace,
            name,
            code: event.response_status.code,
            request_uri: event.request_uri,
            user_agent: event.user_agent,
            time: event.request_received_timestamp,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(id: &str, stage: &str, verb: &str) -> String {
        format!(
            r#"{{"auditID":"{id}","stage":"{stage}","requestURI":"/api/v1/namespaces/n/configmaps","verb":"{verb}","user":{{"username":"admin"}},"impersonatedUser":{{"username":"jo"}},"objectRef":{{"resource":"configmaps","namespace":"n"}},"responseStatus":{{"code":200}},"requestReceivedTimestamp":"2026-01-02T03:04:05.678901Z"}}"#
        ) + "\n"
    }

    #[test]
    fn a_line_that_is_still_being_written_is_read_once_it_is_complete() {
        let text = line("1", "ResponseComplete", "get") + &line("2", "ResponseComplete", "create");
        let cut = text.len() - 10;
        let mut read = ReadSoFar::default();

        read.append(&text.as_bytes()[..cut]).unwrap();
        assert_eq!(read.entries.iter().map(|entry| entry.verb.as_str()).collect::<Vec<_>>(), ["get"]);

        let offset = usize::try_from(read.offset).unwrap();
        read.append(&text.as_bytes()[offset..]).unwrap();
        assert_eq!(read.entries.iter().map(|entry| entry.verb.as_str()).collect::<Vec<_>>(), ["get", "create"]);
    }

    #[test]
    fn a_watch_counts_once_though_it_is_logged_at_its_begin_and_its_end() {
        let mut read = ReadSoFar::default();
        read.append((line("1", "ResponseStarted", "watch") + &line("1", "ResponseComplete", "watch")).as_bytes())
            .unwrap();
        assert_eq!(read.entries.len(), 1);
    }

    #[test]
    fn a_request_counts_for_the_user_that_was_acted_as() {
        let mut read = ReadSoFar::default();
        read.append(line("1", "ResponseComplete", "list").as_bytes()).unwrap();
        let counts = AuditLog(read.entries).count();
        assert_eq!(counts, BTreeMap::from([(("jo".into(), "list".into(), "configmaps".into()), 1)]));
    }
}
