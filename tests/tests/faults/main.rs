//! What may go wrong around a program, made to happen: nothing is lost.
//!
//! Each test runs against a RabbitMQ of the tests' own, since most do it some harm. How many messages were
//! handled twice is printed and not judged, but where nothing may be.

mod bombs;
mod braked;
mod calls;
mod cluster;
mod connection;
mod credentials;
mod cuts;
mod day;
mod kept;
mod kill;
mod ledger;
mod load;
mod net;
mod order;
mod outage;
mod poison;
mod pressure;
mod process;
mod queues;
mod retries;
mod shortage;
mod timeouts;
mod worker;

use std::time::Duration;

use ploomby_tests::{OwnRabbit, Proxy};
use tokio::sync::{Mutex, MutexGuard, OnceCell};

/// How long a test waits for what has to happen. It costs nothing where all is well, and a machine that is busy
/// is slow; `comeback` measures how soon things happen.
const LONG: Duration = Duration::from_secs(180);

/// The broker that tests share which leave it as it is.
async fn shared() -> &'static OwnRabbit {
    static SHARED: OnceCell<OwnRabbit> = OnceCell::const_new();

    SHARED.get_or_init(OwnRabbit::start).await
}

/// A broker to disturb, for one test at a time.
async fn disturbed() -> MutexGuard<'static, OwnRabbit> {
    static DISTURBED: OnceCell<Mutex<OwnRabbit>> = OnceCell::const_new();

    let start = async || Mutex::new(OwnRabbit::start().await);
    DISTURBED.get_or_init(start).await.lock().await
}

async fn before(rabbit: &OwnRabbit) -> Proxy {
    Proxy::before((rabbit.host().to_owned(), rabbit.port())).await
}
