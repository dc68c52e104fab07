//! A payment: nothing to look for, for it says who is paid.

use super::memory::Memory;
use super::{Sparse, Work};
use crate::command::{Basis, Credit, CreditKind, Decision};
use crate::event::payment_key;
use crate::payment::{Payment, decide};

impl<M: Memory> Work<'_, M> {
    /// Decides a payment. Its event is named by its number, so it is the only
    /// one; settlement knows its id for ever.
    pub(super) fn payment(&mut self, event: &Sparse, payment: &Payment) {
        let (decision, basis) = decide(payment, event.workspace, event.at_ms, self.rules);
        self.emit(credit(event, payment, decision, basis));
    }

    /// Puts one aside whose number came with another payload before.
    pub(super) fn clashing_payment(&mut self, event: &Sparse, payment: &Payment) {
        self.emit(credit(event, payment, Decision::Quarantined, Basis::direct(None, None)));
    }
}

fn credit(event: &Sparse, payment: &Payment, decision: Decision, basis: Basis) -> Credit {
    Credit {
        event: event.id,
        leg: 0,
        legs: 1,
        order: Some(payment_key(event.workspace, &payment.payment_id)),
        kind: CreditKind::Payment(payment.purpose),
        workspace: event.workspace,
        at_ms: event.at_ms,
        visitor: event.visitor,
        payload_hash: event.payload_hash.clone(),
        campaign: None,
        creator: Some(payment.payee),
        link: None,
        click: None,
        value: Some(payment.value),
        decision,
        limits: None,
        basis,
    }
}
