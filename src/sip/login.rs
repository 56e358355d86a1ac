//! Answering challenges: our name and password for a peer that asks (RFC 3261 section 22).

use std::fmt;

use bytes::Bytes;

use super::build::RequestBuilder;
use super::digest::Challenge;
use super::header::{AuthValue, Method, Name};
use super::message::{Headers, Response, StatusCode};
use super::uri::Uri;
use crate::random::Random;

/// A name and its password. Only the name shows in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    user: String,
    password: String,
    realm: Option<String>,
}

impl Credentials {
    /// A name and its password.
    pub fn new(user: impl Into<String>, password: impl Into<String>) -> Credentials {
        Credentials { user: user.into(), password: password.into(), realm: None }
    }

    /// The same for the challenges of one realm only. Whoever else asks gets no answer, and nothing to guess at.
    pub fn for_realm(mut self, realm: impl Into<String>) -> Credentials {
        self.realm = Some(realm.into());
        self
    }

    /// Whether a challenge of this realm is answered. RFC 7616 section 3.3: realms are compared as they are.
    fn answer_to(&self, realm: &str) -> bool {
        self.realm.as_ref().is_none_or(|ours| ours == realm)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Credentials with the challenges met so far. Later requests of the call are signed before they are asked to be.
#[derive(Debug)]
pub(super) struct Login {
    credentials: Credentials,
    callee: Option<Challenge>,
    proxy: Option<Challenge>,
    /// What the last INVITE was signed with: its ACK must carry the same (RFC 3261 section 13.2.2.4).
    invite: Vec<(Name, Bytes)>,
}

impl Login {
    pub(super) fn new(credentials: Credentials) -> Login {
        Login { credentials, callee: None, proxy: None, invite: Vec::new() }
    }

    /// Takes the challenge of a 401 or 407. True when the request is worth signing (anew): it bore no signature for
    /// this side yet, or only the nonce was old. A second plain challenge means a wrong password.
    pub(super) fn learn(&mut self, response: &Response) -> bool {
        let (slot, name) = match response.status() {
            StatusCode::UNAUTHORIZED => (&mut self.callee, Name::WwwAuthenticate),
            StatusCode::PROXY_AUTHENTICATION_REQUIRED => (&mut self.proxy, Name::ProxyAuthenticate),
            _ => return false,
        };
        let values = copied_values(response.headers(), name);
        let ours = |realm: &str| self.credentials.answer_to(realm);
        let Some(challenge) = Challenge::choose_for(&values, ours) else {
            return false;
        };
        // A nonce that served before may have grown old without anybody saying so: signed anew, once more.
        let worth = slot.as_ref().is_none_or(Challenge::has_served_before) || challenge.stale;
        *slot = Some(challenge);
        worth
    }

    /// Takes the challenge to a request inside the dialog. True when there was one: the password has proved itself
    /// before, so it is tried once more with the new nonce.
    pub(super) fn refreshed(&mut self, response: &Response) -> bool {
        let had = (self.callee.take(), self.proxy.take());
        let learnt = self.learn(response);
        self.callee = self.callee.take().or(had.0);
        self.proxy = self.proxy.take().or(had.1);
        learnt
    }

    /// Signs a request to `uri` as far as challenges are known.
    pub(super) fn sign(
        &mut self,
        random: &mut Random,
        method: &Method,
        uri: &Uri,
        request: RequestBuilder,
    ) -> RequestBuilder {
        if *method == Method::Ack {
            return self.invite.iter().fold(request, |request, (name, value)| request.header(*name, value));
        }
        let uri = uri.without_headers();
        let mut lines = Vec::new();
        for (slot, name) in
            [(&mut self.callee, Name::Authorization), (&mut self.proxy, Name::ProxyAuthorization)]
        {
            if let Some(challenge) = slot {
                let cnonce = format!("{:016x}", random.bits());
                let Credentials { user, password, .. } = &self.credentials;
                lines.push((name, challenge.answer(user, password, method, uri.as_str(), &cnonce)));
            }
        }
        let request = lines.iter().fold(request, |request, (name, value)| request.header(*name, value));
        if *method == Method::Invite {
            self.invite = lines;
        }
        request
    }
}

/// Signs when there is anything to sign with.
pub(super) fn signed(
    login: &mut Option<Box<Login>>,
    random: &mut Random,
    method: &Method,
    uri: &Uri,
    request: RequestBuilder,
) -> RequestBuilder {
    match login {
        Some(login) => login.sign(random, method, uri, request),
        None => request,
    }
}

/// The challenges, cut loose from the datagram that brought them.
fn copied_values(headers: &Headers, name: Name) -> Vec<AuthValue> {
    headers.all(name).filter_map(|value| AuthValue::parse(Bytes::copy_from_slice(&value)).ok()).collect()
}
