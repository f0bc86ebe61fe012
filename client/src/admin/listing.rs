//! What is listed by asking every broker.
use std::collections::HashMap;

use super::PerItem;
use crate::error::{Error, Result};
use crate::types::BrokerId;

/// What the brokers of a cluster list, each its own; and which of them could not be asked.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Listing<T> {
    /// What was found, in no order. It is not everything when there are errors.
    pub valid: Vec<T>,
    /// The brokers that did not answer in time, or refused.
    pub errors: HashMap<BrokerId, Error>,
}

impl<T> Listing<T> {
    /// An error when no broker has answered.
    pub(super) fn of(answers: PerItem<BrokerId, Vec<T>>) -> Result<Self> {
        let mut listing = Self { valid: Vec::new(), errors: HashMap::new() };
        let brokers = answers.len();
        for (broker, answer) in answers {
            match answer {
                Ok(listed) => listing.valid.extend(listed),
                Err(error) => {
                    listing.errors.insert(broker, error);
                }
            }
        }
        if listing.errors.len() == brokers { listing.all().map(Self::complete) } else { Ok(listing) }
    }

    fn complete(valid: Vec<T>) -> Self {
        Self { valid, errors: HashMap::new() }
    }

    /// Everything, or the error of a broker that could not be asked.
    ///
    /// # Errors
    /// One of [`errors`](Self::errors): the one of the broker with the lowest number.
    pub fn all(self) -> Result<Vec<T>> {
        match self.errors.into_iter().min_by_key(|(broker, _)| *broker) {
            Some((_, error)) => Err(error),
            None => Ok(self.valid),
        }
    }
}

#[cfg(test)]
mod tests {
    use ottla_protocol::{ApiKey, ErrorCode};

    use super::*;

    fn refused(code: ErrorCode) -> Result<Vec<u8>> {
        Err(Error::broker(code, ApiKey::ListGroups, "all groups"))
    }

    #[test]
    fn one_that_fails_hides_no_other_and_all_of_them_are_an_error() {
        let one = PerItem::from([
            (BrokerId(1), Ok(vec![1, 2])),
            (BrokerId(3), refused(ErrorCode::NotCoordinator)),
            (BrokerId(2), refused(ErrorCode::ClusterAuthorizationFailed)),
        ]);
        let listing = Listing::of(one).unwrap();
        assert_eq!((&listing.valid[..], listing.errors.len()), (&[1, 2][..], 2));
        assert_eq!(listing.all().unwrap_err().code(), Some(ErrorCode::ClusterAuthorizationFailed));
        let none = PerItem::from([(BrokerId(1), refused(ErrorCode::ClusterAuthorizationFailed))]);
        assert_eq!(Listing::of(none).unwrap_err().code(), Some(ErrorCode::ClusterAuthorizationFailed));
        assert_eq!(Listing::<u8>::of(PerItem::new()).unwrap().all().unwrap(), [0_u8; 0]);
    }
}
