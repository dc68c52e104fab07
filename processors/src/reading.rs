//! Reading ahead: polls and parses, while another thread works on what was read
//! before.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use runtime::consumer::{Batch, BatchLimits, Consumer};
use runtime::shutdown::CancellationToken;
use serde::de::DeserializeOwned;
use tokio::runtime::Handle;

use crate::ProcessorError;
use crate::dead_letter::DeadLetter;

/// How to read.
pub(crate) struct Reading {
    /// The topic that is polled.
    pub(crate) topic: String,
    /// Where unreadable messages go.
    pub(crate) dead_letter: DeadLetter,
    /// Messages in one batch.
    pub(crate) limits: BatchLimits,
    /// How many batches may wait for the work.
    pub(crate) batches_ahead: usize,
    /// The runtime that Kafka's producer lives on.
    pub(crate) handle: Handle,
    /// Ends the reading.
    pub(crate) stop: CancellationToken,
}

/// A batch that was read.
pub(crate) struct Read<T> {
    /// Where it comes from; its messages are parsed and gone.
    pub(crate) batch: Batch,
    /// They, with their offsets; without those that could not be read.
    pub(crate) messages: Vec<(i64, T)>,
}

impl Reading {
    /// Reads on this thread until told to stop, and works on another, named
    /// `name`, until there is nothing more to work on. `check` is asked after
    /// each poll whether to go on.
    ///
    /// # Errors
    /// What ended the work; else what ended the reading.
    pub(crate) fn run<T: DeserializeOwned + Send>(
        &self,
        consumer: &Consumer,
        name: &str,
        check: impl Fn() -> Result<(), ProcessorError>,
        work: impl FnOnce(&Receiver<Read<T>>) -> Result<(), ProcessorError> + Send,
    ) -> Result<(), ProcessorError> {
        let (sender, receiver) = sync_channel(self.batches_ahead);
        let ended = CancellationToken::new();
        std::thread::scope(|scope| {
            let has_ended = ended.clone();
            let working = std::thread::Builder::new().name(name.to_owned()).spawn_scoped(scope, move || {
                // However the work ends, nobody takes what is read then.
                let _ended = has_ended.drop_guard();
                work(&receiver)
            });
            let working = working.expect("a thread can be started");
            let read = self.read(consumer, &check, &sender, &ended);
            drop(sender);
            // What stopped the work says more than that it stopped.
            working.join().expect("no panic").and(read)
        })
    }

    /// Until told to stop, or until nobody takes it any more.
    fn read<T: DeserializeOwned>(
        &self,
        consumer: &Consumer,
        check: impl Fn() -> Result<(), ProcessorError>,
        sender: &SyncSender<Read<T>>,
        ended: &CancellationToken,
    ) -> Result<(), ProcessorError> {
        while !self.stop.is_cancelled() && !ended.is_cancelled() {
            let batches = consumer.poll(Duration::from_millis(200), self.limits)?;
            check()?;
            for mut batch in batches {
                let messages = self.dead_letter.read_batch(&self.topic, &batch, &self.handle, &self.stop);
                let Some(messages) = messages else { return Ok(()) };
                batch.messages = Vec::new();
                if sender.send(Read { batch, messages }).is_err() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}
