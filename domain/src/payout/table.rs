//! A payout as CSV (RFC 4180).

use super::{Account, Payout};
use crate::money::Money;

/// The table; its lines end with CR LF.
#[must_use]
pub fn file(payout: &Payout) -> String {
    let mut table = "end_to_end_id,name,account,amount,currency,reference\r\n".to_owned();
    for item in &payout.items {
        let account = match &item.account {
            Account::Iban { iban, .. } => iban.clone(),
            Account::UsBank { routing_number, account_number, .. } => {
                format!("{routing_number} {account_number}")
            }
            Account::Address { address, .. } => address.clone(),
        };
        let amount = Money { amount_minor: item.amount_minor, currency: payout.currency }.decimal();
        let row = [
            item.end_to_end_id(),
            quoted(item.account.name()),
            quoted(&account),
            amount,
            payout.currency.to_string(),
            quoted(&payout.reference),
        ];
        table.push_str(&row.join(","));
        table.push_str("\r\n");
    }
    table
}

/// A field of CSV. One that a spreadsheet would take for a formula is none.
#[must_use]
pub fn quoted(text: &str) -> String {
    let guard = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    format!("\"{guard}{}\"", text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::super::Item;
    use super::*;
    use crate::money::Currency;

    #[test]
    fn what_strangers_wrote_stays_text() {
        assert_eq!(quoted("a \"b\", c"), "\"a \"\"b\"\", c\"");
        assert_eq!(quoted("=HYPERLINK(1)"), "\"'=HYPERLINK(1)\"");
    }

    #[test]
    fn a_row_a_payment() {
        let account = Account::Address { name: "Ada".to_owned(), address: "ada@example.com".to_owned() };
        let item = Item { withdrawal: Uuid::from_u128(2), amount_minor: 1_999, account };
        let payout = Payout {
            id: Uuid::from_u128(1),
            reference: "May".to_owned(),
            currency: Currency::new("JPY").unwrap(),
            approved_at_ms: 0,
            items: vec![item],
        };
        let expected = "end_to_end_id,name,account,amount,currency,reference\r\n\
            00000000000000000000000000000002,\"Ada\",\"ada@example.com\",1999,JPY,\"May\"\r\n";
        assert_eq!(file(&payout), expected);
    }
}
