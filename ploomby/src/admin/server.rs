//! The port of a program that serves nothing else.

use std::{net::SocketAddr, time::Duration};

use futures_util::future::BoxFuture;
use tokio::{sync::watch, time::sleep};
use tracing::{error, info};

use super::{Admin, settings::Settings};
use crate::app::{App, Attendant, Error, Life};

/// How long requests that have begun are waited for after the program has ended: some never come whole.
const LAST_REQUESTS: Duration = Duration::from_secs(2);

/// Opens the port, and serves it until the program has ended.
pub(super) fn attend(
    app: &mut App,
    life: watch::Receiver<Life>,
) -> BoxFuture<'static, Result<Attendant, Error>> {
    let settings = app.said.remove::<Settings>().unwrap_or_default();
    let ops = app.ops_beside();
    Box::pin(async move {
        let unusable = |error| Error::Admin(Box::new(error));
        let (listener, door) = settings.open().await.map_err(unusable)?;
        let address = listener.local_addr();
        let address = address.map_err(|error| Error::Admin(Box::new(error)))?;
        let admin = Admin::of(ops?, life.clone(), door);
        info!("the admin page is at http://{address}");
        let service = admin
            .router()
            .into_make_service_with_connect_info::<SocketAddr>();
        let serving = axum::serve(listener, service).with_graceful_shutdown(ended(life.clone()));
        let late = async {
            ended(life).await;
            sleep(LAST_REQUESTS).await;
        };
        let work = async move {
            // cancel safety: what is dropped accepts no more, and the answers of 2 s were sent
            tokio::select! {
                served = serving.into_future() => {
                    if let Err(error) = served {
                        error!(%error, "the admin port is closed");
                    }
                }
                () = late => {}
            }
            admin.close().await;
        };
        Ok(Attendant {
            address,
            work: Box::pin(work),
        })
    })
}

/// Waits until the program is over.
async fn ended(mut life: watch::Receiver<Life>) {
    // an error means that the program was dropped
    let _ = life.wait_for(|life| matches!(life, Life::Ended)).await;
}
