//! DPDK's own forwarding tables, as the yardstick that ours are measured and checked against.

use std::ffi::{CStr, CString, c_int};
use std::ptr::NonNull;

use adit_dataplane::fib::{Rib4, Rib6};
use dpdk_sys as sys;

/// Which code of DPDK's a lookup runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// What needs no more than the machine's baseline.
    Scalar,
    /// AVX-512; not on every machine.
    Avx512,
}

/// Starts DPDK without hugepages and devices, with `megabytes` of memory; once in a process.
pub fn start_eal(megabytes: u32) -> Result<(), String> {
    let words = format!(
        "adit --no-huge --no-pci --no-telemetry -m {megabytes} --lcores 0 --log-level error \
         --force-max-simd-bitwidth 512"
    );
    let words: Vec<CString> =
        words.split(' ').map(CString::new).collect::<Result<_, _>>().map_err(|e| e.to_string())?;
    let mut pointers: Vec<_> = words.iter().map(|word| word.as_ptr().cast_mut()).collect();
    let count = c_int::try_from(pointers.len()).map_err(|e| e.to_string())?;
    // SAFETY: rte_eal_init reads `count` strings, which live through the call and, being leaked
    // below, as long as the process, should it keep one.
    let used = unsafe { sys::rte_eal_init(count, pointers.as_mut_ptr()) };
    std::mem::forget(words);
    if used < 0 { Err("rte_eal_init failed; it said why".into()) } else { Ok(()) }
}

fn socket_any() -> c_int {
    -1
}

/// `rte_fib` of type DIR-24-8 with four bytes a next hop.
#[derive(Debug)]
pub struct RteFib4(NonNull<sys::rte_fib>);

impl RteFib4 {
    /// With all routes of `rib`; `tbl8_count` groups for prefixes longer than /24.
    pub fn build(name: &CStr, rib: &Rib4, tbl8_count: u32) -> Result<Self, String> {
        let mut conf = sys::rte_fib_conf {
            type_: sys::RTE_FIB_DIR24_8,
            max_routes: c_int::try_from(rib.len() * 2 + 16).map_err(|e| e.to_string())?,
            ..Default::default()
        };
        conf.__bindgen_anon_1.dir24_8.nh_sz = sys::RTE_FIB_DIR24_8_4B;
        conf.__bindgen_anon_1.dir24_8.num_tbl8 = tbl8_count;
        // SAFETY: the EAL runs, or the call fails; name and configuration live through the call.
        let fib = unsafe { sys::rte_fib_create(name.as_ptr(), socket_any(), &raw mut conf) };
        let fib = Self(NonNull::new(fib).ok_or("rte_fib_create failed")?);
        for (prefix, next_hop) in rib.iter() {
            let address = u32::from(prefix.network());
            fib.add(address, prefix.prefix_len(), next_hop.index() as u64)?;
        }
        Ok(fib)
    }

    /// Adds or replaces a route.
    pub fn add(&self, address: u32, len: u8, next_hop: u64) -> Result<(), String> {
        // SAFETY: the table lives as long as `self`, which no other thread has.
        let result = unsafe { sys::rte_fib_add(self.0.as_ptr(), address, len, next_hop) };
        if result == 0 { Ok(()) } else { Err(format!("rte_fib_add: {result}")) }
    }

    /// Removes a route.
    pub fn delete(&self, address: u32, len: u8) -> Result<(), String> {
        // SAFETY: the table lives as long as `self`, which no other thread has.
        let result = unsafe { sys::rte_fib_delete(self.0.as_ptr(), address, len) };
        if result == 0 { Ok(()) } else { Err(format!("rte_fib_delete: {result}")) }
    }

    /// Whether lookups can run so on this machine; from now on they do.
    pub fn select(&self, method: Method) -> bool {
        let kind = match method {
            Method::Scalar => sys::RTE_FIB_LOOKUP_DIR24_8_SCALAR_MACRO,
            Method::Avx512 => sys::RTE_FIB_LOOKUP_DIR24_8_VECTOR_AVX512,
        };
        // SAFETY: the table lives as long as `self`, which no other thread has.
        unsafe { sys::rte_fib_select_lookup(self.0.as_ptr(), kind) == 0 }
    }

    /// The raw next hops of addresses in host order, 0 without a route; as many as the shorter of
    /// the two slices has.
    #[inline]
    pub fn lookup(&self, addresses: &[u32], next_hops: &mut [u64]) {
        let count = c_int::try_from(addresses.len().min(next_hops.len())).unwrap_or(0);
        let ips = addresses.as_ptr().cast_mut();
        // SAFETY: `count` addresses are read, through a pointer that is not const for no reason,
        // and as many next hops written.
        unsafe {
            sys::rte_fib_lookup_bulk(self.0.as_ptr(), ips, next_hops.as_mut_ptr(), count);
        }
    }
}

impl Drop for RteFib4 {
    fn drop(&mut self) {
        // SAFETY: made by rte_fib_create, and nobody else has it.
        unsafe { sys::rte_fib_free(self.0.as_ptr()) }
    }
}

/// `rte_fib6` of type trie with four bytes a next hop. Addresses are in network order.
#[derive(Debug)]
pub struct RteFib6(NonNull<sys::rte_fib6>);

impl RteFib6 {
    /// With all routes of `rib`; `tbl8_count` groups for prefixes longer than /24.
    pub fn build(name: &CStr, rib: &Rib6, tbl8_count: u32) -> Result<Self, String> {
        let mut conf = sys::rte_fib6_conf {
            type_: sys::RTE_FIB6_TRIE,
            max_routes: c_int::try_from(rib.len() * 2 + 16).map_err(|e| e.to_string())?,
            ..Default::default()
        };
        conf.__bindgen_anon_1.trie.nh_sz = sys::RTE_FIB6_TRIE_4B;
        conf.__bindgen_anon_1.trie.num_tbl8 = tbl8_count;
        // SAFETY: the EAL runs, or the call fails; name and configuration live through the call.
        let fib = unsafe { sys::rte_fib6_create(name.as_ptr(), socket_any(), &raw mut conf) };
        let fib = Self(NonNull::new(fib).ok_or("rte_fib6_create failed")?);
        for (prefix, next_hop) in rib.iter() {
            let address = prefix.network().octets();
            fib.add(address, prefix.prefix_len(), next_hop.index() as u64)?;
        }
        Ok(fib)
    }

    /// Adds or replaces a route.
    pub fn add(&self, address: [u8; 16], len: u8, next_hop: u64) -> Result<(), String> {
        let (fib, ip) = (self.0.as_ptr(), address.as_ptr());
        // SAFETY: the table lives as long as `self`, which no other thread has; 16 bytes are read.
        let result = unsafe { sys::rte_fib6_add(fib, ip.cast(), len, next_hop) };
        if result == 0 { Ok(()) } else { Err(format!("rte_fib6_add: {result}")) }
    }

    /// Removes a route.
    pub fn delete(&self, address: [u8; 16], len: u8) -> Result<(), String> {
        let (fib, ip) = (self.0.as_ptr(), address.as_ptr());
        // SAFETY: the table lives as long as `self`, which no other thread has; 16 bytes are read.
        let result = unsafe { sys::rte_fib6_delete(fib, ip.cast(), len) };
        if result == 0 { Ok(()) } else { Err(format!("rte_fib6_delete: {result}")) }
    }

    /// Whether lookups can run so on this machine; from now on they do.
    pub fn select(&self, method: Method) -> bool {
        let kind = match method {
            Method::Scalar => sys::RTE_FIB6_LOOKUP_TRIE_SCALAR,
            Method::Avx512 => sys::RTE_FIB6_LOOKUP_TRIE_VECTOR_AVX512,
        };
        // SAFETY: the table lives as long as `self`, which no other thread has.
        unsafe { sys::rte_fib6_select_lookup(self.0.as_ptr(), kind) == 0 }
    }

    /// The raw next hops of addresses, 0 without a route; as many as the shorter of the two slices
    /// has.
    #[inline]
    pub fn lookup(&self, addresses: &[[u8; 16]], next_hops: &mut [u64]) {
        let count = c_int::try_from(addresses.len().min(next_hops.len())).unwrap_or(0);
        let ips = addresses.as_ptr().cast_mut();
        // SAFETY: `count` addresses are read, through a pointer that is not const for no reason,
        // and as many next hops written.
        unsafe {
            sys::rte_fib6_lookup_bulk(self.0.as_ptr(), ips.cast(), next_hops.as_mut_ptr(), count);
        }
    }
}

impl Drop for RteFib6 {
    fn drop(&mut self) {
        // SAFETY: made by rte_fib6_create, and nobody else has it.
        unsafe { sys::rte_fib6_free(self.0.as_ptr()) }
    }
}
