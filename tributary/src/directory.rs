//! The collector's look-ups, out of Postgres.

use domain::ids::WorkspaceId;
use domain::link::Link;
use domain::token::SigningKey;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use ingest::directory::{Directory, DirectoryError};
use store::{Pool, StoreError};

/// Links and keys in Postgres.
pub(crate) struct PostgresDirectory(pub Pool);

fn failed(error: StoreError) -> DirectoryError {
    DirectoryError(error.to_string())
}

impl Directory for PostgresDirectory {
    fn link<'a>(&'a self, code: &'a str) -> BoxFuture<'a, Result<Option<Link>, DirectoryError>> {
        store::links::find(&self.0, code).map(|found| found.map_err(failed)).boxed()
    }

    fn workspace_of_key<'a>(
        &'a self,
        key_hash: &'a [u8; 32],
    ) -> BoxFuture<'a, Result<Option<WorkspaceId>, DirectoryError>> {
        store::links::workspace_of_key(&self.0, key_hash).map(|found| found.map_err(failed)).boxed()
    }

    fn signing_keys(&self) -> BoxFuture<'_, Result<Vec<SigningKey>, DirectoryError>> {
        store::links::signing_keys(&self.0).map(|found| found.map_err(failed)).boxed()
    }
}
