//! Pure state machine that keeps a copy of a calendar right.
