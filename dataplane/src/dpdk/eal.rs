//! DPDK's environment: once per process.

use core::ffi::{CStr, c_char};
use core::sync::atomic::{AtomicBool, Ordering};
use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt as _;

use dpdk_sys as sys;

use super::error::{EalError, last_error};
use super::{diagnosis, log};

/// Whether to use hugepages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hugepages {
    /// When enough of them are free; ordinary memory otherwise.
    #[default]
    Auto,
    /// Refuse to start without.
    Required,
    /// Ordinary memory.
    Off,
}

/// The environment, initialised. It lives as long as the process: `rte_eal_cleanup` of 22.11 unmaps
/// memory that its own interrupt thread still reads, and packets may be held anywhere.
pub(super) struct Eal {
    _private: (),
}

/// DPDK can be initialised once in a process, even when that failed or has ended.
static STARTED: AtomicBool = AtomicBool::new(false);

impl Eal {
    /// Initialises DPDK with these words. The calling thread becomes its control thread.
    pub(super) fn start(words: &[String]) -> Result<Self, EalError> {
        if STARTED.swap(true, Ordering::AcqRel) {
            return Err(EalError::Twice);
        }
        log::clear();
        log::capture();
        let texts = words.iter().map(|word| CString::new(word.as_str()));
        let texts = texts.collect::<Result<Vec<_>, _>>().map_err(|_| EalError::Words)?;
        // The EAL permutes the words and keeps pointers into them for as long as it lives, so
        // they are leaked.
        let mut pointers: Vec<*mut c_char> = texts.into_iter().map(CString::into_raw).collect();
        let count = i32::try_from(pointers.len()).map_err(|_| EalError::Words)?;
        pointers.push(core::ptr::null_mut());
        // SAFETY: `count` pointers to strings that are never freed, and a null behind them, as a
        // main function gets them; called once in a process.
        let result = unsafe { sys::rte_eal_init(count, pointers.leak().as_mut_ptr()) };
        let reason = last_error();
        remove_empty_folder();
        if result < 0 {
            return Err(diagnosis::of_eal(reason, words));
        }
        Ok(Self { _private: () })
    }

    /// The version of the library, such as `DPDK 22.11.11`.
    pub(super) fn version() -> String {
        // SAFETY: takes nothing, returns a string constant.
        let version = unsafe { sys::rte_version() };
        // SAFETY: terminated, and never freed.
        unsafe { CStr::from_ptr(version) }.to_string_lossy().into_owned()
    }

    /// Whether memory is in hugepages.
    #[expect(clippy::unused_self, reason = "only an initialised environment knows")]
    pub(super) fn has_hugepages(&self) -> bool {
        // SAFETY: reads a number.
        unsafe { sys::rte_eal_has_hugepages() != 0 }
    }
}

/// DPDK makes a folder for files that it is told not to write; it would stay for good.
fn remove_empty_folder() {
    // SAFETY: takes nothing, returns a string in static memory.
    let path = unsafe { sys::rte_eal_get_runtime_dir() };
    // SAFETY: terminated, and never freed.
    let path = unsafe { CStr::from_ptr(path) };
    // Where `eal-args` ask for files, the folder is not empty and is left alone.
    let _ = std::fs::remove_dir(OsStr::from_bytes(path.to_bytes()));
}
