//! A ledger for Beancount.

use std::collections::BTreeMap;
use std::io::Write;

use domain::money::Money;
use domain::timestamp::day;
use store::export::LineRow;

use super::export::{Account, Books, description};

/// Beancount wants capitals, or digits, in front.
fn name(account: &Account) -> String {
    let part = |part: &String| {
        let is_id = uuid::Uuid::parse_str(part).is_ok();
        let part = if part == "revenues" { "income" } else { part };
        match part.chars().next() {
            _ if is_id => part.to_ascii_uppercase(),
            Some(first) => format!("{}{}", first.to_ascii_uppercase(), &part[first.len_utf8()..]),
            None => String::new(),
        }
    };
    account.path.iter().map(part).collect::<Vec<_>>().join(":")
}

/// Accounts, and what they held before.
pub(super) fn head(out: &mut dyn Write, books: &Books) -> anyhow::Result<()> {
    writeln!(out, ";; Tributary's ledger from {} to {}.\n", books.first_day, books.last_day)?;
    let mut currencies: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for account in books.accounts() {
        currencies.entry(name(account)).or_default().push(account.currency.code());
    }
    for (name, currencies) in currencies {
        writeln!(out, "{} open {name} {}", books.first_day, currencies.join(","))?;
    }
    writeln!(out)?;
    let mut held = books.held_before().peekable();
    if held.peek().is_some() {
        writeln!(out, "{} * \"opening balances\"", books.first_day)?;
        for account in held {
            writeln!(out, "  {}  {}", name(account), account.opening)?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// One transaction.
pub(super) fn transaction(out: &mut dyn Write, books: &Books, lines: &[LineRow]) -> anyhow::Result<()> {
    let Some(first) = lines.first() else { return Ok(()) };
    writeln!(out, "{} * \"{}\"", day(first.at_ms), description(first))?;
    writeln!(out, "  transaction: \"{}\"", first.transaction_id)?;
    for line in lines {
        let (account, money) = books.posting(line)?;
        writeln!(out, "  {}  {}", name(account), money)?;
    }
    writeln!(out)?;
    Ok(())
}

/// What every account must hold at the beginning of the day after.
pub(super) fn tail(out: &mut dyn Write, books: &Books) -> anyhow::Result<()> {
    for account in books.accounts() {
        let Money { currency, .. } = account.closing;
        // Left to itself, it lets a minor unit pass.
        let closing = account.closing.decimal();
        writeln!(out, "{} balance {} {closing} ~ 0 {currency}", books.next_day, name(account))?;
    }
    Ok(())
}
