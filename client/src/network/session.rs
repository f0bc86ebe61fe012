//! The session of an authentication, on a connection that has to authenticate again before it ends (KIP-368).
//!
//! It happens in band: nothing new is written from when it begins, answers to what was written before still come and go
//! to who asked, and the queue goes on when it is done. So no request is lost and none overtakes another.
use std::time::Instant;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::authenticate::{Authenticate, Next, Refused};

/// When to authenticate again, and how far that has come.
pub(crate) struct Session {
    due: Instant,
    stage: Stage,
}

enum Stage {
    Quiet,
    /// The mechanism computes, or fetches a token.
    Working(BoxFuture<'static, Result<Next, Refused>>),
    /// The broker's answer is awaited.
    Waiting(Box<Authenticate>),
}

impl Session {
    pub(crate) fn new(due: Instant) -> Self {
        Self { due, stage: Stage::Quiet }
    }

    /// Whether it is time, at the first request after the moment that was chosen.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        matches!(self.stage, Stage::Quiet) && now >= self.due
    }

    /// Whether the queue has to wait.
    pub(crate) fn holds_back(&self) -> bool {
        !matches!(self.stage, Stage::Quiet)
    }

    pub(crate) fn work(&mut self, work: BoxFuture<'static, Result<Next, Refused>>) {
        self.stage = Stage::Working(work);
    }

    /// What the mechanism is at.
    pub(crate) fn working(&mut self) -> Option<&mut BoxFuture<'static, Result<Next, Refused>>> {
        match &mut self.stage {
            Stage::Working(work) => Some(work),
            _ => None,
        }
    }

    pub(crate) fn wait(&mut self, authenticate: Authenticate) {
        self.stage = Stage::Waiting(Box::new(authenticate));
    }

    /// The broker's answer came; what is it for?
    pub(crate) fn answered(&mut self, frame: Bytes) -> Option<(Authenticate, Bytes)> {
        match std::mem::replace(&mut self.stage, Stage::Quiet) {
            Stage::Waiting(authenticate) => Some((*authenticate, frame)),
            _ => None,
        }
    }

    pub(crate) fn renewed(&mut self, due: Instant) {
        *self = Self::new(due);
    }
}
