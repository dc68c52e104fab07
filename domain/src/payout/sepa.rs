//! A SEPA credit transfer: ISO 20022 `pain.001.001.09`, as the EPC's guidelines
//! for customers narrow it (EPC132-08). Amounts and counts are in it twice: once
//! for the file, once for its one block of payments.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::{Account, FileError, Payout, bank_text, bic_fault, iban_fault};
use crate::money::Money;
use crate::timestamp::{day, rfc3339};

const FORMAT: &str = "sepa";
/// EPC132-08: 999,999,999.99 at most.
const MAX_AMOUNT_MINOR: i64 = 99_999_999_999;

/// The account that transfers leave from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// The holder.
    pub name: String,
    /// Without blanks.
    pub iban: String,
    /// The bank's BIC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bic: Option<String>,
}

impl Origin {
    /// What is wrong with it, if anything: the field, and what.
    #[must_use]
    pub fn fault(&self) -> Option<(&'static str, &'static str)> {
        let is_unnamed = bank_text(&self.name, 70).is_empty() || self.name.chars().count() > 70;
        is_unnamed
            .then_some(("sepa.name", "must have 1 to 70 characters"))
            .or_else(|| iban_fault(&self.iban))
            .or_else(|| self.bic.as_deref().and_then(bic_fault))
    }
}

/// The file.
///
/// # Errors
/// When the payout is not in euros, or an account has no IBAN.
pub fn file(payout: &Payout, origin: &Origin) -> Result<String, FileError> {
    if payout.currency.code() != "EUR" {
        return Err(FileError::Currency { format: FORMAT, currency: "EUR" });
    }
    let (count, total) = (payout.items.len(), payout.total().decimal());
    let (id, name) = (payout.id.simple(), bank_text(&origin.name, 70));
    let (created, execution_day) = (rfc3339(payout.approved_at_ms), day(payout.approved_at_ms));
    let mut out = format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.001.001.09">
<CstmrCdtTrfInitn>
<GrpHdr><MsgId>{id}</MsgId><CreDtTm>{created}</CreDtTm><NbOfTxs>{count}</NbOfTxs><CtrlSum>{total}</CtrlSum><InitgPty><Nm>{name}</Nm></InitgPty></GrpHdr>
<PmtInf><PmtInfId>{id}</PmtInfId><PmtMtd>TRF</PmtMtd><BtchBookg>true</BtchBookg><NbOfTxs>{count}</NbOfTxs><CtrlSum>{total}</CtrlSum><PmtTpInf><SvcLvl><Cd>SEPA</Cd></SvcLvl></PmtTpInf><ReqdExctnDt><Dt>{execution_day}</Dt></ReqdExctnDt><Dbtr><Nm>{name}</Nm></Dbtr><DbtrAcct><Id><IBAN>{iban}</IBAN></Id><Ccy>EUR</Ccy></DbtrAcct><DbtrAgt><FinInstnId>{agent}</FinInstnId></DbtrAgt><ChrgBr>SLEV</ChrgBr>
"#,
        iban = origin.iban,
        agent = match &origin.bic {
            Some(bic) => format!("<BICFI>{bic}</BICFI>"),
            None => "<Othr><Id>NOTPROVIDED</Id></Othr>".to_owned(),
        },
    );
    for item in &payout.items {
        let Account::Iban { name, iban, bic } = &item.account else {
            return Err(FileError::Account { format: FORMAT, withdrawal: item.withdrawal });
        };
        if item.amount_minor > MAX_AMOUNT_MINOR {
            return Err(FileError::TooLarge { format: FORMAT, withdrawal: item.withdrawal });
        }
        let amount = Money { amount_minor: item.amount_minor, currency: payout.currency }.decimal();
        let agent = bic.as_ref().map_or(String::new(), |bic| {
            format!("<CdtrAgt><FinInstnId><BICFI>{bic}</BICFI></FinInstnId></CdtrAgt>")
        });
        let (name, reference) = (escaped(&bank_text(name, 70)), escaped(&bank_text(&payout.reference, 140)));
        writeln!(
            out,
            r#"<CdtTrfTxInf><PmtId><EndToEndId>{}</EndToEndId></PmtId><Amt><InstdAmt Ccy="EUR">{amount}</InstdAmt></Amt>{agent}<Cdtr><Nm>{name}</Nm></Cdtr><CdtrAcct><Id><IBAN>{iban}</IBAN></Id></CdtrAcct><RmtInf><Ustrd>{reference}</Ustrd></RmtInf></CdtTrfTxInf>"#,
            item.end_to_end_id()
        )
        .expect("writing to a string");
    }
    out.push_str("</PmtInf>\n</CstmrCdtTrfInitn>\n</Document>\n");
    Ok(out)
}

/// [`bank_text`] leaves one letter that XML might not take: none of `<`, `>`,
/// `&` and `"`, but an apostrophe.
fn escaped(text: &str) -> String {
    text.replace('\'', "&apos;")
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::super::Item;
    use super::*;
    use crate::money::Currency;

    #[test]
    fn a_file_adds_up_and_is_the_same_again() {
        let account = |name: &str, bic: Option<&str>| Account::Iban {
            name: name.to_owned(),
            iban: "DE89370400440532013000".to_owned(),
            bic: bic.map(ToOwned::to_owned),
        };
        let item = |number, amount_minor, account| Item {
            withdrawal: Uuid::from_u128(number),
            amount_minor,
            account,
        };
        let mut payout = Payout {
            id: Uuid::from_u128(1),
            reference: "May & June".to_owned(),
            currency: Currency::new("EUR").unwrap(),
            approved_at_ms: 1_795_289_851_000,
            items: vec![
                item(2, 1_999, account("Zoë <O'Neil>", Some("COBADEFFXXX"))),
                item(3, 1, account("Bo", None)),
            ],
        };
        let origin =
            Origin { name: "Platform".to_owned(), iban: "FR1420041010050500013M02606".to_owned(), bic: None };
        assert_eq!(origin.fault(), None);
        let xml = file(&payout, &origin).unwrap();
        assert_eq!(file(&payout, &origin).unwrap(), xml);
        for (part, times) in [
            ("<NbOfTxs>2</NbOfTxs><CtrlSum>20.00</CtrlSum>", 2),
            ("<InstdAmt Ccy=\"EUR\">19.99</InstdAmt>", 1),
            ("<InstdAmt Ccy=\"EUR\">0.01</InstdAmt>", 1),
            ("<Nm>Zoe .O&apos;Neil.</Nm>", 1),
            ("<EndToEndId>00000000000000000000000000000002</EndToEndId>", 1),
            ("<Ustrd>May . June</Ustrd>", 2),
            ("<CreDtTm>2026-11-21T19:37:31Z</CreDtTm>", 1),
            ("<Dt>2026-11-21</Dt>", 1),
        ] {
            assert_eq!(xml.matches(part).count(), times, "{part} in {xml}");
        }
        let address = Account::Address { name: "x".to_owned(), address: "x".to_owned() };
        payout.items.push(item(4, 5, address));
        assert!(matches!(file(&payout, &origin), Err(FileError::Account { .. })));
        payout.currency = Currency::new("USD").unwrap();
        assert!(matches!(file(&payout, &origin), Err(FileError::Currency { .. })));
    }
}
