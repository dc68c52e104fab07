//! A journal for hledger.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use domain::money::{Currency, Money};
use domain::timestamp::day;
use store::export::LineRow;

use super::export::{Account, Books, description};

fn name(account: &Account) -> String {
    account.path.join(":")
}

/// Commodities, accounts, and what they held before.
pub(super) fn head(out: &mut dyn Write, books: &Books) -> anyhow::Result<()> {
    writeln!(out, "; Tributary's ledger from {} to {}.", books.first_day, books.last_day)?;
    writeln!(out, "; Assets are debits, what is owed and earned are credits.\n")?;
    let currencies: BTreeSet<Currency> = books.accounts().map(|account| account.currency).collect();
    for currency in currencies {
        let digits = usize::from(currency.exponent().unwrap_or_default());
        // A decimal mark must be there, even with nothing behind it.
        writeln!(out, "commodity 1000.{} {currency}", "0".repeat(digits))?;
    }
    let owners: BTreeMap<String, String> =
        books.accounts().map(|account| (name(account), one_line(&account.owner))).collect();
    for (name, owner) in owners {
        writeln!(out, "account {name}  ; {owner}")?;
    }
    writeln!(out)?;
    let mut held = books.held_before().peekable();
    if held.peek().is_some() {
        writeln!(out, "{} * opening balances", books.first_day)?;
        for account in held {
            writeln!(out, "    {}  {}", name(account), account.opening)?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// One transaction.
pub(super) fn transaction(out: &mut dyn Write, books: &Books, lines: &[LineRow]) -> anyhow::Result<()> {
    let Some(first) = lines.first() else { return Ok(()) };
    let (id, what) = (first.transaction_id, description(first));
    writeln!(out, "{} * ({id}) {what}", day(first.at_ms))?;
    for line in lines {
        let (account, money) = books.posting(line)?;
        writeln!(out, "    {}  {}", name(account), money)?;
    }
    writeln!(out)?;
    Ok(())
}

/// What every account must hold at the end.
pub(super) fn tail(out: &mut dyn Write, books: &Books) -> anyhow::Result<()> {
    writeln!(out, "{} * the balances that Tributary has stored", books.last_day)?;
    for account in books.accounts() {
        let zero = Money { amount_minor: 0, ..account.closing };
        writeln!(out, "    {}  {} = {}", name(account), zero, account.closing)?;
    }
    Ok(())
}

/// A comment that says nothing to hledger, which reads `word:` as a tag.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || c == ':' { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_no_tag() {
        assert_eq!(one_line("Boss type: chief\n"), "Boss type  chief ");
    }
}
