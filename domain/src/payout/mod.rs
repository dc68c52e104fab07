//! Payouts: withdrawals that are sent together, and the files that banks take.
//!
//! | module | job |
//! |---|---|
//! | here | where money is sent, and from where; how a payout moves forward |
//! | [`sepa`] | ISO 20022 `pain.001.001.09`, for euros |
//! | [`nacha`] | an ACH file of 94-character records, for US dollars |
//! | [`table`] | CSV, for everybody else |

pub mod nacha;
pub mod sepa;
pub mod table;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::money::{Currency, Money};
use crate::wallet::Method;

/// Longest name of a payee or payer.
const MAX_NAME: usize = 70;

/// Where a payout stands. It only moves forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PayoutStatus {
    /// One person wants it.
    Proposed,
    /// Another has agreed; files can be made of it.
    Approved,
    /// The bank has the file.
    Sent,
    /// Called off before it was approved.
    Cancelled,
}

impl PayoutStatus {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Proposed, Self::Approved, Self::Sent, Self::Cancelled];

    /// The name, as in JSON and SQL.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Proposed => "proposed",
            Self::Approved => "approved",
            Self::Sent => "sent",
            Self::Cancelled => "cancelled",
        }
    }

    /// The status of that name.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.code() == code)
    }

    /// Whether it may become `next`.
    #[must_use]
    pub fn may_become(self, next: Self) -> bool {
        matches!(
            (self, next),
            (Self::Proposed, Self::Approved | Self::Cancelled) | (Self::Approved, Self::Sent)
        )
    }
}

/// What sort of account at a US bank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names say it")]
pub enum UsAccount {
    Checking,
    Savings,
}

/// Where a creator's money is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Account {
    /// An account that has an IBAN.
    Iban {
        /// The holder.
        name: String,
        /// Without blanks.
        iban: String,
        /// The bank's BIC; not needed within the SEPA area.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bic: Option<String>,
    },
    /// An account at a US bank.
    UsBank {
        /// The holder.
        name: String,
        /// The bank's nine digits.
        routing_number: String,
        /// At most 17 characters.
        account_number: String,
        /// What sort.
        account_type: UsAccount,
    },
    /// An address that a processor knows, such as PayPal's e-mail.
    Address {
        /// The holder.
        name: String,
        /// The address.
        address: String,
    },
}

impl Account {
    /// The kind's name, as in JSON and SQL.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Iban { .. } => "iban",
            Self::UsBank { .. } => "us_bank",
            Self::Address { .. } => "address",
        }
    }

    /// The kind of account that `method` sends to.
    #[must_use]
    pub fn kind_for(method: Method) -> &'static str {
        match method {
            Method::BankTransfer => "iban",
            Method::Ach => "us_bank",
            Method::Instant | Method::Card | Method::Stripe | Method::Paypal | Method::Wallet => "address",
        }
    }

    /// The holder.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Iban { name, .. } | Self::UsBank { name, .. } | Self::Address { name, .. } => name,
        }
    }

    /// What is wrong with it, if anything: the field, and what.
    #[must_use]
    pub fn fault(&self) -> Option<(&'static str, &'static str)> {
        if bank_text(self.name(), MAX_NAME).is_empty() || self.name().chars().count() > MAX_NAME {
            return Some(("name", "must have 1 to 70 characters"));
        }
        match self {
            Self::Iban { iban, bic, .. } => iban_fault(iban).or_else(|| bic.as_deref().and_then(bic_fault)),
            Self::UsBank { routing_number, account_number, .. } => {
                routing_fault(routing_number).or_else(|| {
                    let is_number = (1..=17).contains(&account_number.len())
                        && account_number.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
                    (!is_number).then_some(("account_number", "must have 1 to 17 letters, digits or hyphens"))
                })
            }
            Self::Address { address, .. } => {
                let is_bad = address.trim().is_empty() || address.len() > 254;
                is_bad.then_some(("address", "must have 1 to 254 bytes"))
            }
        }
    }
}

fn iban_fault(iban: &str) -> Option<(&'static str, &'static str)> {
    let is_plain = iban.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase());
    let is_good = is_plain && iban.parse::<iban::Iban>().is_ok();
    (!is_good).then_some(("iban", "is none: write it in capitals without blanks; its check digits must fit"))
}

fn bic_fault(bic: &str) -> Option<(&'static str, &'static str)> {
    let is_good = matches!(bic.len(), 8 | 11)
        && bic.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
        && bic.bytes().take(6).all(|byte| byte.is_ascii_uppercase());
    (!is_good).then_some(("bic", "must have 8 or 11 capitals and digits"))
}

/// The last digit of a routing number checks the others: their sum, weighted 3,
/// 7, 1, is a multiple of 10 (American Bankers Association).
fn routing_fault(number: &str) -> Option<(&'static str, &'static str)> {
    let digits: Vec<u32> = number.chars().filter_map(|digit| digit.to_digit(10)).collect();
    let weights = [3_u32, 7, 1].into_iter().cycle();
    let sum = digits
        .iter()
        .zip(weights)
        .fold(0_u32, |sum, (digit, weight)| sum.saturating_add(digit.saturating_mul(weight)));
    let is_good = digits.len() == 9 && number.len() == 9 && sum > 0 && sum.is_multiple_of(10);
    (!is_good).then_some(("routing_number", "must have nine digits, the last of which checks the others"))
}

/// The accounts that a workspace's payouts leave from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// For bank transfers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sepa: Option<sepa::Origin>,
    /// For ACH.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nacha: Option<nacha::Origin>,
}

impl Origin {
    /// What is wrong with it, if anything: the field, and what.
    #[must_use]
    pub fn fault(&self) -> Option<(&'static str, &'static str)> {
        self.sepa
            .as_ref()
            .and_then(sepa::Origin::fault)
            .or_else(|| self.nacha.as_ref().and_then(nacha::Origin::fault))
    }
}

/// One payment of a payout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The withdrawal; its id follows the money to its end.
    pub withdrawal: Uuid,
    /// Minor units; above 0.
    pub amount_minor: i64,
    /// Where it is sent.
    pub account: Account,
}

impl Item {
    /// The withdrawal's id, as banks take it: 32 characters.
    #[must_use]
    pub fn end_to_end_id(&self) -> String {
        self.withdrawal.simple().to_string()
    }
}

/// A payout, as files are made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payout {
    /// Its id.
    pub id: Uuid,
    /// What payees read on their accounts.
    pub reference: String,
    /// Its currency.
    pub currency: Currency,
    /// When it was approved: a file made again later is the same.
    pub approved_at_ms: i64,
    /// Its payments, in the order of the withdrawals' ids.
    pub items: Vec<Item>,
}

impl Payout {
    /// What all payments add up to.
    #[must_use]
    pub fn total(&self) -> Money {
        let sum = self.items.iter().fold(0_i64, |sum, item| sum.saturating_add(item.amount_minor));
        Money { amount_minor: sum, currency: self.currency }
    }
}

/// Why no file can be made of a payout.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// The format is for another currency.
    #[error("{format} is for {currency} only")]
    Currency {
        /// The format.
        format: &'static str,
        /// Its currency.
        currency: &'static str,
    },
    /// The format sends to accounts of another kind.
    #[error("{format} cannot send to the account of withdrawal {withdrawal}")]
    Account {
        /// The format.
        format: &'static str,
        /// The withdrawal.
        withdrawal: Uuid,
    },
    /// More than the format can say.
    #[error("{format} has no room for the amount of withdrawal {withdrawal}, or for the total")]
    TooLarge {
        /// The format.
        format: &'static str,
        /// The withdrawal.
        withdrawal: Uuid,
    },
    /// The workspace has no account that it could leave from.
    #[error("set the account that {format} payouts leave from first: POST /v1/payout-origin")]
    NoOrigin {
        /// The format.
        format: &'static str,
    },
}

/// Text in the letters that all banks take (EPC217-08), at most `limit` of them.
fn bank_text(text: &str, limit: usize) -> String {
    let plain = deunicode::deunicode(text);
    let keep = |letter: char| {
        if letter.is_ascii_alphanumeric() || "/-?:().,'+ ".contains(letter) { letter } else { '.' }
    };
    plain.trim().chars().map(keep).take(limit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn iban(iban: &str, bic: Option<&str>) -> Account {
        Account::Iban { name: "Ada".to_owned(), iban: iban.to_owned(), bic: bic.map(ToOwned::to_owned) }
    }

    fn us(routing_number: &str, account_number: &str) -> Account {
        Account::UsBank {
            name: "Ada".to_owned(),
            routing_number: routing_number.to_owned(),
            account_number: account_number.to_owned(),
            account_type: UsAccount::Checking,
        }
    }

    #[test]
    fn accounts_check_themselves() {
        for (account, field) in [
            (iban("DE89370400440532013000", None), None),
            (iban("DE89370400440532013000", Some("COBADEFFXXX")), None),
            (iban("DE89370400440532013001", None), Some("iban")),
            (iban("DE89 3704 0044 0532 0130 00", None), Some("iban")),
            (iban("de89370400440532013000", None), Some("iban")),
            (iban("DE89370400440532013000", Some("COBA")), Some("bic")),
            (us("091000019", "123456789"), None),
            (us("091000018", "123456789"), Some("routing_number")),
            (us("000000000", "123456789"), Some("routing_number")),
            (us("91000019", "123456789"), Some("routing_number")),
            (us("091000019", ""), Some("account_number")),
            (us("091000019", "123456789012345678"), Some("account_number")),
            (Account::Address { name: "Ada".to_owned(), address: "ada@example.com".to_owned() }, None),
            (Account::Address { name: "\u{200b}".to_owned(), address: "a".to_owned() }, Some("name")),
            (Account::Address { name: " ".to_owned(), address: "a".to_owned() }, Some("name")),
        ] {
            assert_eq!(account.fault().map(|(field, _)| field), field, "{account:?}");
        }
    }

    #[test]
    fn payouts_move_forward_alone() {
        use PayoutStatus as S;
        let forward = [(S::Proposed, S::Approved), (S::Proposed, S::Cancelled), (S::Approved, S::Sent)];
        for from in S::ALL {
            for to in S::ALL {
                assert_eq!(from.may_become(to), forward.contains(&(from, to)), "{from:?} {to:?}");
            }
        }
    }

    #[test]
    fn banks_take_few_letters() {
        assert_eq!(bank_text("Zoë Grün & Söhne <x>", 70), "Zoe Grun . Sohne .x.");
        assert_eq!(bank_text("abcdef", 3), "abc");
    }
}
