//! The programs' allocator, mimalloc, and how long what was freed stays with the
//! process. It is Rust's only: put in the place of C's `malloc` (its feature
//! `override`), libchdb ends with `munmap_chunk(): invalid pointer` at its start.

use std::ffi::c_long;

use libmimalloc_sys::{mi_option_set, mi_option_t};

/// What is freed goes back to the system after this, not after mimalloc's second:
/// batches come and go in megabytes, and pages that come back have to be cleared
/// first, which was a tenth of what attribution took.
const KEPT_MS: c_long = 60_000;

/// mimalloc's own variable, which goes before.
const VARIABLE: &str = "MIMALLOC_PURGE_DELAY";

/// `mi_option_purge_delay` in `mimalloc.h`, of which the bindings have no name.
const PURGE_DELAY: mi_option_t = 15;

/// Keeps what is freed for a while, unless the environment says how long. To be
/// called once, at the start of a program whose allocator is mimalloc.
pub fn keep_freed() {
    if std::env::var_os(VARIABLE).is_none() {
        // SAFETY: setting an option is setting a number; mimalloc only asks that
        // nobody else sets it at the same time.
        unsafe { mi_option_set(PURGE_DELAY, KEPT_MS) }
    }
}

#[cfg(test)]
mod tests {
    use libmimalloc_sys::mi_option_get;

    use super::*;

    #[test]
    fn it_is_the_option_that_is_meant() {
        // Its default: no other option's is near it.
        // SAFETY: as above.
        let get = || unsafe { mi_option_get(PURGE_DELAY) };
        assert_eq!(get(), 1_000, "mimalloc's options are numbered otherwise, or {VARIABLE} is set");
        keep_freed();
        assert_eq!(get(), KEPT_MS);
    }
}
