//! Following the ledger from any number.

use sbc_config::TenantId;
use tokio::sync::watch;

use super::{Ledger, Page};
use crate::observe::store::StoreError;

/// Follows the ledger: see [`Ledger::follow`].
pub struct Follower {
    pub(super) ledger: Ledger,
    pub(super) latest: watch::Receiver<u64>,
    pub(super) cursor: u64,
    pub(super) tenant: Option<TenantId>,
}

/// The most events one read of a follower brings: what a client can take at once.
const FOLLOW_PAGE: usize = 256;

impl Follower {
    /// The number up to which everything was seen.
    pub fn cursor(&self) -> u64 {
        self.cursor
    }

    /// Waits for events after the cursor and moves it. The page may be empty, when the numbers in
    /// between were another tenant's. Dropping the future loses nothing.
    ///
    /// # Errors
    /// When the store cannot be read; the cursor stays, so trying again loses nothing.
    pub async fn next(&mut self) -> Result<Page, StoreError> {
        // The ledger outlives its followers: each holds it.
        let cursor = self.cursor;
        let _ = self.latest.wait_for(|latest| *latest > cursor).await;
        let page = self.ledger.page(self.cursor, FOLLOW_PAGE, self.tenant.as_ref()).await?;
        self.cursor = page.upto;
        Ok(page)
    }
}
