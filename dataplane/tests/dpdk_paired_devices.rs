//! Ports that are each other's peer inside one process: a memif pair, and vhost with virtio-user.
#![cfg(feature = "dpdk")]

mod rim;

use std::os::unix::net::UnixListener;

#[test]
fn memif_and_vhost_pass_packets_and_give_every_buffer_back() {
    let folder = tempfile::tempdir().unwrap();
    let memif = folder.path().join("memif").display().to_string();
    let vhost = folder.path().join("vhost").display().to_string();
    // A killed process leaves its sockets behind; they must not be in the way.
    for stale in [&memif, &vhost] {
        drop(UnixListener::bind(stale).unwrap());
    }
    let devices = [
        format!("net_memif0,role=server,id=0,socket={memif},socket-abstract=no"),
        format!("net_memif1,role=client,id=0,socket={memif},socket-abstract=no"),
        format!("net_vhost0,iface={vhost}"),
        format!("net_virtio_user0,path={vhost}"),
    ];
    let devices = devices.each_ref().map(String::as_str);
    let (rim, mut workers) = rim::start(&devices, 1);
    rim::wait_for_links(&rim);
    rim::registered(|| {
        rim::assert_passes(&mut workers, 0, 1);
        rim::assert_passes(&mut workers, 1, 0);
        rim::assert_passes(&mut workers, 2, 3);
        rim::assert_passes(&mut workers, 3, 2);
    });
    rim::drain(&mut workers);
    drop(workers);
    assert!(rim.close(), "with the ports closed every buffer is back");
}
