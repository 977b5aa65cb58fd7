//! Generates the bindings from the headers of the DPDK that is installed, compiles the shim with
//! the same flags, and links the shared libraries. Nothing is downloaded and nothing is vendored.

use std::env;
use std::panic::{UnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// What is bound: every name that the project uses, one by one. A pattern such as `rte_.*` pulls
/// in types that Rust can't express (packed structures with aligned members).
const FUNCTIONS: &[&str] = &[
    // EAL
    "rte_dev_probe",
    "rte_dev_remove",
    "rte_eal_get_runtime_dir",
    "rte_eal_has_hugepages",
    "rte_eal_init",
    "rte_log_cur_msg_loglevel",
    "rte_log_set_global_level",
    "rte_strerror",
    "rte_thread_register",
    "rte_thread_unregister",
    "rte_version",
    // Mempools and mbufs
    "rte_mempool_avail_count",
    "rte_mempool_in_use_count",
    "rte_pktmbuf_free_bulk",
    "rte_pktmbuf_pool_create",
    // Ethernet devices
    "rte_eth_allmulticast_enable",
    "rte_eth_dev_adjust_nb_rx_tx_desc",
    "rte_eth_dev_close",
    "rte_eth_dev_configure",
    "rte_eth_dev_default_mac_addr_set",
    "rte_eth_dev_get_mtu",
    "rte_eth_dev_get_name_by_port",
    "rte_eth_dev_get_port_by_name",
    "rte_eth_dev_info_get",
    "rte_eth_dev_rss_hash_conf_get",
    "rte_eth_dev_set_link_up",
    "rte_eth_dev_set_mtu",
    "rte_eth_dev_socket_id",
    "rte_eth_dev_start",
    "rte_eth_dev_stop",
    "rte_eth_macaddr_get",
    "rte_eth_promiscuous_enable",
    "rte_eth_rx_queue_setup",
    "rte_eth_stats_get",
    "rte_eth_stats_reset",
    "rte_eth_tx_queue_setup",
    "rte_eth_xstats_get",
    "rte_eth_xstats_get_names",
    // Yardsticks for the tables of the packet path
    "rte_fib_add",
    "rte_fib_create",
    "rte_fib_delete",
    "rte_fib_free",
    "rte_fib_lookup_bulk",
    "rte_fib_select_lookup",
    "rte_fib6_add",
    "rte_fib6_create",
    "rte_fib6_delete",
    "rte_fib6_free",
    "rte_fib6_lookup_bulk",
    "rte_fib6_select_lookup",
    "rte_hash_add_key",
    "rte_hash_add_key_data",
    "rte_hash_add_key_with_hash",
    "rte_hash_count",
    "rte_hash_create",
    "rte_hash_del_key",
    "rte_hash_free",
    "rte_hash_hash",
    "rte_hash_lookup",
    "rte_hash_lookup_bulk",
    "rte_hash_lookup_bulk_data",
    "rte_hash_lookup_data",
    "rte_hash_lookup_with_hash",
    "rte_ip_frag_free_death_row",
    "rte_ip_frag_table_create",
    "rte_ip_frag_table_destroy",
    "rte_ipv4_frag_reassemble_packet",
    "rte_ipv4_fragment_packet",
    "rte_ipv6_frag_reassemble_packet",
    "rte_ipv6_fragment_packet",
    // The shim
    "shim_.*",
];

const TYPES: &[&str] = &[
    "rte_eth_conf",
    "rte_eth_dev_info",
    "rte_eth_rss_conf",
    "rte_eth_rx_mq_mode",
    "rte_eth_stats",
    "rte_eth_xstat",
    "rte_eth_xstat_name",
    "rte_ether_addr",
    "rte_fib_conf",
    "rte_fib6_conf",
    "rte_hash_parameters",
    "rte_ip_frag_death_row",
];

const CONSTANTS: &[&str] = &[
    "SHIM_.*",
    "RTE_LOG_(EMERG|ALERT|CRIT|ERR|WARNING|NOTICE|INFO|DEBUG)",
    "RTE_ETH_NAME_MAX_LEN",
    "RTE_MAX_ETHPORTS",
    "RTE_MAX_LCORE",
];

/// Types whose fields nobody reads through the bindings: mbuf fields move between releases and are
/// reached by the offsets that the shim exports; headers are parsed in Rust.
const OPAQUE: &[&str] =
    &["rte_mbuf", "rte_mempool", "rte_device", "rte_ipv4_hdr", "rte_ipv6_hdr", "rte_ipv6_.*_ext.*"];

const NO_DPDK: &str = "libdpdk 22.11 or later was not found by pkg-config. \
    Debian and Ubuntu: apt install libdpdk-dev libclang-dev pkg-config";
const NO_CLANG: &str = "bindgen needs libclang to read the headers of DPDK. \
    Debian and Ubuntu: apt install libclang-dev";

fn main() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            println!("cargo::error={reason}");
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<(), String> {
    for path in ["build.rs", "shim/shim.h", "shim/shim.c"] {
        println!("cargo::rerun-if-changed={path}");
    }
    println!("cargo::rerun-if-env-changed=PKG_CONFIG_PATH");

    let version = pkg_config(&["--modversion"])?.join(" ");
    pkg_config(&["--atleast-version=22.11"])
        .map_err(|_| format!("libdpdk {version} is too old. {NO_DPDK}"))?;
    // The words as they are: `-include rte_config.h` and `-march` decide the layout of structures
    // and the instructions that the inline functions may use.
    let flags = pkg_config(&["--cflags"])?;
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);

    compile_shim(&flags)?;
    generate_bindings(&flags, &out.join("bindings.rs"))?;
    for word in pkg_config(&["--libs"])? {
        if let Some(library) = word.strip_prefix("-l") {
            println!("cargo::rustc-link-lib=dylib={library}");
        } else if let Some(folder) = word.strip_prefix("-L") {
            println!("cargo::rustc-link-search=native={folder}");
        }
    }
    Ok(())
}

fn pkg_config(arguments: &[&str]) -> Result<Vec<String>, String> {
    let program = env::var_os("PKG_CONFIG").unwrap_or_else(|| "pkg-config".into());
    let output = Command::new(program).args(arguments).arg("libdpdk").output();
    match output {
        Ok(output) if output.status.success() => {
            let text = String::from_utf8_lossy(&output.stdout);
            Ok(text.split_whitespace().map(str::to_owned).collect())
        }
        _ => Err(NO_DPDK.to_owned()),
    }
}

fn compile_shim(flags: &[String]) -> Result<(), String> {
    let mut shim = cc::Build::new();
    // The shim holds the inline receive and transmit functions: without optimisation they cost
    // several times as much, and tests run them too.
    shim.file("shim/shim.c").opt_level(3).std("gnu11").warnings(false);
    for flag in flags {
        shim.flag(flag);
    }
    shim.try_compile("dpdk_shim").map_err(|error| format!("the shim does not compile: {error}"))
}

fn generate_bindings(flags: &[String], path: &Path) -> Result<(), String> {
    quietly(bindgen::clang_version).ok_or(NO_CLANG)?;
    let mut builder = bindgen::Builder::default()
        .header("shim/shim.h")
        .clang_args(flags)
        .use_core()
        .derive_default(true)
        .generate_comments(false)
        .layout_tests(true)
        .prepend_enum_name(false)
        .wrap_unsafe_ops(true);
    for name in FUNCTIONS {
        builder = builder.allowlist_function(name);
    }
    for name in TYPES {
        builder = builder.allowlist_type(name);
    }
    for name in CONSTANTS {
        builder = builder.allowlist_var(name);
    }
    for name in OPAQUE {
        builder = builder.opaque_type(name);
    }
    let bindings = builder.generate().map_err(|error| format!("bindgen: {error}"))?;
    bindings.write_to_file(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// clang-sys panics when it finds no libclang; the person needs the name of the package instead.
fn quietly<T>(ask: impl FnOnce() -> T + UnwindSafe) -> Option<T> {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let answer = catch_unwind(ask).ok();
    std::panic::set_hook(hook);
    answer
}
