//! Call connections of ACS that are up: the one thing that outlives the process with them, so that the next one can end
//! them.

use std::time::SystemTime;

use sqlx::Row as _;

use super::{Store, StoreError, failed, micros};

impl Store {
    /// Keeps a connection of this gateway.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn keep_acs_connection(
        &self,
        gateway: &str,
        resource: &str,
        connection: &str,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO acs_connections (gateway, connection, resource, since) VALUES ($1, $2, $3, $4)
             ON CONFLICT (gateway, connection) DO NOTHING",
        )
        .bind(gateway)
        .bind(connection)
        .bind(resource)
        .bind(micros(SystemTime::now()))
        .execute(&self.pool)
        .await
        .map(drop)
        .map_err(failed("keep a connection of ACS"))
    }

    /// A connection is over.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_acs_connection(&self, gateway: &str, connection: &str) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM acs_connections WHERE gateway = $1 AND connection = $2")
            .bind(gateway)
            .bind(connection)
            .execute(&self.pool)
            .await
            .map(drop)
            .map_err(failed("forget a connection of ACS"))
    }

    /// The connections of this gateway: resource and name of each.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn acs_connections(&self, gateway: &str) -> Result<Vec<(String, String)>, StoreError> {
        let attempt = "read the connections of ACS";
        let rows =
            sqlx::query("SELECT resource, connection FROM acs_connections WHERE gateway = $1 ORDER BY since")
                .bind(gateway)
                .fetch_all(&self.pool)
                .await
                .map_err(failed(attempt))?;
        rows.iter()
            .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
            .collect::<Result<_, _>>()
            .map_err(failed(attempt))
    }
}
