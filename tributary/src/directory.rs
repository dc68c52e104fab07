//! The collector's look-ups, out of Postgres.

use domain::ids::LinkId;
use domain::link::Link;
use domain::privacy::Privacy;
use domain::token::SigningKey;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use ingest::directory::{Change, Directory, DirectoryError, KeyOwner, Provider, Webhook};
use runtime::retry::Backoff;
use store::links::Changes;
use store::{Pool, StoreError};

/// Links and keys in Postgres.
pub(crate) struct PostgresDirectory(pub Pool);

fn failed(error: StoreError) -> DirectoryError {
    DirectoryError(error.to_string())
}

impl Directory for PostgresDirectory {
    fn link<'a>(&'a self, code: &'a str) -> BoxFuture<'a, Result<Option<(Link, Privacy)>, DirectoryError>> {
        store::links::find(&self.0, code).map(|found| found.map_err(failed)).boxed()
    }

    fn owner_of_key<'a>(
        &'a self,
        key_hash: &'a [u8; 32],
    ) -> BoxFuture<'a, Result<Option<KeyOwner>, DirectoryError>> {
        async move {
            let found = store::links::owner_of_key(&self.0, key_hash).await.map_err(failed)?;
            Ok(found.map(|(tenant, is_public)| KeyOwner { tenant, is_public }))
        }
        .boxed()
    }

    fn webhook<'a>(
        &'a self,
        workspace: &'a str,
        provider: Provider,
    ) -> BoxFuture<'a, Result<Option<Webhook>, DirectoryError>> {
        async move {
            let found = store::links::webhook(&self.0, workspace, provider.code()).await.map_err(failed)?;
            Ok(found.map(|(tenant, secret)| Webhook { tenant, secret }))
        }
        .boxed()
    }

    fn signing_keys(&self) -> BoxFuture<'_, Result<Vec<SigningKey>, DirectoryError>> {
        store::links::signing_keys(&self.0).map(|found| found.map_err(failed)).boxed()
    }

    fn draw_clicks(&self, link: LinkId) -> BoxFuture<'_, Result<i64, DirectoryError>> {
        store::links::draw_clicks(&self.0, link).map(|drawn| drawn.map_err(failed)).boxed()
    }

    fn daily_salt(&self, day: i64) -> BoxFuture<'_, Result<Vec<u8>, DirectoryError>> {
        async move {
            let fresh = runtime::random::bytes::<32>();
            store::links::daily_salt(&self.0, day, &fresh).await.map_err(failed)
        }
        .boxed()
    }

    fn changes(&self) -> BoxStream<'static, Change> {
        let hearing = Hearing { pool: self.0.clone(), listening: None, backoff: Backoff::default() };
        stream::unfold(hearing, |mut hearing| async move { Some((hearing.next().await, hearing)) }).boxed()
    }
}

/// A connection that hears of changes, made anew when it is lost.
struct Hearing {
    pool: Pool,
    listening: Option<Changes>,
    backoff: Backoff,
}

impl Hearing {
    async fn next(&mut self) -> Change {
        if let Some(changes) = &mut self.listening {
            match changes.next().await {
                Ok(change) => return of_store(change),
                Err(error) => {
                    tracing::warn!(%error, "changes of links are not heard of");
                    self.listening = None;
                    return Change::Deaf;
                }
            }
        }
        loop {
            match Changes::listen(&self.pool).await {
                Ok(changes) => {
                    self.listening = Some(changes);
                    self.backoff = Backoff::default();
                    return Change::Everything;
                }
                Err(error) => tracing::debug!(%error, "cannot listen for changes"),
            }
            tokio::time::sleep(self.backoff.next_wait()).await;
        }
    }
}

fn of_store(change: store::links::Change) -> Change {
    match change {
        store::links::Change::Link(code) => Change::Link(code),
        store::links::Change::Keys => Change::Keys,
        store::links::Change::SigningKeys => Change::SigningKeys,
        store::links::Change::Everything => Change::Everything,
    }
}
