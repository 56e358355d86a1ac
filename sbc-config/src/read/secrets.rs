//! Settings that point to a secret: `password_file = "…"` or `password_env = "…"`, never `password = "…"`.

use super::table::{Field, Section};
use crate::finding::Code;
use crate::secret::{MAX_SECRET_BYTES, Secret, SecretError, SecretSource};

/// The names of the settings that can hold or point to one secret.
pub(super) struct SecretKeys {
    /// Refused.
    pub(super) inline: &'static str,
    pub(super) file: &'static str,
    pub(super) env: &'static str,
}

/// The secret that the section points to. `None` without a finding if it names none.
pub(super) fn secret(section: &Section<'_>, source: &dyn SecretSource, keys: &SecretKeys) -> Named {
    let remedy = format!("put it into a file and write {} = \"…\", or use {}", keys.file, keys.env);
    let inline = section.refuse_inline_secret(keys.inline, &remedy);
    match (section.field(keys.file), section.field(keys.env)) {
        (None, None) if inline => Named::Refused,
        (None, None) => Named::Nowhere,
        (Some(_), Some(env)) => {
            let message = format!("both `{}` and `{}` are given", keys.file, keys.env);
            env.fail(Code::ExactlyOne, message, "remove one of them");
            Named::Refused
        }
        (Some(file), None) => {
            let read = file.text().and_then(|path| usable(&file, source.file(path), "the file"));
            read.map_or(Named::Refused, Named::Secret)
        }
        (None, Some(env)) => {
            let name =
                env.parsed(Code::BadValue, "write the name of the variable, not its value", variable_name);
            let read = name.and_then(|name| usable(&env, source.env(name), "the environment variable"));
            read.map_or(Named::Refused, Named::Secret)
        }
    }
}

/// What a section says about its secret.
pub(super) enum Named {
    /// Here it is.
    Secret(Secret),
    /// It points to one that cannot be used; the finding is made.
    Refused,
    /// It does not speak of one.
    Nowhere,
}

fn variable_name(text: &str) -> Result<&str, &'static str> {
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let fit = plain && !text.starts_with(|c: char| c.is_ascii_digit());
    if fit { Ok(text) } else { Err("this is not the name of an environment variable") }
}

fn usable(field: &Field<'_>, read: Result<String, SecretError>, what: &str) -> Option<Secret> {
    let text = match read {
        Ok(text) if text.len() > MAX_SECRET_BYTES => Err(SecretError::TooLong),
        read => read,
    };
    match text {
        Err(error) => {
            let message = format!("{what} is of no use: {error}");
            field.fail(
                Code::SecretUnavailable,
                message,
                format!("create {what} and let the gateway read it"),
            );
            None
        }
        Ok(text) => {
            // Editors and `echo` end a file with a newline that is no part of the secret.
            let text = text.strip_suffix('\n').unwrap_or(&text);
            let text = text.strip_suffix('\r').unwrap_or(text);
            if text.is_empty() || text.chars().any(char::is_control) {
                let message = format!("{what} is empty or holds more than one line");
                field.fail(Code::SecretUnfit, message, "put the secret there on one line, and nothing else");
                return None;
            }
            Some(Secret::new(text))
        }
    }
}
