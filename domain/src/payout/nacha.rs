//! An ACH file as the Nacha Operating Rules define it: records of 94 characters
//! (file header, batch header, entries, batch control, file control), in blocks
//! of ten. One batch of PPD credits.

use serde::{Deserialize, Serialize};

use super::{Account, FileError, Item, Payout, UsAccount, bank_text, routing_fault};
use crate::timestamp::day;

const FORMAT: &str = "nacha";
/// Records in a block; the last one is filled up with nines.
const BLOCK: usize = 10;
/// Amounts of entries have ten digits, totals twelve.
const MAX_AMOUNT_MINOR: i64 = 9_999_999_999;
const MAX_TOTAL_MINOR: i64 = 999_999_999_999;
/// Hashes have ten digits; what is beyond is cut off on the left.
const HASH_MODULUS: u64 = 10_000_000_000;

/// Who sends, and through which bank.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// The company's name; 16 letters of it reach payees.
    pub company_name: String,
    /// Its ten characters, as the bank gave them.
    pub company_id: String,
    /// The bank's name.
    pub bank_name: String,
    /// The bank's nine digits.
    pub bank_routing_number: String,
}

impl Origin {
    /// What is wrong with it, if anything: the field, and what.
    #[must_use]
    pub fn fault(&self) -> Option<(&'static str, &'static str)> {
        let is_id = self.company_id.len() == 10 && self.company_id.bytes().all(|b| b.is_ascii_alphanumeric());
        if self.company_name.trim().is_empty() || self.bank_name.trim().is_empty() {
            return Some(("nacha", "company_name and bank_name must not be empty"));
        }
        if !is_id {
            return Some(("nacha.company_id", "must have ten letters or digits"));
        }
        routing_fault(&self.bank_routing_number)
    }
}

/// Text on the left, blanks to its right.
fn left(text: &str, width: usize) -> String {
    format!("{:<width$}", bank_text(text, width))
}

/// The file; its lines end with a newline.
///
/// # Errors
/// When the payout is not in US dollars, an account is at no US bank, or an
/// amount has too many digits.
pub fn file(payout: &Payout, origin: &Origin) -> Result<String, FileError> {
    if payout.currency.code() != "USD" {
        return Err(FileError::Currency { format: FORMAT, currency: "USD" });
    }
    // The bank's number without its check digit stands for it.
    let bank: String = origin.bank_routing_number.chars().take(8).collect();
    let today = yymmdd(payout.approved_at_ms);
    let mut records = vec![
        file_header(payout, origin, &today),
        format!(
            "5220{}{}{}PPD{}{today}{today}   1{bank}0000001",
            left(&origin.company_name, 16),
            left("", 20),
            left(&origin.company_id, 10),
            left("PAYOUT", 10),
        ),
    ];
    let mut hash = 0_u64;
    let mut total_minor = 0_i64;
    for (item, number) in payout.items.iter().zip(1_u64..) {
        let (record, routed_to) = entry(item, &bank, number)?;
        records.push(record);
        hash = hash.saturating_add(routed_to) % HASH_MODULUS;
        total_minor = total_minor.saturating_add(item.amount_minor);
        if total_minor > MAX_TOTAL_MINOR {
            return Err(FileError::TooLarge { format: FORMAT, withdrawal: item.withdrawal });
        }
    }
    let count = payout.items.len();
    let totals = format!("{hash:010}{:012}{total_minor:012}", 0);
    records.push(format!(
        "8220{count:06}{totals}{}{}{bank}0000001",
        left(&origin.company_id, 10),
        left("", 25)
    ));
    let blocks = records.len().saturating_add(1).div_ceil(BLOCK);
    records.push(format!("9000001{blocks:06}{count:08}{totals}{}", left("", 39)));
    records.resize(blocks.saturating_mul(BLOCK), "9".repeat(94));
    records.push(String::new());
    Ok(records.join("\n"))
}

fn file_header(payout: &Payout, origin: &Origin, today: &str) -> String {
    let minutes = payout.approved_at_ms.rem_euclid(86_400_000) / 60_000;
    format!(
        "101 {}{}{today}{:02}{:02}A094101{}{}{}",
        origin.bank_routing_number,
        left(&origin.company_id, 10),
        minutes / 60,
        minutes % 60,
        left(&origin.bank_name, 23),
        left(&origin.company_name, 23),
        left("", 8),
    )
}

/// The record of one payment, and the eight digits that it adds to the hash.
fn entry(item: &Item, bank: &str, number: u64) -> Result<(String, u64), FileError> {
    let Account::UsBank { name, routing_number, account_number, account_type } = &item.account else {
        return Err(FileError::Account { format: FORMAT, withdrawal: item.withdrawal });
    };
    if !(1..=MAX_AMOUNT_MINOR).contains(&item.amount_minor) {
        return Err(FileError::TooLarge { format: FORMAT, withdrawal: item.withdrawal });
    }
    let code = match account_type {
        UsAccount::Checking => 22,
        UsAccount::Savings => 32,
    };
    // 15 characters of an id of 32: its last ones, which differ most.
    let id: String = item.end_to_end_id().chars().skip(17).collect();
    let record = format!(
        "6{code}{routing_number}{account_number:<17}{:010}{id}{}  0{bank}{number:07}",
        item.amount_minor,
        left(name, 22),
    );
    let routed_to: String = routing_number.chars().take(8).collect();
    Ok((record, routed_to.parse().unwrap_or_default()))
}

fn yymmdd(at_ms: i64) -> String {
    day(at_ms).chars().skip(2).filter(char::is_ascii_digit).collect()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::money::Currency;

    fn payout(count: u128, amount_minor: i64) -> Payout {
        let item = |number| Item {
            withdrawal: Uuid::from_u128(number),
            amount_minor,
            account: Account::UsBank {
                name: format!("Zoë Number {number}"),
                routing_number: "091000019".to_owned(),
                account_number: format!("4711-{number}"),
                account_type: if number % 2 == 0 { UsAccount::Savings } else { UsAccount::Checking },
            },
        };
        Payout {
            id: Uuid::from_u128(1),
            reference: "May".to_owned(),
            currency: Currency::new("USD").unwrap(),
            approved_at_ms: 1_795_289_851_000,
            items: (1..=count).map(item).collect(),
        }
    }

    fn origin() -> Origin {
        Origin {
            company_name: "A platform with a long name".to_owned(),
            company_id: "1234567890".to_owned(),
            bank_name: "First Bank".to_owned(),
            bank_routing_number: "121042882".to_owned(),
        }
    }

    #[test]
    fn each_field_has_its_place() {
        assert_eq!(origin().fault(), None);
        let file = file(&payout(2, 1_999), &origin()).unwrap();
        let expected = [
            "101 12104288212345678902611211937A094101First Bank             A platform with a long         ",
            "5220A platform with                     1234567890PPDPAYOUT    261121261121   1121042880000001",
            "6220910000194711-1           0000001999000000000000001Zoe Number 1            0121042880000001",
            "6320910000194711-2           0000001999000000000000002Zoe Number 2            0121042880000002",
            "822000000200182000020000000000000000000039981234567890                         121042880000001",
            "9000001000001000000020018200002000000000000000000003998                                       ",
        ];
        let lines: Vec<&str> = file.lines().collect();
        for (line, expected) in lines.iter().zip(expected) {
            assert_eq!(*line, expected);
        }
        assert_eq!(lines.len(), 10);
        assert!(lines[6..].iter().all(|line| *line == "9".repeat(94)));
    }

    #[test]
    fn records_have_94_characters_in_blocks_of_ten() {
        for (count, blocks) in [(1, 1), (6, 1), (7, 2), (16, 2), (17, 3), (2_000, 201)] {
            let file = file(&payout(count, 1), &origin()).unwrap();
            assert!(file.lines().all(|line| line.len() == 94), "{file}");
            assert_eq!(file.lines().count(), blocks * 10);
            let control = file.lines().find(|line| line.starts_with("9000001")).unwrap();
            assert_eq!(&control[7..13], format!("{blocks:06}"));
            // The hash keeps its last ten digits.
            let hash = 9_100_001 * count % 10_000_000_000;
            assert_eq!(&control[21..31], format!("{hash:010}"));
        }
    }

    #[test]
    fn what_has_no_room_is_refused() {
        assert!(file(&payout(1, 9_999_999_999), &origin()).is_ok());
        assert!(matches!(file(&payout(1, 10_000_000_000), &origin()), Err(FileError::TooLarge { .. })));
        assert!(matches!(file(&payout(101, 9_999_999_999), &origin()), Err(FileError::TooLarge { .. })));
        let bad = Origin { company_id: "1".to_owned(), ..origin() };
        assert_eq!(bad.fault().map(|(field, _)| field), Some("nacha.company_id"));
    }
}
