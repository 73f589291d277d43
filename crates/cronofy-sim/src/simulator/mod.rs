//! What the handle can do, by who does it: the owner of an account (`account`), whoever changes calendars (`calendar`), Cronofy's
//! push (`push`), the network and Cronofy's servers (`trouble`), and time.

mod account;
mod calendar;
mod push;
mod time;
mod trouble;

pub use self::calendar::Series;
pub use self::trouble::Restart;
