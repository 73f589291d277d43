//! A release's life: from the version before to this one, back, and away.
