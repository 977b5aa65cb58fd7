//! Threads that DPDK knows: only they have a cache in the pool.

use core::marker::PhantomData;

use dpdk_sys as sys;

use super::error::{EalError, last_error};

/// This thread is known to DPDK as long as the value lives.
#[derive(Debug)]
pub struct Registration {
    lcore: u32,
    // Registration belongs to the thread that asked for it.
    _not_send: PhantomData<*const ()>,
}

impl Registration {
    /// The number that DPDK gave the thread.
    pub fn lcore(&self) -> u32 {
        self.lcore
    }
}

/// Registers the calling thread, which must be pinned already, and after the rim has started.
pub fn register_thread() -> Result<Registration, EalError> {
    // SAFETY: works on the calling thread alone; fails where the EAL is not there.
    let result = unsafe { sys::rte_thread_register() };
    if result < 0 {
        return Err(EalError::Thread { limit: sys::RTE_MAX_LCORE, reason: last_error() });
    }
    // SAFETY: reads a thread-local number.
    let lcore = unsafe { sys::shim_lcore_id() };
    Ok(Registration { lcore, _not_send: PhantomData })
}

impl Drop for Registration {
    fn drop(&mut self) {
        // SAFETY: this thread was registered, and the type can't leave it.
        unsafe { sys::rte_thread_unregister() };
    }
}
