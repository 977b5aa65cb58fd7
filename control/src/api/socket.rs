//! The UNIX socket: who may listen on it, who may write to it.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// Owner and group may use the appliance.
const SOCKET_MODE: u32 = 0o660;

/// A folder that is made for the socket lets everyone look, and only the owner change it.
const FOLDER_MODE: u32 = 0o755;

/// Why the API can't listen.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Another process answers on the socket.
    #[error(
        "{}: another appliance listens here already; give each its own api.socket",
        path.display()
    )]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// Something that is no socket has the name.
    #[error("{}: exists and is not a socket; it stays untouched", path.display())]
    NotASocket {
        /// What was found.
        path: PathBuf,
    },
    /// The system refused.
    #[error("{}: {what}: {error}", path.display())]
    System {
        /// The socket, or its folder.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// What the system says.
        error: io::Error,
    },
}

impl SocketError {
    fn system(path: &Path, what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::System { path: path.to_owned(), what, error }
    }
}

/// A socket that is listened on; dropping it removes its name.
#[derive(Debug)]
pub(super) struct Listener {
    /// What connections are taken from.
    pub(super) listener: UnixListener,
    /// Its name in the file system, and the inode that name stood for.
    pub(super) name: Name,
}

/// The name of a socket of ours.
#[derive(Debug)]
pub(super) struct Name {
    path: PathBuf,
    inode: Option<u64>,
}

impl Drop for Name {
    fn drop(&mut self) {
        // Somebody may have put another socket in its place.
        let is_ours =
            fs::symlink_metadata(&self.path).is_ok_and(|now| Some(now.ino()) == self.inode);
        if is_ours {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Listener {
    /// Listens on `path`, making its folder where there is none, and removing what a process that is
    /// gone has left.
    pub(super) fn bind(path: &Path) -> Result<Self, SocketError> {
        make_folder(path)?;
        remove_stale(path)?;
        // The socket appears with its mode: nobody slips in between `bind` and `chmod`.
        let folder = path.parent().unwrap_or(Path::new(""));
        let hidden = folder.join(format!(".adit-{}.sock", std::process::id()));
        let _ = fs::remove_file(&hidden);
        let listener = UnixListener::bind(&hidden).map_err(SocketError::system(path, "listen"))?;
        let placed = fs::set_permissions(&hidden, fs::Permissions::from_mode(SOCKET_MODE))
            .and_then(|()| fs::hard_link(&hidden, path));
        let _ = fs::remove_file(&hidden);
        placed.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => SocketError::InUse { path: path.to_owned() },
            _ => SocketError::System { path: path.to_owned(), what: "listen", error },
        })?;
        listener.set_nonblocking(true).map_err(SocketError::system(path, "listen"))?;
        let inode = fs::symlink_metadata(path).ok().map(|data| data.ino());
        Ok(Self { listener, name: Name { path: path.to_owned(), inode } })
    }
}

fn make_folder(path: &Path) -> Result<(), SocketError> {
    let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) else {
        return Ok(());
    };
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(FOLDER_MODE);
    builder.create(folder).map_err(SocketError::system(folder, "make the folder of the socket"))
}

fn remove_stale(path: &Path) -> Result<(), SocketError> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(SocketError::system(path, "look at the socket")(error)),
    };
    if !metadata.file_type().is_socket() {
        return Err(SocketError::NotASocket { path: path.to_owned() });
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(SocketError::system(path, "remove the stale socket"))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Ok(_) => Err(SocketError::InUse { path: path.to_owned() }),
        Err(error) => Err(SocketError::system(path, "look who listens")(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owner_and_group_may_use_it_and_it_goes_with_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er/adit.sock");
        let listener = Listener::bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o660);
        UnixStream::connect(&path).unwrap();
        assert_eq!(
            fs::read_dir(path.parent().unwrap()).unwrap().count(),
            1,
            "nothing else is left"
        );
        drop(listener);
        assert!(!path.exists());
    }

    #[test]
    fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("adit.sock");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "a socket outlives its process");
        let live = Listener::bind(&path).unwrap();
        let error = Listener::bind(&path).unwrap_err();
        assert!(matches!(error, SocketError::InUse { .. }), "{error}");
        UnixStream::connect(&path).unwrap();
        drop(live);
    }

    #[test]
    fn other_files_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("adit.sock");
        fs::write(&path, "precious").unwrap();
        let error = Listener::bind(&path).unwrap_err();
        assert!(matches!(error, SocketError::NotASocket { .. }), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[test]
    fn a_socket_that_somebody_else_put_in_its_place_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("adit.sock");
        let first = Listener::bind(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let second = Listener::bind(&path).unwrap();
        drop(first);
        UnixStream::connect(&path).unwrap();
        drop(second);
    }
}
