//! Nothing: what this crate is for lies in its benches.
