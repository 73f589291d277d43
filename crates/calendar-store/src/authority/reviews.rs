//! Questions to the API server: whose token it is, and whether they may. Nothing is remembered here.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::PostParams;
use kube::{Api, Client};

/// How long one review may take, repetitions of the client included.
pub const REVIEW_LIMIT: Duration = Duration::from_secs(5);

/// There is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReviewError {
    /// The store's own right is missing.
    #[error(
        "the store may not create {0}: bind the ClusterRole system:auth-delegator to its ServiceAccount by a ClusterRoleBinding"
    )]
    Forbidden(&'static str),
    /// No answer in time.
    #[error("the Kubernetes API did not answer within {} s", REVIEW_LIMIT.as_secs())]
    TimedOut,
    /// Too many questions at a time.
    #[error("the Kubernetes API is asked too much at the moment")]
    Busy,
    /// Refused for another reason, or not reached.
    #[error("the Kubernetes API {0}")]
    Failed(String),
}

/// Something that may be allowed: a verb on a part of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Right<'a> {
    pub(super) verb: &'static str,
    pub(super) subresource: &'static str,
    pub(super) namespace: &'a str,
    /// Empty for all of the namespace.
    pub(super) name: &'a str,
}

const GROUP: &str = "cronofy-operator.dev";
const RESOURCE: &str = "calendarsubscriptions";

impl Right<'_> {
    /// The right as one that can be granted.
    pub(super) fn missing(&self, user: &str) -> String {
        let Self { verb, subresource, namespace, name } = self;
        let named = if name.is_empty() { String::new() } else { format!(" named {name}") };
        format!(
            "{user} may not {verb} {RESOURCE}/{subresource}{named} in namespace {namespace}: grant the verb {verb} on the \
             resource {RESOURCE}/{subresource} of API group {GROUP} there"
        )
    }
}

/// Whose token this is, if it is valid for the audience.
pub(super) async fn token(client: Client, audience: &str, token: String) -> Result<Option<UserInfo>, ReviewError> {
    let spec = TokenReviewSpec { token, audiences: Some(vec![audience.to_owned()]) };
    let review = TokenReview { spec, ..TokenReview::default() };
    let create = PostParams::default();
    let answer = call("tokenreviews.authentication.k8s.io", Api::all(client).create(&create, &review)).await?;
    Ok(answer.status.and_then(|status| {
        let meant = status.audiences.iter().flatten().any(|meant| meant == audience);
        status.user.filter(|_| meant && status.authenticated == Some(true))
    }))
}

/// Whether somebody may do this.
pub(super) async fn access(client: Client, user: &UserInfo, right: Right<'_>) -> Result<bool, ReviewError> {
    let UserInfo { username, groups, uid, extra } = user.clone();
    let attributes = ResourceAttributes {
        verb: Some(right.verb.to_owned()),
        group: Some(GROUP.to_owned()),
        resource: Some(RESOURCE.to_owned()),
        subresource: Some(right.subresource.to_owned()),
        namespace: Some(right.namespace.to_owned()),
        name: Some(right.name.to_owned()),
        ..ResourceAttributes::default()
    };
    let resource_attributes = Some(attributes);
    let spec =
        SubjectAccessReviewSpec { user: username, groups, uid, extra, resource_attributes, ..Default::default() };
    let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
    let create = PostParams::default();
    let answer = call("subjectaccessreviews.authorization.k8s.io", Api::all(client).create(&create, &review)).await?;
    Ok(answer.status.is_some_and(|status| status.allowed && status.denied != Some(true)))
}

async fn call<T>(kind: &'static str, request: impl Future<Output = kube::Result<T>>) -> Result<T, ReviewError> {
    match tokio::time::timeout(REVIEW_LIMIT, request).await {
        Ok(Ok(answer)) => Ok(answer),
        // Not its text: an answer to a review has the token in it.
        Ok(Err(kube::Error::Api(status))) => Err(match status.code {
            403 => ReviewError::Forbidden(kind),
            code => ReviewError::Failed(format!("refused with {code}")),
        }),
        Ok(Err(_)) => Err(ReviewError::Failed("is not reached".to_owned())),
        Err(_elapsed) => Err(ReviewError::TimedOut),
    }
}

/// The longest token: a head as a whole has no more.
const LONGEST_TOKEN: usize = 16 * 1024;
/// The API server's clock may be behind by so much, and it has patience with tokens itself.
const LEEWAY: Duration = Duration::from_secs(300);

/// What a token says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// That it is valid for so long still, if it says that. Whether it is true is the API server's to know.
    Perhaps(Option<Duration>),
    /// That it has expired long ago, or it is nothing that can stand in the header (RFC 6750): nobody need be asked.
    Never,
}

/// Looks at a token without asking anybody. One that is no JWT says nothing of itself, and is left to the API server: it may be of a
/// file or a webhook of its.
pub(super) fn said(token: &str, now: Timestamp) -> Said {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    if token.is_empty() || token.len() > LONGEST_TOKEN || !token.bytes().all(plain) {
        return Said::Never;
    }
    let Some(expires) = expires(token) else { return Said::Perhaps(None) };
    let left = expires.saturating_mul(1000).saturating_sub(now.as_millisecond());
    if left < -i64::try_from(LEEWAY.as_millis()).unwrap_or(i64::MAX) {
        return Said::Never;
    }
    Said::Perhaps(Some(Duration::from_millis(u64::try_from(left).unwrap_or_default())))
}

/// Claim `exp` of a JWT.
pub(crate) fn expires(token: &str) -> Option<i64> {
    use base64::Engine as _;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;

    #[derive(serde::Deserialize)]
    struct Claims {
        exp: i64,
    }
    let mut parts = token.split('.');
    let (Some(_), Some(payload), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return None;
    };
    let payload = BASE64_URL_SAFE_NO_PAD.decode(payload).ok()?;
    serde_json::from_slice::<Claims>(&payload).ok().map(|claims| claims.exp)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;

    use super::*;

    #[test]
    fn a_token_says_how_long_it_is_valid_unless_it_is_of_another_kind() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let left = |seconds| Said::Perhaps(Some(Duration::from_secs(seconds)));
        let table = [
            (r#"{"exp":1000007,"sub":"x"}"#, left(7)),
            (r#"{"exp":999999}"#, left(0)),
            (r#"{"exp":999700}"#, left(0)),
            (r#"{"exp":999699}"#, Said::Never),
            (r#"{"exp":0}"#, Said::Never),
            (r#"{"exp":-9223372036854775808}"#, Said::Never),
            (r#"{"sub":"x"}"#, Said::Perhaps(None)),
            (r#"{"exp":"never"}"#, Said::Perhaps(None)),
            ("", Said::Perhaps(None)),
        ];
        for (claims, expected) in table {
            let token = format!("e30.{}.c2lnbmF0dXJl", BASE64_URL_SAFE_NO_PAD.encode(claims));
            assert_eq!(said(&token, now), expected, "{claims}");
        }
        let expired = format!("a.{}", BASE64_URL_SAFE_NO_PAD.encode(r#"{"exp":0}"#));
        for token in [".", "opaque", "a.-.c", &expired, &format!("{expired}.c.d"), "a/+=="] {
            assert_eq!(said(token, now), Said::Perhaps(None), "{token}");
        }
        for token in ["", "a b", "a!", "a\u{e4}", "\0", &"x".repeat(LONGEST_TOKEN + 1)] {
            assert_eq!(said(token, now), Said::Never, "{token}");
        }
    }
}
