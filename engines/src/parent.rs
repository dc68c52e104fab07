//! How an engine child notices that the program which started it is gone.

use std::io::Read as _;

/// Calls `gone` once standard input reaches its end, which is what a child
/// sees when its parent exits, is killed, or closes the pipe to stop it.
///
/// A thread rather than a task: a blocking read of standard input cannot be
/// cancelled, and must not keep a runtime from shutting down.
pub fn on_parent_exit(gone: impl FnOnce() + Send + 'static) {
    std::thread::spawn(move || {
        let mut sink = [0_u8; 64];
        let mut stdin = std::io::stdin();
        while matches!(stdin.read(&mut sink), Ok(n) if n > 0) {}
        gone();
    });
}
