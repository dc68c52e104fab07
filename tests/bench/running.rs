//! A process that is measured, or that helps to; ended when dropped.

use std::process::{Child, Command, Stdio};

use anyhow::Context as _;

/// A process, running.
pub(crate) struct Running(Child);

impl Running {
    /// Starts it. Nothing is written to it.
    pub(crate) fn start(command: &mut Command) -> anyhow::Result<Self> {
        Ok(Self(command.stdin(Stdio::null()).spawn().context("cannot start a process")?))
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}
