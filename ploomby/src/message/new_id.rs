use std::time::{SystemTime, UNIX_EPOCH};

use uuid::Uuid;

/// A UUID of version 7: unique by its random bits among those of the same millisecond.
pub(crate) fn new_id() -> Uuid {
    let mut random = [0; 10];
    fastrand::fill(&mut random);
    uuid::Builder::from_unix_timestamp_millis(milliseconds_since_1970(), &random).into_uuid()
}

/// As AMQP's own timestamps count seconds.
pub(crate) fn milliseconds_since_1970() -> u64 {
    let since_1970 = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)
}
