//! Raw bindings to the DPDK that is installed on this machine (22.11 and later), made when the
//! crate is built. They are as unsafe as C is; `adit-dataplane` wraps what it uses in `dpdk/`.
//!
//! Names that start with `shim_` and `SHIM_` are the few lines of C in `shim/`: a symbol or a
//! constant for what the headers only define inline, compute in a macro, or move between releases.

#[allow(
    clippy::all,
    clippy::pedantic,
    clippy::multiple_unsafe_ops_per_block,
    clippy::undocumented_unsafe_blocks,
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unreachable_pub,
    unsafe_op_in_unsafe_fn,
    unused,
    reason = "generated from DPDK's headers, whose names are C's"
)]
mod bindings {
    include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
}

pub use bindings::*;

#[cfg(test)]
mod tests {
    use super::*;
    use core::ffi::CStr;

    #[test]
    fn the_library_that_is_linked_is_22_11_or_later() {
        // SAFETY: needs no EAL.
        let version = unsafe { rte_version() };
        // SAFETY: it is a string constant.
        let version = unsafe { CStr::from_ptr(version) }.to_str().unwrap();
        let number = version.trim_start_matches("DPDK ");
        let mut parts = number.split('.').map(|part| part.parse::<u32>().unwrap());
        assert!((parts.next(), parts.next()) >= (Some(22), Some(11)), "{version}");
    }

    #[test]
    fn what_receiving_reads_of_an_mbuf_is_in_its_first_cache_line() {
        for offset in [
            SHIM_MBUF_BUF_ADDR,
            SHIM_MBUF_DATA_OFF,
            SHIM_MBUF_NB_SEGS,
            SHIM_MBUF_OL_FLAGS,
            SHIM_MBUF_PACKET_TYPE,
            SHIM_MBUF_PKT_LEN,
            SHIM_MBUF_DATA_LEN,
            SHIM_MBUF_BUF_LEN,
        ] {
            assert!(offset < 64, "{offset}");
        }
        assert_eq!(SHIM_RSS_LEVEL_INNERMOST.count_ones(), 1);
        assert_eq!(SHIM_RSS_LEVEL_INNERMOST & SHIM_RSS_LEVEL_MASK, SHIM_RSS_LEVEL_INNERMOST);
    }
}
