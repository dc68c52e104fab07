//! The ledger as a table, one line an entry. No field has a comma in it.

use std::io::Write;

use store::export::LineRow;

use super::export::Books;
use domain::money::Money;

/// The columns' names.
pub(super) fn head(out: &mut dyn Write) -> anyhow::Result<()> {
    writeln!(out, "transaction_id,at_ms,kind,source_id,leg,line,account,amount_minor,amount,currency")?;
    Ok(())
}

/// One transaction: credits above zero, as in the books.
pub(super) fn transaction(out: &mut dyn Write, books: &Books, lines: &[LineRow]) -> anyhow::Result<()> {
    for line in lines {
        let (account, _) = books.posting(line)?;
        let money = Money { amount_minor: line.amount_minor, currency: account.currency };
        writeln!(
            out,
            "{},{},{},{},{},{},{},{},{},{}",
            line.transaction_id,
            line.at_ms,
            line.kind,
            line.source_id,
            line.leg,
            line.line,
            account.path.join(":"),
            line.amount_minor,
            money.decimal(),
            money.currency
        )?;
    }
    Ok(())
}
