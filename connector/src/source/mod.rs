//! The source: placeholder until it lands.
