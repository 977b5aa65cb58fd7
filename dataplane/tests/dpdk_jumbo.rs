//! Jumbo frames stay in one segment: buffers are as large as the largest port's frames.
#![cfg(feature = "dpdk")]

mod rim;

#[test]
fn a_jumbo_frame_arrives_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vhost").display().to_string();
    let devices = [format!("net_vhost0,iface={path}"), format!("net_virtio_user0,path={path}")];
    let mut config = rim::config(&devices.each_ref().map(String::as_str), 1);
    config.mbufs = 2048;
    for port in &mut config.ports {
        port.mtu = 9000;
    }
    let (rim, mut workers) = rim::Rim::start(&config).unwrap();
    assert!(rim.ports().iter().all(|port| port.notices().is_empty()), "{:?}", rim.ports());
    rim::wait_for_links(&rim);
    assert!(rim.pool().data_room() > 128 + 9014 + 100);
    let lens = [60, 1515, 4000, 9014];
    rim::registered(|| {
        rim::assert_passes_sizes(&mut workers, 0, 1, &lens);
        rim::assert_passes_sizes(&mut workers, 1, 0, &lens);
    });
    assert!(rim.ports().iter().all(|port| port.stats().receive_too_long == 0));
    rim::drain(&mut workers);
    drop(workers);
    assert!(rim.close(), "every buffer is back");
}
