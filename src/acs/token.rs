//! Tokens of Entra for asking ACS: a trait, so that what gives them can be another thing in a test.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use azure_core::credentials::TokenCredential;

/// A token. It is as good as a password while it lasts.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// Wraps a token.
    pub fn new(text: String) -> Token {
        Token(text)
    }

    /// The token itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(redacted)")
    }
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
#[error("Entra gives no token: {0}")]
pub struct TokenError(pub String);

/// What [`TokenSource::token`] returns.
pub type TokenFuture<'a> = Pin<Box<dyn Future<Output = Result<Token, TokenError>> + Send + 'a>>;

/// Gives tokens, from memory while they last.
pub trait TokenSource: Send + Sync {
    /// A token for the scope.
    fn token<'a>(&'a self, scope: &'a str) -> TokenFuture<'a>;
}

/// Tokens of the identity that the machine or its environment gives us.
pub struct Azure(Arc<dyn TokenCredential>);

impl Azure {
    /// Wraps a credential of `azure_identity`.
    pub fn new(credential: Arc<dyn TokenCredential>) -> Azure {
        Azure(credential)
    }
}

impl TokenSource for Azure {
    fn token<'a>(&'a self, scope: &'a str) -> TokenFuture<'a> {
        Box::pin(async move {
            let token = self.0.get_token(&[scope], None).await;
            let token = token.map_err(|error| TokenError(error.to_string()))?;
            Ok(Token::new(token.token.secret().to_owned()))
        })
    }
}
