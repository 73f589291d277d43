//! What of a step's outcome is counted.

use calendar_sync::{Outcome, Purpose, Step};

use crate::metrics::{self, ChannelOperation, Metrics, SweepKind};

/// Counts a step. `purpose` is that of the read under way.
pub fn tally(metrics: &Metrics, step: &Step, outcome: &Outcome, purpose: Option<Purpose>) {
    let result = if failed(outcome) { metrics::Outcome::Failure } else { metrics::Outcome::Success };
    match step {
        Step::ListChannels => metrics.channel_operation(ChannelOperation::List, result),
        Step::CreateChannel { .. } => metrics.channel_operation(ChannelOperation::Create, result),
        // One that is gone already is closed.
        Step::CloseChannel { .. } if matches!(outcome, Outcome::NotFound) => {
            metrics.channel_operation(ChannelOperation::Close, metrics::Outcome::Success);
        }
        Step::CloseChannel { .. } => metrics.channel_operation(ChannelOperation::Close, result),
        // A poll that shows nothing new ends with its last page.
        Step::Commit(_) if purpose == Some(Purpose::Poll) && !failed(outcome) => {}
        Step::Commit(_) => {
            if let Some(kind) = purpose.and_then(kind) {
                metrics.sweep(kind, result);
            }
        }
        Step::ReadEvents(request) if failed(outcome) || ends_poll(request.purpose, outcome) => {
            if let Some(kind) = kind(request.purpose) {
                metrics.sweep(kind, result);
            }
        }
        Step::Load
        | Step::RefreshToken
        | Step::CheckAccount
        | Step::ReadEvents(_)
        | Step::Erase
        | Step::Record(_)
        | Step::Wait { .. }
        | Step::Stop(_)
        | Step::Finish => {}
    }
}

fn ends_poll(purpose: Purpose, outcome: &Outcome) -> bool {
    purpose == Purpose::Poll && matches!(outcome, Outcome::Page { more: false, .. })
}

/// The regular work that a read is part of.
fn kind(purpose: Purpose) -> Option<SweepKind> {
    match purpose {
        Purpose::Full => Some(SweepKind::FullSync),
        Purpose::Sweep => Some(SweepKind::HorizonSweep),
        Purpose::Check => Some(SweepKind::ChannelCheck),
        Purpose::Poll => Some(SweepKind::Poll),
        Purpose::Initial | Purpose::Delta => None,
    }
}

fn failed(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Failed(_) | Outcome::Unauthorized | Outcome::NotFound | Outcome::HeadMoved => true,
        Outcome::Loaded { .. }
        | Outcome::TokenReady
        | Outcome::Account(_)
        | Outcome::Channels(_)
        | Outcome::ChannelCreated { .. }
        | Outcome::ChannelClosed { .. }
        | Outcome::Page { .. }
        | Outcome::Committed { .. }
        | Outcome::Erased
        | Outcome::Recorded(_) => false,
    }
}
