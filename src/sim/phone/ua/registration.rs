//! The telephone at its registrar.

use std::net::SocketAddr;

use bytes::Bytes;
use tokio::time::{Duration, Instant};

use super::Ua;
use super::client::{Client, Purpose};
use crate::sim::phone::dialog::{Draft, tell};
use crate::sim::phone::{Done, PhoneError, Registration};
use crate::sip::header::{self, NameAddr};
use crate::sip::message::{Method, Name, Response, StatusCode};
use crate::sip::uri::Uri;

/// What the registrar knows us by.
pub(super) struct Registrar {
    pub(super) call_id: String,
    pub(super) tag: String,
    pub(super) cseq: u32,
    pub(super) refresh_at: Option<Instant>,
}

impl Ua {
    pub(super) fn register(&mut self, expires: Duration, done: Option<Done>) {
        let drafted = self.draft_register(expires);
        match drafted {
            Ok((draft, server)) => {
                self.registrar.refresh_at = None;
                self.start(draft, server, Purpose::Register(expires), 0, done);
            }
            Err(error) => tell(done, Err(error)),
        }
    }

    fn draft_register(&mut self, expires: Duration) -> Result<(Draft, SocketAddr), PhoneError> {
        let server = self.options.server.ok_or(PhoneError::NoServer)?;
        let us = NameAddr::new(Uri::sip_at(Some(&self.options.name), server)?);
        self.registrar.cseq += 1;
        let draft = Draft {
            method: Method::Register,
            uri: Uri::sip_at(None, server)?,
            from: us.clone().with_tag(&self.registrar.tag),
            to: us,
            call_id: self.registrar.call_id.clone(),
            cseq: self.registrar.cseq,
            routes: Vec::new(),
            headers: vec![
                (Name::Contact, self.contact.to_bytes()),
                (Name::Expires, Bytes::from(expires.as_secs().to_string())),
            ],
            body: None,
        };
        Ok((draft, server))
    }

    pub(super) fn registered(&mut self, client: &mut Client, asked: Duration, response: Option<&Response>) {
        let Some(response) = response else { return };
        let status = response.status();
        let headers = response.headers();
        if status == StatusCode::INTERVAL_TOO_BRIEF
            && let Ok(Some(least)) = headers.min_expires()
            && u64::from(least) > asked.as_secs()
        {
            return self.register(Duration::from_secs(least.into()), client.done.take());
        }
        if !status.is_success() {
            self.status.send_modify(|s| s.registration = Registration::Refused(status));
            return tell(client.done.take(), Err(PhoneError::Refused(status)));
        }
        let given = self.expires_given(response).unwrap_or(asked);
        let registration = if asked.is_zero() { Registration::None } else { Registration::For(given) };
        // Well before its end, so that a lost datagram or two do no harm.
        self.registrar.refresh_at = (!asked.is_zero()).then(|| Instant::now() + given / 2);
        self.status.send_modify(|s| s.registration = registration);
        tell(client.done.take(), Ok(()));
    }

    /// How long the registrar keeps us: by our Contact's parameter, or the Expires header (RFC 3261 section 10.2.4).
    fn expires_given(&self, response: &Response) -> Option<Duration> {
        let header::Contacts::List(contacts) = response.headers().contacts().ok()? else { return None };
        let ours = contacts.iter().find(|contact| contact.uri.equivalent(&self.contact.uri));
        let own = ours.and_then(|contact| contact.params.value("expires")?.parse().ok());
        let seconds: u32 = own.or_else(|| response.headers().expires().ok()?)?;
        Some(Duration::from_secs(seconds.into()))
    }
}
