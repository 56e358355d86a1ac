//! The headers that this gateway reads, as what they mean.

use bytes::Bytes;

use super::{Headers, MAX_LIST_VALUES, MAX_VIAS};
use crate::sip::header::{
    self, AuthValue, BadValue, CSeq, Contacts, Event, HeaderError, MediaType, Name, NameAddr, RAck, Reason,
    Replaces, SessionExpires, SubscriptionState, Via,
};
use crate::sip::text::Text;

impl Headers {
    /// All Via values, topmost first.
    pub fn vias(&self) -> Result<Vec<Via>, HeaderError> {
        self.each(Name::Via, MAX_VIAS, Via::parse)
    }

    /// The topmost Via.
    pub fn top_via(&self) -> Result<Via, HeaderError> {
        let first = self.list(Name::Via).next().ok_or(HeaderError::Missing(Name::Via))?;
        Via::parse(first).map_err(|bad| HeaderError::new(Name::Via, bad))
    }

    /// From.
    pub fn from(&self) -> Result<NameAddr, HeaderError> {
        self.must(Name::From, NameAddr::parse)
    }

    /// To.
    pub fn to(&self) -> Result<NameAddr, HeaderError> {
        self.must(Name::To, NameAddr::parse)
    }

    /// Call-ID.
    pub fn call_id(&self) -> Result<Text, HeaderError> {
        self.must(Name::CallId, |raw| {
            Text::new(raw).filter(|id| header::is_call_id(id)).ok_or(BadValue::Malformed)
        })
    }

    /// CSeq.
    pub fn cseq(&self) -> Result<CSeq, HeaderError> {
        self.must(Name::CSeq, CSeq::parse)
    }

    /// Max-Forwards, at most 255.
    pub fn max_forwards(&self) -> Result<Option<u8>, HeaderError> {
        self.may(Name::MaxForwards, |raw| {
            u8::try_from(header::parse_number(&raw)?).map_err(|_| BadValue::OutOfRange)
        })
    }

    /// Content-Length in octets.
    pub fn content_length(&self) -> Result<Option<u32>, HeaderError> {
        if self.all(Name::ContentLength).nth(1).is_some() {
            return Err(HeaderError::Repeated(Name::ContentLength));
        }
        self.number(Name::ContentLength)
    }

    /// Content-Type.
    pub fn content_type(&self) -> Result<Option<MediaType>, HeaderError> {
        self.may(Name::ContentType, MediaType::parse)
    }

    /// Contact: addresses, or `*`.
    pub fn contacts(&self) -> Result<Contacts, HeaderError> {
        if self.list(Name::Contact).any(|value| value == "*") {
            let alone = self.list(Name::Contact).count() == 1;
            return if alone { Ok(Contacts::All) } else { Err(HeaderError::Malformed(Name::Contact)) };
        }
        self.name_addrs(Name::Contact).map(Contacts::List)
    }

    /// The first Contact address.
    pub fn contact(&self) -> Result<Option<NameAddr>, HeaderError> {
        match self.contacts()? {
            Contacts::All => Ok(None),
            Contacts::List(list) => Ok(list.into_iter().next()),
        }
    }

    /// Route, topmost first.
    pub fn routes(&self) -> Result<Vec<NameAddr>, HeaderError> {
        self.name_addrs(Name::Route)
    }

    /// Record-Route, topmost first.
    pub fn record_routes(&self) -> Result<Vec<NameAddr>, HeaderError> {
        self.name_addrs(Name::RecordRoute)
    }

    /// All addresses of a header that lists them (P-Asserted-Identity, Diversion, Path, ...).
    pub fn name_addrs(&self, name: Name) -> Result<Vec<NameAddr>, HeaderError> {
        self.each(name, MAX_LIST_VALUES, NameAddr::parse)
    }

    /// Refer-To.
    pub fn refer_to(&self) -> Result<Option<NameAddr>, HeaderError> {
        self.may(Name::ReferTo, NameAddr::parse)
    }

    /// Referred-By.
    pub fn referred_by(&self) -> Result<Option<NameAddr>, HeaderError> {
        self.may(Name::ReferredBy, NameAddr::parse)
    }

    /// RSeq (RFC 3262).
    pub fn rseq(&self) -> Result<Option<u32>, HeaderError> {
        self.number(Name::RSeq)
    }

    /// RAck (RFC 3262).
    pub fn rack(&self) -> Result<Option<RAck>, HeaderError> {
        self.may(Name::RAck, RAck::parse)
    }

    /// Session-Expires (RFC 4028).
    pub fn session_expires(&self) -> Result<Option<SessionExpires>, HeaderError> {
        self.may(Name::SessionExpires, SessionExpires::parse)
    }

    /// Min-SE in seconds (RFC 4028).
    pub fn min_se(&self) -> Result<Option<u32>, HeaderError> {
        self.may(Name::MinSe, |raw| SessionExpires::parse(raw).map(|v| v.seconds))
    }

    /// Expires in seconds.
    pub fn expires(&self) -> Result<Option<u32>, HeaderError> {
        self.number(Name::Expires)
    }

    /// Min-Expires in seconds.
    pub fn min_expires(&self) -> Result<Option<u32>, HeaderError> {
        self.number(Name::MinExpires)
    }

    /// Retry-After in seconds.
    pub fn retry_after(&self) -> Result<Option<u32>, HeaderError> {
        self.may(Name::RetryAfter, |raw| header::parse_retry_after(&raw))
    }

    /// All Reason values (RFC 3326).
    pub fn reasons(&self) -> Result<Vec<Reason>, HeaderError> {
        self.each(Name::Reason, MAX_LIST_VALUES, Reason::parse)
    }

    /// Replaces (RFC 3891).
    pub fn replaces(&self) -> Result<Option<Replaces>, HeaderError> {
        self.may(Name::Replaces, Replaces::parse)
    }

    /// Event (RFC 6665).
    pub fn event(&self) -> Result<Option<Event>, HeaderError> {
        self.may(Name::Event, Event::parse)
    }

    /// Subscription-State (RFC 6665).
    pub fn subscription_state(&self) -> Result<Option<SubscriptionState>, HeaderError> {
        self.may(Name::SubscriptionState, SubscriptionState::parse)
    }

    /// The tokens of Require, Proxy-Require, Supported, Allow, Unsupported, Allow-Events.
    pub fn tokens(&self, name: Name) -> Result<Vec<Text>, HeaderError> {
        self.each(name, MAX_LIST_VALUES, |raw| {
            Some(raw).filter(|r| header::is_token(r)).and_then(Text::new).ok_or(BadValue::Malformed)
        })
    }

    /// Whether a token list holds this token, in any case.
    pub fn has_token(&self, name: Name, token: &str) -> bool {
        self.list(name).any(|value| value.eq_ignore_ascii_case(token.as_bytes()))
    }

    /// All values of WWW-Authenticate, Proxy-Authenticate, Authorization or Proxy-Authorization, one per line.
    pub fn auth(&self, name: Name) -> Result<Vec<AuthValue>, HeaderError> {
        self.all(name)
            .take(MAX_LIST_VALUES)
            .map(|raw| AuthValue::parse(raw).map_err(|bad| HeaderError::new(name, bad)))
            .collect()
    }

    fn number(&self, name: Name) -> Result<Option<u32>, HeaderError> {
        self.may(name, |raw| header::parse_number(&raw))
    }

    fn must<T>(&self, name: Name, read: impl Fn(Bytes) -> Result<T, BadValue>) -> Result<T, HeaderError> {
        self.may(name, read)?.ok_or(HeaderError::Missing(name))
    }

    fn may<T>(
        &self,
        name: Name,
        read: impl Fn(Bytes) -> Result<T, BadValue>,
    ) -> Result<Option<T>, HeaderError> {
        self.get(name).map(|raw| read(raw).map_err(|bad| HeaderError::new(name, bad))).transpose()
    }

    fn each<T>(
        &self,
        name: Name,
        most: usize,
        read: impl Fn(Bytes) -> Result<T, BadValue>,
    ) -> Result<Vec<T>, HeaderError> {
        let mut all = Vec::new();
        for raw in self.list(name) {
            if all.len() == most {
                return Err(HeaderError::OutOfRange(name));
            }
            all.push(read(raw).map_err(|bad| HeaderError::new(name, bad))?);
        }
        Ok(all)
    }
}
