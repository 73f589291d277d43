//! Typed client for the Cronofy calendar API and its webhook signatures.
