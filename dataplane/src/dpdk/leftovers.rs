//! What a killed predecessor leaves behind and would keep a port from starting: UNIX sockets.
//!
//! Memory and configuration files are not left: the EAL is started without any.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;

use super::name::DeviceName;

/// The socket that the device listens on, if it is the listening end.
pub(super) fn socket_path(device: &DeviceName) -> Option<&str> {
    let is = |key, value| device.argument(key) == Some(value);
    match device.driver()? {
        "net_vhost" | "eth_vhost" if !is("client", "1") => device.argument("iface"),
        "net_virtio_user" | "virtio_user" if is("server", "1") => device.argument("path"),
        "net_memif" if is("role", "server") && is("socket-abstract", "no") => {
            device.argument("socket")
        }
        _ => None,
    }
}

/// Removes the socket of a process that is gone: nobody answers on it.
pub(super) fn remove_stale_socket(device: &DeviceName) {
    let Some(path) = socket_path(device) else { return };
    let is_socket = fs::symlink_metadata(path).is_ok_and(|data| data.file_type().is_socket());
    if !is_socket {
        return;
    }
    // Only a socket without a listener refuses; a live one accepts, is busy, or is of another kind.
    if UnixStream::connect(path).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused) {
        let _ = fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn a_socket_that_nobody_listens_on_is_removed_and_a_live_one_stays() {
        let path = std::env::temp_dir().join(format!("adit-leftover-{}", std::process::id()));
        let device: DeviceName = format!("net_vhost0,iface={}", path.display()).parse().unwrap();
        let listener = UnixListener::bind(&path).unwrap();
        remove_stale_socket(&device);
        assert!(path.exists(), "somebody listens");
        drop(listener);
        remove_stale_socket(&device);
        assert!(!path.exists());
    }

    #[test]
    fn the_connecting_end_owns_no_socket() {
        let client: DeviceName = "net_vhost0,iface=/run/x,client=1".parse().unwrap();
        assert_eq!(socket_path(&client), None);
        let guest: DeviceName = "net_virtio_user0,path=/run/x".parse().unwrap();
        assert_eq!(socket_path(&guest), None);
    }
}
