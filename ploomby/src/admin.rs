//! The admin server, by the feature `admin`: a page, probes and metrics over HTTP.
//!
//! [`App::admin`] opens a port of its own, by default on the loopback interface, as `run --admin 127.0.0.1:9090` of the
//! [command line](crate::App::main) does. A program that serves HTTP anyway [nests](Admin::router) it.
//!
//! | path | says | for |
//! |---|---|---|
//! | `/live` | 200 while the runtime answers and no consumer has ended by itself; a broker that is down is no reason | anybody |
//! | `/ready` | 200 while all queues are consumed; 503 at the start, while something does not work, and once the program was told to stop | anybody |
//! | `/health` | the same with its reasons, in JSON: [`HealthInfo`](crate::ops::HealthInfo) | a [reader](Role::Reader) |
//! | `/metrics` | [`Metrics::prometheus`](crate::Metrics::prometheus) | a reader |
//! | `/` | the page | a reader, and more for those who may do more |
//!
//! The rest are the page's own paths, which may change.
//!
//! The feature takes `metrics` with it: the page shows what is counted.

use std::sync::Arc;

use axum::Router;
use tokio::sync::watch;

pub use self::access::{Access, AccessError, Role, Visitor};
use self::{door::Door, settings::Settings, site::Site};
use crate::{
    app::{App, Life, Running},
    ops::Ops,
};

mod access;
mod activity;
mod acts;
mod assets;
mod control;
mod depths;
mod door;
mod editing;
mod events;
mod guard;
mod letter;
mod letters;
mod moving;
mod numbers;
mod overview;
mod page;
mod probes;
mod rates;
mod routes;
mod server;
mod settings;
mod site;
#[cfg(test)]
mod tests;
mod text;
mod tokens;
mod walk;
mod which;

/// The page, the probes and the metrics of a program that runs, to be nested in a router of `axum`.
///
/// Cheap to clone. It knows the program for as long as that runs, and says afterwards that it has ended.
#[derive(Clone, Debug)]
pub struct Admin(Arc<Site>);

impl App {
    /// Serves the page, the probes and the metrics at this address, from before the program connects until it has ended:
    /// `127.0.0.1:9090`, or `9090` for the same. An address that others reach needs an [`Access`], given by
    /// [`admin_access`](Self::admin_access): without it nobody but the machine itself is served.
    ///
    /// ```standalone_crate
    /// use ploomby::{App, Queue};
    ///
    /// #[ploomby::handler("charge")]
    /// async fn charge(cents: u64) {
    ///     println!("{cents} charged");
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> anyhow::Result<()> {
    /// let running = App::new("memory://admin-example")
    ///     .queue(Queue::new("billing"))
    ///     .admin("127.0.0.1:0")
    ///     .start()
    ///     .await?;
    /// println!("see http://{}", running.admin_address().expect("it has one"));
    /// running.shut_down().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Whoever is logged in on the machine then has the role [`Admin`](Role::Admin), as have all its users.
    ///
    /// # Errors
    ///
    /// The start fails by [`Error::Admin`](crate::Error::Admin): an address that cannot be had, one that needs an
    /// [`Access`], or an [`Access`] without its token.
    pub fn admin(mut self, address: impl Into<String>) -> Self {
        let mut settings = self.admin_settings();
        settings.address = Some(address.into());
        self.said.insert(settings);
        self.attend = Some(server::attend);
        self
    }

    /// Who is let in by the port of [`admin`](Self::admin), or that of `run --admin`.
    ///
    /// ```
    /// use ploomby::{App, Queue, admin::{Access, Role}};
    ///
    /// let app = App::new("amqp://localhost")
    ///     .queue(Queue::new("billing"))
    ///     .admin("0.0.0.0:9090")
    ///     .admin_access(Access::token_file("/run/secrets/admin-token", Role::Admin));
    /// ```
    pub fn admin_access(mut self, access: Access) -> Self {
        let mut settings = self.admin_settings();
        settings.access = Some(access);
        self.said.insert(settings);
        self
    }

    fn admin_settings(&self) -> Settings {
        self.said.get::<Settings>().cloned().unwrap_or_default()
    }
}

impl Running {
    /// Where the port of [`App::admin`] is.
    pub fn admin_address(&self) -> Option<std::net::SocketAddr> {
        self.attendant_address()
    }
}

impl Admin {
    /// That of this program.
    ///
    /// # Errors
    ///
    /// An [`Access`] without its token.
    pub fn new(running: &Running, access: Access) -> Result<Self, AccessError> {
        let ops = Ops::of_described(running.described());
        Ok(Self::of(ops, running.life(), Door::guarded(access)?))
    }

    fn of(ops: Ops, life: watch::Receiver<Life>, door: Door) -> Self {
        Self(Arc::new(Site::new(ops, life, door)))
    }

    /// Stops what is being done with letters, waits until the letter that is on its way has got there and what is held is
    /// back, and closes the connection of the page unless a router of it is still there.
    ///
    /// A program that nests the page calls it at its end, so that the runtime does not end before. The port of
    /// [`App::admin`] does so by itself.
    pub async fn close(self) {
        for act in self.0.acts.all() {
            act.stop.cancel();
        }
        self.0.tasks.close();
        self.0.tasks.wait().await;
        if let Some(site) = Arc::into_inner(self.0) {
            site.ops.close().await;
        }
    }

    /// The routes, to be nested at any path, or served as they are. Each keeps its own guard: what a layer of the program
    /// lets through still has to show an [`Access`].
    ///
    /// ```no_run
    /// use std::net::SocketAddr;
    /// use axum::{Router, routing::get};
    /// use ploomby::{App, Queue, admin::{Access, Admin, Role}};
    ///
    /// # async fn example() -> anyhow::Result<()> {
    /// let running = App::new("amqp://localhost").queue(Queue::new("billing")).start().await?;
    /// let admin = Admin::new(&running, Access::token_env("ADMIN_TOKEN", Role::Admin))?;
    /// let router = Router::new()
    ///     .route("/", get(|| async { "a shop" }))
    ///     .nest("/admin", admin.router());
    ///
    /// let listener = tokio::net::TcpListener::bind("0.0.0.0:8080").await?;
    /// let service = router.into_make_service_with_connect_info::<SocketAddr>();
    /// let serving = tokio::spawn(async { axum::serve(listener, service).await });
    /// running.until_signal().await?;
    /// serving.abort();
    /// admin.close().await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn router(&self) -> Router {
        routes::router(&self.0)
    }
}
