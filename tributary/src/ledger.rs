//! `tributary ledger …`.

use std::process::ExitCode;

use clap::Subcommand;

use crate::settings::Settings;

#[derive(Subcommand)]
pub(crate) enum LedgerCommand {
    /// Print one hash over all outcomes and ledger lines: the same books have the same digest
    Digest,
    /// Recompute every batch's hash and its link to the one before; exit 1 if one is wrong
    VerifyChain,
}

pub(crate) async fn run(settings: &Settings, command: LedgerCommand) -> anyhow::Result<ExitCode> {
    let pool = store::connect(&settings.database_url, 2).await?;
    match command {
        LedgerCommand::Digest => {
            let digest = store::batches::records(&pool, None).await?.digest();
            say!("{}", hex::encode(digest));
            Ok(ExitCode::SUCCESS)
        }
        LedgerCommand::VerifyChain => {
            let offences = processors::reconcile::verify_chain(&pool).await?;
            for offence in &offences {
                say!("{}: {}", offence.id, offence.detail);
            }
            let batches = store::batches::list(&pool).await?.len();
            say!("{batches} batches, {} broken", offences.len());
            Ok(if offences.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    }
}
