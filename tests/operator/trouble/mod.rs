//! Trouble, cause by cause: each has its own word and one line that names the remedy, costs no request more than its tries,
//! takes nothing from the copy, and is over by itself when its cause is.

mod answers;
pub mod bench;
mod limits;
mod references;
mod refusals;

use self::bench::{Bench, Requests, Told, Trial, registered, sum, times};
