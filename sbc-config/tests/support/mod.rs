//! Secrets for tests, held in memory.

use sbc_config::{SecretError, SecretSource};

/// Knows the files of the example and a few that are of no use.
pub(crate) struct Drawer;

impl SecretSource for Drawer {
    fn file(&self, path: &str) -> Result<String, SecretError> {
        match path {
            "example-secrets/alice.txt" => Ok("canary-alice\n".into()),
            "example-secrets/sam.txt" => Ok("canary-sam\r\n".into()),
            "example-secrets/carol.txt" => Ok("canary-carol".into()),
            "key.txt" => Ok("canary-key-0123456789".into()),
            "base64.txt" => Ok("Y2FuYXJ5LWtleQ==".into()),
            "short.txt" => Ok("canary".into()),
            "empty.txt" => Ok("\n".into()),
            "two-lines.txt" => Ok("canary\ncanary\n".into()),
            "huge.txt" => Ok("x".repeat(100_000)),
            "forbidden.txt" => Err(SecretError::Unreadable("permission denied".into())),
            _ => Err(SecretError::NotFound),
        }
    }

    fn env(&self, name: &str) -> Result<String, SecretError> {
        match name {
            "SIDETONE_DATABASE_URL" => Ok("postgres://gateway:canary-db@db.example.net/sidetone".into()),
            "NO_DATABASE_URL" => Ok("canary-db".into()),
            "PHONE_PASSWORD" => Ok("canary-env".into()),
            _ => Err(SecretError::NotFound),
        }
    }
}
