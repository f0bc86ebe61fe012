//! Groups with members.

pub(crate) mod classic;
pub(crate) mod exchange;
