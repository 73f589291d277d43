//! Types of conditions, and the reasons they give.

/// Types of conditions.
pub mod condition {
    /// Sums up: the copy is complete and current, and push works.
    pub const READY: &str = "Ready";
    /// Application and account can be used.
    pub const CREDENTIALS_VALID: &str = "CredentialsValid";
    /// The push channel exists and Cronofy has reached it.
    pub const CHANNEL_ACTIVE: &str = "ChannelActive";
    /// The output equals the last complete read.
    pub const SYNCED: &str = "Synced";
    /// The operator is at work or tries again by itself.
    pub const RECONCILING: &str = "Reconciling";
    /// Nothing goes on until a person acts.
    pub const STALLED: &str = "Stalled";
}
