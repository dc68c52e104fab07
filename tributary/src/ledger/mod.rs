//! `tributary ledger …`.
//!
//! | module | job |
//! |---|---|
//! | here | digest and hash chain |
//! | `export` | reads the books for the formats below |
//! | `hledger`, `beancount`, `csv` | write them |

mod beancount;
mod csv;
mod export;
mod hledger;

use std::process::ExitCode;

use clap::Subcommand;

use crate::settings::Settings;

#[derive(Subcommand)]
pub(crate) enum LedgerCommand {
    /// Print one hash over all outcomes and ledger lines: the same books have the same digest
    Digest,
    /// Recompute every batch's hash and its link to the one before; exit 1 if one is wrong
    VerifyChain {
        /// Print the last hash of every chain, to be kept where nobody can change it
        #[arg(long)]
        heads: bool,
    },
    /// Write the ledger, with the stored balances as assertions, for hledger, Beancount or as CSV
    Export(export::ExportArgs),
}

pub(crate) async fn run(settings: &Settings, command: LedgerCommand) -> anyhow::Result<ExitCode> {
    let pool = store::connect(&settings.database_url, 2).await?;
    match command {
        LedgerCommand::Digest => {
            let digest =
                store::batches::all_records(&mut *store::begin_snapshot(&pool).await?).await?.digest();
            say!("{}", hex::encode(digest));
            Ok(ExitCode::SUCCESS)
        }
        LedgerCommand::Export(args) => {
            export::run(settings, &args).await?;
            Ok(ExitCode::SUCCESS)
        }
        LedgerCommand::VerifyChain { heads } => {
            let offences = processors::reconcile::verify_chain(&pool).await?;
            for offence in &offences {
                say!("{}: {}", offence.id, offence.detail);
            }
            let batches = store::batches::list(&mut *store::begin_snapshot(&pool).await?, None).await?;
            if heads {
                for last in batches.chunk_by(|a, b| (&a.topic, a.partition) == (&b.topic, b.partition)) {
                    let Some(last) = last.last() else { continue };
                    say!("{}/{}@{} {}", last.topic, last.partition, last.last_offset, hex::encode(last.hash));
                }
            }
            say!("{} batches, {} broken", batches.len(), offences.len());
            Ok(if offences.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    }
}
