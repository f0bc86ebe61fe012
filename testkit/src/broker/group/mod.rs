//! Groups with members.

pub(crate) mod assignor;
pub(crate) mod classic;
pub(crate) mod consumer;
pub(crate) mod embedded;
pub(crate) mod exchange;
pub(crate) mod migration;
pub(crate) mod reconcile;
