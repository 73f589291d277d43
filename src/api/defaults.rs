//! The values that count where a field is absent. The schema sets none of them: what the user wrote stays as it is.

use std::time::Duration;

use super::{
    CalendarSubscription, CalendarSubscriptionSpec, CronofyApplicationSpec, DataCenter, DeletionPolicy, Interval, Mode,
    StoreKind, Visibility,
};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;

impl CalendarSubscriptionSpec {
    /// `spec.onlyManaged`.
    #[must_use]
    pub fn only_managed(&self) -> bool {
        self.only_managed.unwrap_or(false)
    }

    /// `spec.includeManaged`.
    #[must_use]
    pub fn include_managed(&self) -> bool {
        self.include_managed.unwrap_or(true)
    }

    /// `spec.timeZone`.
    #[must_use]
    pub fn time_zone(&self) -> &str {
        self.time_zone.as_deref().unwrap_or("Etc/UTC")
    }

    /// `spec.window`: days before and after today.
    #[must_use]
    pub fn window_days(&self) -> (i32, i32) {
        let window = self.window.as_ref();
        (
            window.and_then(|window| window.past_days).unwrap_or(42),
            window.and_then(|window| window.future_days).unwrap_or(201),
        )
    }

    /// `spec.mode`.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode.unwrap_or_default()
    }

    /// `spec.visibility`.
    #[must_use]
    pub fn visibility(&self) -> Visibility {
        self.visibility.unwrap_or_default()
    }

    /// `spec.store.type`.
    #[must_use]
    pub fn store_kind(&self) -> StoreKind {
        self.store.as_ref().and_then(|store| store.kind).unwrap_or_default()
    }

    /// `spec.store.remote.url`.
    #[must_use]
    pub fn store_url(&self) -> Option<&str> {
        self.store.as_ref()?.remote.as_ref()?.url.as_deref()
    }

    /// `spec.deletionPolicy`.
    #[must_use]
    pub fn deletion_policy(&self) -> DeletionPolicy {
        self.deletion_policy.unwrap_or_default()
    }

    /// `spec.suspend`.
    #[must_use]
    pub fn suspended(&self) -> bool {
        self.suspend.unwrap_or(false)
    }

    /// `spec.intervals.fullSync`.
    #[must_use]
    pub fn full_sync_interval(&self) -> Duration {
        self.interval(|intervals| intervals.full_sync, 168 * HOUR)
    }

    /// `spec.intervals.horizonSweep`.
    #[must_use]
    pub fn horizon_sweep_interval(&self) -> Duration {
        self.interval(|intervals| intervals.horizon_sweep, 24 * HOUR)
    }

    /// `spec.intervals.channelCheck`.
    #[must_use]
    pub fn channel_check_interval(&self) -> Duration {
        self.interval(|intervals| intervals.channel_check, 12 * HOUR)
    }

    /// `spec.intervals.poll`.
    #[must_use]
    pub fn poll_interval(&self) -> Duration {
        self.interval(|intervals| intervals.poll, 15 * MINUTE)
    }

    /// `spec.intervals.fallbackPoll`.
    #[must_use]
    pub fn fallback_poll_interval(&self) -> Duration {
        self.interval(|intervals| intervals.fallback_poll, 5 * MINUTE)
    }

    /// `spec.intervals.channelRenewal`.
    #[must_use]
    pub fn channel_renewal_interval(&self) -> Duration {
        self.interval(|intervals| intervals.channel_renewal, 720 * HOUR)
    }

    fn interval(&self, field: impl Fn(&super::Intervals) -> Option<Interval>, seconds: u64) -> Duration {
        self.intervals.as_ref().and_then(field).map_or(Duration::from_secs(seconds), Interval::duration)
    }
}

impl CalendarSubscription {
    /// `spec.store.name`. In a calendar store an output has the subscription's name.
    #[must_use]
    pub fn store_name(&self) -> String {
        if self.spec.store_kind() == StoreKind::Remote {
            return self.metadata.name.clone().unwrap_or_default();
        }
        let named = self.spec.store.as_ref().and_then(|store| store.name.clone());
        named.unwrap_or_else(|| format!("{}-events", self.metadata.name.as_deref().unwrap_or_default()))
    }
}

impl CronofyApplicationSpec {
    /// `spec.dataCenter`.
    #[must_use]
    pub fn data_center(&self) -> DataCenter {
        self.data_center.unwrap_or_default()
    }

    /// `spec.limits`: requests in a second and in a minute.
    #[must_use]
    pub fn request_limits(&self) -> (i32, i32) {
        let limits = self.limits.as_ref();
        (
            limits.and_then(|limits| limits.requests_per_second).unwrap_or(50),
            limits.and_then(|limits| limits.requests_per_minute).unwrap_or(500),
        )
    }
}

impl DataCenter {
    /// The code, as in the spec.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            DataCenter::Us => "us",
            DataCenter::Uk => "uk",
            DataCenter::De => "de",
            DataCenter::Au => "au",
            DataCenter::Ca => "ca",
            DataCenter::Sg => "sg",
        }
    }
}
