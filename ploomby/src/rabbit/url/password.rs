use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use thiserror::Error;

use crate::rabbit::credentials::Ask;

/// What a user logs in with.
#[derive(Clone)]
pub(in crate::rabbit) enum Password {
    Given(String),
    /// Read at each login, so that a new password is used by the next connection.
    File(PathBuf),
    /// Asked for at each login, together with the user.
    Asked(Ask),
}

impl Password {
    /// The password as it is now, if it needs no asking. White space at the end of a file does not belong to it: nearly every tool ends a
    /// file with a line break.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or holds no password.
    pub(in crate::rabbit) fn read(&self) -> Result<String, PasswordError> {
        let file = match self {
            Self::Given(password) => return Ok(password.clone()),
            Self::File(file) => file,
            Self::Asked(_) => return Ok(String::new()),
        };
        let mut password =
            fs::read_to_string(file).map_err(|cause| PasswordError::new(file, cause))?;
        password.truncate(password.trim_end().len());
        match password.is_empty() {
            true => Err(PasswordError::Empty { file: file.clone() }),
            false => Ok(password),
        }
    }
}

/// Why there is no password to log in with. It shows nothing of a file.
#[derive(Debug, Error)]
pub(in crate::rabbit) enum PasswordError {
    #[error("the parameter `password_file` names `{}`, which cannot be read: {cause}", .file.display())]
    Unreadable { file: PathBuf, cause: io::Error },
    #[error("the parameter `password_file` names `{}`, which is empty", .file.display())]
    Empty { file: PathBuf },
    #[error("there are no credentials: {0}")]
    NotGiven(String),
    #[error("there are no credentials after {0:?}")]
    Late(Duration),
}

impl PasswordError {
    fn new(file: &Path, cause: io::Error) -> Self {
        Self::Unreadable {
            file: file.to_owned(),
            cause,
        }
    }
}
