//! Whole tables, row by row as they lie, by `COPY`: what looks at all of the books
//! reads them so, at a fraction of what a query's rows cost. One SQL file for
//! each: `queries/<table>/scan.sql`.

use domain::audit::{TransactionRecord, WrittenOutcome};
use domain::chain::{LineRecord, OutcomeRecord};
use domain::ledger::{AccountKind, TransactionKind};
use domain::money::Currency;
use futures_util::stream::{BoxStream, StreamExt as _};
use uuid::Uuid;

use crate::reconcile::{Extent, within};
use crate::{Connection, StoreError, sql};

/// A row that can be scanned.
pub trait Scanned: Sized {
    /// The table, for messages.
    const TABLE: &'static str;
    /// What is read of it.
    const SQL: &'static str;

    /// Reads a row, field by field in the order of the query.
    ///
    /// # Errors
    /// What is wrong with it.
    fn read(fields: &mut Fields<'_>) -> Result<Self, String>;
}

/// So few batches are found by indexes.
pub const FEW_BATCHES: usize = 64;

/// The rows of a table that `over` takes in.
///
/// # Errors
/// When the database fails.
pub async fn scan<'c, R: Scanned + Send + 'static>(
    connection: &'c mut Connection,
    over: Extent<'_>,
) -> Result<BoxStream<'c, Result<R, StoreError>>, StoreError> {
    if matches!(over, Extent::New(batches) if batches.len() <= FEW_BATCHES) {
        // Rows per batch are guessed too high for the planner to look them up.
        let by_index = "SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; \
            SET LOCAL enable_mergejoin = off; SET LOCAL jit = off";
        sqlx::raw_sql(by_index).execute(&mut *connection).await?;
    }
    let copy = format!("COPY (\n{}\n) TO STDOUT (FORMAT binary)", within(R::SQL, over));
    let messages = connection.copy_out_raw(&copy).await?;
    let mut is_first = true;
    let rows = messages.filter_map(move |message| {
        let row = message.map_err(StoreError::from).and_then(|message| {
            // The first row stands behind a header.
            let bytes =
                if std::mem::take(&mut is_first) { without_header(&message) } else { Some(&message[..]) };
            read_row(bytes.ok_or_else(|| malformed::<R>("no header"))?)
        });
        std::future::ready(row.transpose())
    });
    Ok(rows.boxed())
}

fn malformed<R: Scanned>(message: impl Into<String>) -> StoreError {
    StoreError::Row { table: R::TABLE, message: message.into() }
}

/// Signature, flags, and an extension of a stated length.
fn without_header(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.strip_prefix(b"PGCOPY\n\xff\r\n\0\0\0\0\0")?.split_first_chunk()?;
    rest.get(usize::try_from(u32::from_be_bytes(*length)).ok()?..)
}

/// A row; none at the end.
fn read_row<R: Scanned>(bytes: &[u8]) -> Result<Option<R>, StoreError> {
    let (count, rest) = bytes.split_first_chunk().ok_or_else(|| malformed::<R>("no field count"))?;
    if i16::from_be_bytes(*count) < 0 {
        return Ok(None);
    }
    R::read(&mut Fields { rest }).map(Some).map_err(malformed::<R>)
}

/// The fields of a row that are not read yet.
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    fn bytes(&mut self) -> Result<Option<&'a [u8]>, String> {
        let cut = || "the row is cut short".to_owned();
        let (length, rest) = self.rest.split_first_chunk().ok_or_else(cut)?;
        self.rest = rest;
        let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else { return Ok(None) };
        let (field, rest) = rest.split_at_checked(length).ok_or_else(cut)?;
        self.rest = rest;
        Ok(Some(field))
    }

    fn fixed<const N: usize>(&mut self) -> Result<Option<[u8; N]>, String> {
        let width = |field: &[u8]| field.try_into().map_err(|_| format!("{} bytes, not {N}", field.len()));
        self.bytes()?.map(width).transpose()
    }

    fn uuid(&mut self) -> Result<Option<Uuid>, String> {
        Ok(self.fixed()?.map(Uuid::from_bytes))
    }

    fn int8(&mut self) -> Result<Option<i64>, String> {
        Ok(self.fixed()?.map(i64::from_be_bytes))
    }

    fn int2(&mut self) -> Result<Option<i16>, String> {
        Ok(self.fixed()?.map(i16::from_be_bytes))
    }

    fn text(&mut self) -> Result<Option<&'a str>, String> {
        let text = |field| std::str::from_utf8(field).map_err(|error| error.to_string());
        self.bytes()?.map(text).transpose()
    }
}

/// A field that is never null.
fn some<T>(field: Option<T>) -> Result<T, String> {
    field.ok_or_else(|| "a field is null".to_owned())
}

fn leg(field: i16) -> Result<u16, String> {
    u16::try_from(field).map_err(|_| format!("leg {field}"))
}

/// An outcome, and the batch that wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScannedOutcome {
    /// The batch.
    pub batch: i64,
    /// The outcome.
    pub outcome: WrittenOutcome,
}

impl Scanned for ScannedOutcome {
    const TABLE: &'static str = "outcomes";
    const SQL: &'static str = sql!("outcomes/scan");

    fn read(fields: &mut Fields<'_>) -> Result<Self, String> {
        let batch = some(fields.int8()?)?;
        let mut record = OutcomeRecord {
            event: some(fields.uuid()?)?,
            leg: leg(some(fields.int2()?)?)?,
            status: some(fields.text()?)?.to_owned(),
            reason: fields.text()?.unwrap_or_default().to_owned(),
            campaign: fields.uuid()?.unwrap_or_default(),
            creator: fields.uuid()?.unwrap_or_default(),
            amounts_minor: [
                fields.int8()?.unwrap_or_default(),
                fields.int8()?.unwrap_or_default(),
                fields.int8()?.unwrap_or_default(),
            ],
            currency: fields.text()?.unwrap_or_default().to_owned(),
            payload_hash: some(fields.text()?)?.to_owned(),
            original: None,
        };
        let original = fields.uuid()?.zip(fields.int2()?);
        record.original = original.map(|(event, of)| Ok::<_, String>((event, leg(of)?))).transpose()?;
        let (transaction, other_minor) = (fields.uuid()?, fields.int8()?.unwrap_or_default());
        Ok(Self { batch, outcome: WrittenOutcome { record, other_minor, transaction } })
    }
}

/// A ledger transaction, and the batch that wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScannedTransaction {
    /// The batch.
    pub batch: i64,
    /// The transaction.
    pub record: TransactionRecord,
}

impl Scanned for ScannedTransaction {
    const TABLE: &'static str = "ledger_transactions";
    const SQL: &'static str = sql!("ledger_transactions/scan");

    fn read(fields: &mut Fields<'_>) -> Result<Self, String> {
        let batch = some(fields.int8()?)?;
        let id = some(fields.uuid()?)?;
        let code = some(fields.text()?)?;
        let record = TransactionRecord {
            id,
            kind: TransactionKind::from_code(code).ok_or_else(|| format!("unknown kind {code}"))?,
            source: some(fields.uuid()?)?,
            leg: leg(some(fields.int2()?)?)?,
        };
        Ok(Self { batch, record })
    }
}

impl Scanned for LineRecord {
    const TABLE: &'static str = "ledger_entries";
    const SQL: &'static str = sql!("ledger_entries/scan");

    fn read(fields: &mut Fields<'_>) -> Result<Self, String> {
        Ok(Self {
            transaction: some(fields.uuid()?)?,
            line: some(fields.int2()?)?,
            account: some(fields.uuid()?)?,
            amount_minor: some(fields.int8()?)?,
            currency: Currency::new(some(fields.text()?)?).map_err(|error| error.to_string())?,
        })
    }
}

/// An account, as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScannedAccount {
    /// Its id.
    pub id: Uuid,
    /// Its kind.
    pub kind: AccountKind,
    /// Whose it is.
    pub owner: Uuid,
    /// Its balance.
    pub balance_minor: i64,
}

impl Scanned for ScannedAccount {
    const TABLE: &'static str = "ledger_accounts";
    const SQL: &'static str = sql!("ledger_accounts/scan");

    fn read(fields: &mut Fields<'_>) -> Result<Self, String> {
        let id = some(fields.uuid()?)?;
        let code = some(fields.text()?)?;
        Ok(Self {
            id,
            kind: AccountKind::from_code(code).ok_or_else(|| format!("unknown kind {code}"))?,
            owner: some(fields.uuid()?)?,
            balance_minor: some(fields.int8()?)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_or_refused() {
        let id = Uuid::from_u128(7);
        let field = |bytes: &[u8]| [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat();
        let row = |amount: Vec<u8>| {
            let line = field(&3_i16.to_be_bytes());
            [
                &5_i16.to_be_bytes()[..],
                &field(id.as_bytes()),
                &line,
                &field(id.as_bytes()),
                &amount,
                &field(b"USD"),
            ]
            .concat()
        };
        let read = |bytes: &[u8]| read_row::<LineRecord>(bytes).map_err(|error| error.to_string());
        let right = row(field(&(-5_i64).to_be_bytes()));
        let currency = Currency::new("USD").unwrap();
        let line = LineRecord { transaction: id, line: 3, account: id, amount_minor: -5, currency };
        assert_eq!(read(&right), Ok(Some(line)));
        assert_eq!(read(&(-1_i16).to_be_bytes()), Ok(None));
        for (bytes, message) in [
            (right[..right.len() - 1].to_vec(), "the row is cut short"),
            (row((-1_i32).to_be_bytes().to_vec()), "a field is null"),
            (row(field(&[0; 4])), "4 bytes, not 8"),
            (vec![0], "no field count"),
        ] {
            assert_eq!(read(&bytes), Err(format!("row in ledger_entries: {message}")));
        }
        let header = [&b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\x02??"[..], &right].concat();
        assert_eq!(without_header(&header), Some(&right[..]));
        assert_eq!(without_header(&right), None);
    }
}
