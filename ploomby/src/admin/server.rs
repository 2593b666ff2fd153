//! The port of a program that serves nothing else.

use std::net::SocketAddr;

use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tracing::{error, info};

use super::{Admin, settings::Settings};
use crate::app::{App, Attendant, Error, Life};

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
        let serving = axum::serve(listener, service).with_graceful_shutdown(ended(life));
        let work = async move {
            if let Err(error) = serving.await {
                error!(%error, "the admin port is closed");
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
