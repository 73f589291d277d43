//! Simulator of the Cronofy calendar API with faults and a virtual clock.
