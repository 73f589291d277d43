//! What may happen in a run.

use std::fmt;

use calendar_sync::{Mode, Visibility};

use crate::world::cronofy::Fragile;
use crate::world::faults::Fault;

/// One thing that happens.
#[derive(Clone, Debug)]
pub enum Happening {
    /// The owner creates or changes an event.
    Put {
        /// Which event.
        number: usize,
        /// In which calendar.
        calendar: usize,
        /// In how many days it begins.
        days: i32,
        /// How long it is: see [`times`](crate::world::calendar::times).
        form: usize,
    },
    /// The owner deletes an event.
    Delete {
        /// Which event.
        number: usize,
    },
    /// Something goes wrong.
    Strikes(Trouble),
    /// What went wrong is over.
    Ends(Trouble),
    /// A person changes the spec.
    Edit(Edit),
}

/// Zones on both sides of the date line, with and without changes of the clocks, and with half an hour.
pub const ZONES: [&str; 5] =
    ["Etc/UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago", "Europe/Berlin", "America/St_Johns"];

/// What a person changes in the spec.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Asks for a full sync.
    Request,
    /// Another mode.
    Mode(Mode),
    /// Another visibility.
    Visibility(Visibility),
    /// Another window.
    Window(i32, i32),
    /// Other calendars: all, the first, the last two.
    Calendars(usize),
    /// With the events that the application manages, or without.
    Managed(bool),
    /// Another base URL.
    CallbackBase(bool),
    /// Another zone, by its place in the table.
    Zone(usize),
}

/// What goes wrong. Most lasts for some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Every notification is lost.
    Lost,
    /// Every notification comes late, in any order.
    Late,
    /// Every notification comes several times.
    Doubled,
    /// Cronofy closes the channel, and tells nobody.
    AutoClosed,
    /// The channel exists and delivers nothing any more.
    Silent,
    /// No callback is reached: no verification, no notification.
    Unreachable,
    /// Every request is refused.
    Away,
    /// Every request is answered with 429, with or without `Retry-After`.
    Limited(Option<u64>),
    /// A step fails like this: one of the next that can.
    Step(Fault),
    /// The process dies and comes back: at rest, or after one of its next steps.
    Crash,
    /// Our clock jumps by so many seconds against Cronofy's.
    Clock(i64),
    /// A second operator works, too.
    TwoDrivers,
    /// The operator is away.
    Down,
    /// The profile of one calendar breaks, is connected again and read anew.
    Profile(Fragile),
    /// Reads of everything show nothing, once.
    Hiccup,
    /// A new channel is not listed for some minutes.
    ListingLag,
    /// The account has as many channels as it may.
    Full,
    /// Access tokens run out.
    TokensExpired,
    /// Somebody removes or edits the output.
    Spoiled(bool),
    /// The store is restored from a copy that was made some days ago.
    Restored,
    /// Pages are counted anew while they are read.
    ShiftingPages,
    /// An event vanishes without a trace.
    Vanished(usize),
    /// Every event is gone without a trace.
    Emptied,
    /// The application itself changes an event.
    OwnWrite(usize),
    /// Reads show changes some seconds after their notification.
    ShownLate,
    /// The subscription is suspended.
    Suspended,
    /// The grant is revoked until a person authorizes anew.
    Revoked,
}

impl Trouble {
    /// Its kind in a word, for the table.
    #[must_use]
    pub fn kind(self) -> &'static str {
        match self {
            Trouble::Lost => "notifications lost",
            Trouble::Late => "notifications late and reordered",
            Trouble::Doubled => "notifications doubled",
            Trouble::AutoClosed => "channel closed in silence",
            Trouble::Silent => "channel silent",
            Trouble::Unreachable => "webhook unreachable",
            Trouble::Away => "Cronofy away",
            Trouble::Limited(_) => "requests limited",
            Trouble::Step(Fault::AnswerLost) => "answer lost",
            Trouble::Step(Fault::Refused(_)) => "request refused or page gone",
            Trouble::Crash => "crash",
            Trouble::Clock(_) => "clock jumped",
            Trouble::TwoDrivers => "two operators at once",
            Trouble::Down => "operator away",
            Trouble::Profile(_) => "profile disconnected",
            Trouble::Hiccup => "everything missing once",
            Trouble::ListingLag => "listing lags",
            Trouble::Full => "account full of channels",
            Trouble::TokensExpired => "tokens expired",
            Trouble::Spoiled(_) => "output spoiled",
            Trouble::Restored => "store restored from a copy",
            Trouble::ShiftingPages => "pages shift",
            Trouble::Vanished(_) => "event vanished",
            Trouble::Emptied => "calendar emptied",
            Trouble::OwnWrite(_) => "own write",
            Trouble::ShownLate => "changes shown late",
            Trouble::Suspended => "suspended",
            Trouble::Revoked => "grant revoked",
        }
    }
}

impl fmt::Display for Happening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Happening::Strikes(trouble) => write!(f, "{}: {trouble:?}", trouble.kind()),
            Happening::Ends(trouble) => write!(f, "over: {}", trouble.kind()),
            other => write!(f, "{other:?}"),
        }
    }
}
