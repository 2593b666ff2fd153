use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Line, LineConnection};

/// A line over a connection, that is opened by the first message.
#[derive(Debug)]
pub(in crate::rabbit) struct LazyLine {
    connection: Arc<LineConnection>,
    line: Mutex<Option<Line>>,
}

impl LazyLine {
    pub(in crate::rabbit) fn new(connection: Arc<LineConnection>) -> Self {
        Self {
            connection,
            line: Mutex::default(),
        }
    }

    pub(in crate::rabbit) fn connection(&self) -> &LineConnection {
        &self.connection
    }

    /// The line, which there is from now on.
    pub(in crate::rabbit) fn get(&self) -> Line {
        let mut line = self.lock();
        line.get_or_insert_with(|| Line::of(self.connection.clone()))
            .clone()
    }

    /// Publishes what the line was given, and closes the connection, unless others use it.
    pub(in crate::rabbit) async fn close(&self) {
        let line = self.lock().take();
        match line {
            Some(line) => line.close().await,
            None => self.connection.close_unless_used().await,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Line>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
