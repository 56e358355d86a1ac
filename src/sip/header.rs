//! Header names and typed header values.
//!
//! Every reader takes one unfolded value as [`Bytes`] and shares its buffer. Values that are carried on (URIs,
//! parameters) keep their octets; writing one out is its `Display`.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use thiserror::Error;

use super::text::Text;
use super::uri::{self, Host, Uri};

macro_rules! names {
    ($($variant:ident $long:literal $($compact:literal)?;)*) => {
        /// A header name; compact forms (RFC 3261 section 7.3.3) are folded into the long one.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Name {
            $(#[doc = concat!("`", $long, "`")] $variant,)*
            /// Any other header; look it up by its written name.
            Other,
        }

        /// Long name of each variant, in the order of the enum.
        const LONG: &[&str] = &[$($long,)*];
        const ALL: &[Name] = &[$(Name::$variant,)*];

        impl Name {
            fn compact(letter: u8) -> Self {
                match letter.to_ascii_lowercase() {
                    $($(b if b == $compact => Self::$variant,)?)*
                    _ => Self::Other,
                }
            }
        }
    };
}

names! {
    Via "Via" b'v';
    From "From" b'f';
    To "To" b't';
    CallId "Call-ID" b'i';
    CSeq "CSeq";
    MaxForwards "Max-Forwards";
    Contact "Contact" b'm';
    Route "Route";
    RecordRoute "Record-Route";
    ContentLength "Content-Length" b'l';
    ContentType "Content-Type" b'c';
    ContentEncoding "Content-Encoding" b'e';
    ContentDisposition "Content-Disposition";
    ContentLanguage "Content-Language";
    Accept "Accept";
    AcceptEncoding "Accept-Encoding";
    AcceptLanguage "Accept-Language";
    AlertInfo "Alert-Info";
    Allow "Allow";
    AllowEvents "Allow-Events" b'u';
    AuthenticationInfo "Authentication-Info";
    Authorization "Authorization";
    CallInfo "Call-Info";
    Date "Date";
    Diversion "Diversion";
    ErrorInfo "Error-Info";
    Event "Event" b'o';
    Expires "Expires";
    HistoryInfo "History-Info";
    Identity "Identity" b'y';
    InReplyTo "In-Reply-To";
    Join "Join";
    MimeVersion "MIME-Version";
    MinExpires "Min-Expires";
    MinSe "Min-SE";
    Organization "Organization";
    PAssertedIdentity "P-Asserted-Identity";
    PEarlyMedia "P-Early-Media";
    PPreferredIdentity "P-Preferred-Identity";
    Path "Path";
    Priority "Priority";
    Privacy "Privacy";
    ProxyAuthenticate "Proxy-Authenticate";
    ProxyAuthorization "Proxy-Authorization";
    ProxyRequire "Proxy-Require";
    RAck "RAck";
    Reason "Reason";
    RecvInfo "Recv-Info";
    ReferSub "Refer-Sub";
    ReferTo "Refer-To" b'r';
    ReferredBy "Referred-By" b'b';
    Replaces "Replaces";
    ReplyTo "Reply-To";
    Require "Require";
    RetryAfter "Retry-After";
    RSeq "RSeq";
    Server "Server";
    ServiceRoute "Service-Route";
    SessionExpires "Session-Expires" b'x';
    SipEtag "SIP-ETag";
    SipIfMatch "SIP-If-Match";
    Subject "Subject" b's';
    SubscriptionState "Subscription-State";
    Supported "Supported" b'k';
    Timestamp "Timestamp";
    Unsupported "Unsupported";
    UserAgent "User-Agent";
    Warning "Warning";
    WwwAuthenticate "WWW-Authenticate";
}

/// Longest known name; [`BY_LENGTH`] is indexed up to it.
const LONGEST: usize = 20;

/// `BY_LENGTH[n]..BY_LENGTH[n + 1]` are the places in [`SORTED`] of the names of length n.
const BY_LENGTH: [usize; LONGEST + 2] = sort_names().1;
const SORTED: [Name; ALL.len()] = sort_names().0;

const fn sort_names() -> ([Name; ALL.len()], [usize; LONGEST + 2]) {
    let mut sorted = [Name::Other; ALL.len()];
    let mut starts = [0; LONGEST + 2];
    let (mut length, mut filled) = (0, 0);
    while length <= LONGEST {
        starts[length] = filled;
        let mut i = 0;
        while i < ALL.len() {
            if LONG[i].len() == length {
                sorted[filled] = ALL[i];
                filled += 1;
            }
            i += 1;
        }
        length += 1;
    }
    starts[LONGEST + 1] = filled;
    assert!(filled == ALL.len(), "a name is longer than LONGEST");
    (sorted, starts)
}

impl Name {
    /// The name behind written octets, in any case and in either form.
    pub fn from_bytes(written: &[u8]) -> Self {
        match written {
            [letter] => Self::compact(*letter),
            _ if written.len() > LONGEST => Self::Other,
            _ => SORTED[BY_LENGTH[written.len()]..BY_LENGTH[written.len() + 1]]
                .iter()
                .copied()
                .find(|name| name.as_str().as_bytes().eq_ignore_ascii_case(written))
                .unwrap_or(Self::Other),
        }
    }

    /// The long form; empty for [`Name::Other`].
    pub fn as_str(self) -> &'static str {
        LONG.get(self as usize).copied().unwrap_or("")
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Other { "other" } else { self.as_str() })
    }
}

/// What is wrong with one header value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BadValue {
    /// It does not follow its grammar.
    #[error("malformed")]
    Malformed,
    /// A number is too large for its field.
    #[error("out of range")]
    OutOfRange,
}

/// What is wrong with a header of a message. `Display` is fit for a reason phrase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum HeaderError {
    /// A mandatory header is not there.
    #[error("Missing {0} Header")]
    Missing(Name),
    /// A header that may occur once occurs more often.
    #[error("Repeated {0} Header")]
    Repeated(Name),
    /// A value does not follow its grammar.
    #[error("Malformed {0} Header")]
    Malformed(Name),
    /// A number is too large for its field.
    #[error("{0} Out Of Range")]
    OutOfRange(Name),
    /// CSeq names another method than the start line.
    #[error("CSeq Method Mismatch")]
    MethodMismatch,
}

impl HeaderError {
    pub(super) fn new(name: Name, bad: BadValue) -> Self {
        match bad {
            BadValue::Malformed => Self::Malformed(name),
            BadValue::OutOfRange => Self::OutOfRange(name),
        }
    }
}

/// The `;name=value` tail of a value, kept as it came.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Params(Bytes);

impl Params {
    /// No parameters.
    pub const EMPTY: Self = Self(Bytes::new());

    /// Reads `;a;b=c;d="e"`, with blanks anywhere around the marks; empty input is no parameters.
    pub fn parse(raw: Bytes) -> Result<Self, BadValue> {
        let raw = trim(&raw);
        if raw.is_empty() {
            return Ok(Self(raw));
        }
        if raw.first() != Some(&b';') || raw.len() == 1 {
            return Err(BadValue::Malformed);
        }
        let params = Self(raw);
        for piece in pieces(&params.0[1..], b';') {
            let (name, value) = piece.ok_or(BadValue::Malformed)?;
            let lawful_value = value.is_none_or(|v| match v {
                [b'"', inner @ ..] => matches!(end_of_quoted(inner), Some(end) if end + 1 == inner.len()),
                _ => !v.iter().any(|b| is_blank(*b) || matches!(b, b'"' | b'<' | b'>' | b',')),
            });
            if !is_token(name) || !lawful_value {
                return Err(BadValue::Malformed);
            }
        }
        Ok(params)
    }

    /// Names and values in order; quoted values come without quotes and escapes.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<Text>)> {
        pieces(self.0.get(1..).unwrap_or_default(), b';').flatten().map(|(name, value)| {
            let value = value.map(|v| Text::lossy(unquote(&self.0.slice_ref(v))));
            (std::str::from_utf8(name).unwrap_or_default(), value)
        })
    }

    /// The first value of this name (any case). `Some(None)` is a parameter without value.
    pub fn get(&self, name: &str) -> Option<Option<Text>> {
        pieces(self.0.get(1..).unwrap_or_default(), b';')
            .flatten()
            .find(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| value.map(|v| Text::lossy(unquote(&self.0.slice_ref(v)))))
    }

    /// The first value of this name, `None` also when it has no value.
    pub fn value(&self, name: &str) -> Option<Text> {
        self.get(name).flatten()
    }

    /// Whether a parameter of this name is there.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Adds `;name` or `;name=value`; a value that is no token is quoted.
    pub fn push(&mut self, name: &str, value: Option<&str>) {
        let mut raw = Vec::with_capacity(self.0.len() + name.len() + 24);
        raw.extend_from_slice(&self.0);
        raw.push(b';');
        raw.extend_from_slice(name.as_bytes());
        if let Some(value) = value {
            raw.push(b'=');
            // Addresses and their brackets are plain here: `received=[::1]` is no token but legal as `host`.
            let plain = |b: &u8| is_token_char(*b) || matches!(b, b'[' | b']' | b':');
            if !value.is_empty() && value.as_bytes().iter().all(plain) {
                raw.extend_from_slice(value.as_bytes());
            } else {
                raw.extend_from_slice(quote(value).as_bytes());
            }
        }
        self.0 = Bytes::from(raw);
    }

    /// The parameters without those of this name.
    pub fn without(&self, name: &str) -> Self {
        let mut raw = Vec::with_capacity(self.0.len());
        for (n, value) in pieces(self.0.get(1..).unwrap_or_default(), b';').flatten() {
            if n.eq_ignore_ascii_case(name.as_bytes()) {
                continue;
            }
            raw.push(b';');
            raw.extend_from_slice(n);
            if let Some(value) = value {
                raw.push(b'=');
                raw.extend_from_slice(value);
            }
        }
        Self(Bytes::from(raw))
    }

    /// The octets as they came, beginning with `;` unless empty.
    pub fn raw(&self) -> &Bytes {
        &self.0
    }
}

impl fmt::Debug for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", String::from_utf8_lossy(&self.0))
    }
}

/// One `name=value` with blanks trimmed.
type Piece<'a> = (&'a [u8], Option<&'a [u8]>);

/// Cuts at `separator` outside quotes; an empty piece or an open quote is `None`.
fn pieces(raw: &[u8], separator: u8) -> impl Iterator<Item = Option<Piece<'_>>> {
    let mut rest = (!raw.is_empty()).then_some(raw);
    std::iter::from_fn(move || {
        let text = rest?;
        let (piece, after) = match find_outside_quotes(text, |b| b == separator) {
            Found::At(i) => (&text[..i], Some(&text[i + 1..])),
            Found::Nowhere => (text, None),
            Found::OpenQuote => {
                rest = None;
                return Some(None);
            }
        };
        rest = after;
        let (name, value) = match piece.iter().position(|&b| b == b'=') {
            Some(i) => (trim_slice(&piece[..i]), Some(trim_slice(&piece[i + 1..]))),
            None => (trim_slice(piece), None),
        };
        Some((!name.is_empty()).then_some((name, value)))
    })
}

/// A Via value: one hop of a request's way (RFC 3261 section 20.42).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Via {
    /// The transport the hop used.
    pub transport: Transport,
    /// Where the hop wants responses, unless `received` and `rport` say better.
    pub host: Host,
    /// The port of sent-by.
    pub port: Option<u16>,
    /// Everything behind sent-by.
    pub params: Params,
}

/// The transport token of a Via.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transport {
    /// `UDP`
    Udp,
    /// `TCP`
    Tcp,
    /// `TLS`
    Tls,
    /// `WS`
    Ws,
    /// `WSS`
    Wss,
    /// Any other token.
    Other(Text),
}

impl Transport {
    fn from_token(token: Bytes) -> Option<Self> {
        const KNOWN: [(&str, Transport); 5] = [
            ("UDP", Transport::Udp),
            ("TCP", Transport::Tcp),
            ("TLS", Transport::Tls),
            ("WS", Transport::Ws),
            ("WSS", Transport::Wss),
        ];
        for (name, transport) in KNOWN {
            if token.eq_ignore_ascii_case(name.as_bytes()) {
                return Some(transport);
            }
        }
        if is_token(&token) { Text::new(token).map(Self::Other) } else { None }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Ws => "WS",
            Self::Wss => "WSS",
            Self::Other(token) => token,
        })
    }
}

/// Every RFC 3261 branch begins so (section 8.1.1.7).
pub const MAGIC_COOKIE: &str = "z9hG4bK";

impl Via {
    /// A Via of ours: `branch` (with the magic cookie) and the request for `rport` (RFC 3581).
    pub fn new(transport: Transport, host: Host, port: Option<u16>, branch: &str) -> Self {
        let mut params = Params::EMPTY;
        params.push("branch", Some(branch));
        params.push("rport", None);
        Self { transport, host, port, params }
    }

    /// Reads one Via value (see [`split_list`] for a line of several).
    pub fn parse(raw: Bytes) -> Result<Self, BadValue> {
        let (head, tail) = cut_params(&raw);
        let params = Params::parse(tail)?;
        let (transport, host, port) = Self::parse_sent(&head).ok_or(BadValue::Malformed)?;
        Ok(Self { transport, host, port, params })
    }

    /// Protocol, version, transport and sent-by; blanks may stand around each `/`.
    fn parse_sent(head: &Bytes) -> Option<(Transport, Host, Option<u16>)> {
        let slash = |from: usize| head[from..].iter().position(|&b| b == b'/').map(|i| from + i);
        let first = slash(0)?;
        let second = slash(first + 1)?;
        if !trim_slice(&head[..first]).eq_ignore_ascii_case(b"SIP")
            || !is_token(trim_slice(&head[first + 1..second]))
        {
            return None;
        }
        let rest = trim(&head.slice(second + 1..));
        let blank = rest.iter().position(|&b| is_blank(b))?;
        let transport = Transport::from_token(rest.slice(..blank))?;
        let sent_by = trim(&rest.slice(blank..));
        let host_end = match sent_by.first()? {
            b'[' => sent_by.iter().position(|&b| b == b']')? + 1,
            _ => sent_by.iter().position(|&b| b == b':' || is_blank(b)).unwrap_or(sent_by.len()),
        };
        let host = Host::parse(&sent_by.slice(..host_end))?;
        let port = match trim_slice(&sent_by[host_end..]) {
            [] => None,
            [b':', digits @ ..] => Some(uri::parse_port(trim_slice(digits))?),
            _ => return None,
        };
        Some((transport, host, port))
    }

    /// The branch parameter.
    pub fn branch(&self) -> Option<Text> {
        self.params.value("branch")
    }

    /// The branch when it identifies a transaction by RFC 3261: the cookie and something behind it. A bare cookie
    /// (RFC 4475 section 3.2.1) is treated as an RFC 2543 branch, or all such requests would be one transaction.
    pub fn transaction_branch(&self) -> Option<Text> {
        let has_cookie = |b: &Text| {
            b.len() > MAGIC_COOKIE.len()
                && b.as_ref()[..MAGIC_COOKIE.len()].eq_ignore_ascii_case(MAGIC_COOKIE.as_bytes())
        };
        self.branch().filter(has_cookie)
    }

    /// The `received` address, with or without brackets.
    pub fn received(&self) -> Option<IpAddr> {
        let value = self.params.value("received")?;
        value.trim_start_matches('[').trim_end_matches(']').parse().ok()
    }

    /// `Some(None)`: the sender asks for `rport`; `Some(Some(port))`: it was filled in.
    pub fn rport(&self) -> Option<Option<u16>> {
        Some(self.params.get("rport")?.and_then(|v| uri::parse_port(v.as_ref())))
    }

    /// The `maddr` parameter.
    pub fn maddr(&self) -> Option<Host> {
        Host::parse(self.params.value("maddr")?.as_bytes())
    }

    /// The same Via after a hop saw it come from `source`: `received` when sent-by is not that address (RFC 3261
    /// section 18.2.1), and both `received` and `rport` when the sender asked for rport (RFC 3581 section 4).
    /// What the sender wrote into these two itself is replaced; nobody else can know them.
    pub fn seen_from(&self, source: SocketAddr) -> Self {
        let mut via = self.clone();
        let asked = via.params.has("rport");
        let differs = via.host.ip() != Some(source.ip());
        if via.params.has("received") {
            via.params = via.params.without("received");
        }
        if asked {
            via.params = via.params.without("rport");
        }
        if differs || asked {
            via.params.push("received", Some(&source.ip().to_string()));
        }
        if asked {
            via.params.push("rport", Some(&source.port().to_string()));
        }
        via
    }
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SIP/2.0/{} {}", self.transport, self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        f.write_str(&String::from_utf8_lossy(&self.params.0))
    }
}

/// A name-addr or addr-spec with parameters: From, To, Contact, Route, Record-Route, Refer-To and their kin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameAddr {
    /// The display name as written: with its quotes if it had them, octets as they came.
    display: Option<Bytes>,
    /// The address.
    pub uri: Uri,
    /// Header parameters (not those of the URI).
    pub params: Params,
}

impl NameAddr {
    /// An address without display name or parameters.
    pub fn new(uri: Uri) -> Self {
        Self { display: None, uri, params: Params::EMPTY }
    }

    /// The same with this display name, quoted.
    pub fn with_display(mut self, name: &str) -> Self {
        self.display = Some(Bytes::from(quote(name)));
        self
    }

    /// The same with a header parameter added.
    pub fn with_param(mut self, name: &str, value: Option<&str>) -> Self {
        self.params.push(name, value);
        self
    }

    /// The same with this tag instead of any there was.
    pub fn with_tag(mut self, tag: &str) -> Self {
        if self.params.has("tag") {
            self.params = self.params.without("tag");
        }
        self.with_param("tag", Some(tag))
    }

    /// Reads one value (see [`split_list`] for a line of several).
    ///
    /// Lenient where the sense is plain: no blank before `<`, blanks inside `<>` (RFC 4475 section 3.1.2.14), a
    /// comma or other non-token in an unquoted display name where only one value is legal (section 3.1.2.15).
    pub fn parse(raw: Bytes) -> Result<Self, BadValue> {
        let raw = trim(&raw);
        let mark = raw.iter().position(|&b| b == b'<' || b == b'"');
        match mark.map(|i| (i, raw[i])) {
            Some((0, b'"')) => {
                let end = end_of_quoted(&raw[1..]).ok_or(BadValue::Malformed)? + 2;
                let open = end + raw[end..].iter().take_while(|b| is_blank(**b)).count();
                if raw.get(open) != Some(&b'<') {
                    return Err(BadValue::Malformed);
                }
                Self::parse_bracketed(&raw, Some(raw.slice(..end)), open)
            }
            Some((open, b'<')) => {
                let display = trim(&raw.slice(..open));
                Self::parse_bracketed(&raw, (!display.is_empty()).then_some(display), open)
            }
            _ => Self::parse_bare(&raw),
        }
    }

    fn parse_bracketed(raw: &Bytes, display: Option<Bytes>, open: usize) -> Result<Self, BadValue> {
        let close = raw[open..].iter().position(|&b| b == b'>').ok_or(BadValue::Malformed)? + open;
        let uri = Uri::parse(trim(&raw.slice(open + 1..close))).map_err(|_| BadValue::Malformed)?;
        Ok(Self { display, uri, params: Params::parse(raw.slice(close + 1..))? })
    }

    /// RFC 3261 section 20: without `<>`, what follows `;` belongs to the header, and `?` or `,` may not occur.
    fn parse_bare(raw: &Bytes) -> Result<Self, BadValue> {
        let (head, tail) = cut_params(raw);
        if head.iter().any(|b| matches!(b, b'?' | b',')) {
            return Err(BadValue::Malformed);
        }
        let uri = Uri::parse(head).map_err(|_| BadValue::Malformed)?;
        Ok(Self { display: None, uri, params: Params::parse(tail)? })
    }

    /// The display name for people: unquoted, octets that are not UTF-8 replaced.
    pub fn display_name(&self) -> Option<Text> {
        self.display.as_ref().map(|raw| Text::lossy(unquote(raw))).filter(|name| !name.is_empty())
    }

    /// The tag, when there is one and it is not empty.
    pub fn tag(&self) -> Option<Text> {
        self.params.value("tag").filter(|tag| !tag.is_empty())
    }

    /// The value as octets; a Latin-1 display name goes out as it came.
    pub fn to_bytes(&self) -> Bytes {
        let mut out = Vec::with_capacity(64);
        if let Some(display) = &self.display {
            out.extend_from_slice(display);
            out.push(b' ');
        }
        out.push(b'<');
        out.extend_from_slice(self.uri.as_str().as_bytes());
        out.push(b'>');
        out.extend_from_slice(&self.params.0);
        Bytes::from(out)
    }
}

impl fmt::Display for NameAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.to_bytes()))
    }
}

/// The Contact headers of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Contacts {
    /// `Contact: *` of a REGISTER that removes every binding.
    All,
    /// Addresses in order; none when there is no Contact.
    List(Vec<NameAddr>),
}

/// A request's method. Methods are case-sensitive (RFC 3261 section 7.1).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Method {
    Invite,
    Ack,
    Bye,
    Cancel,
    Options,
    Register,
    Prack,
    Update,
    Info,
    Refer,
    Notify,
    Subscribe,
    Message,
    Publish,
    /// Any other token.
    Other(Text),
}

impl Method {
    /// Reads a method token.
    pub fn parse(token: &Bytes) -> Option<Self> {
        Some(match &token[..] {
            b"INVITE" => Self::Invite,
            b"ACK" => Self::Ack,
            b"BYE" => Self::Bye,
            b"CANCEL" => Self::Cancel,
            b"OPTIONS" => Self::Options,
            b"REGISTER" => Self::Register,
            b"PRACK" => Self::Prack,
            b"UPDATE" => Self::Update,
            b"INFO" => Self::Info,
            b"REFER" => Self::Refer,
            b"NOTIFY" => Self::Notify,
            b"SUBSCRIBE" => Self::Subscribe,
            b"MESSAGE" => Self::Message,
            b"PUBLISH" => Self::Publish,
            other if is_token(other) => Self::Other(Text::new(token.clone())?),
            _ => return None,
        })
    }

    /// The method as written.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Invite => "INVITE",
            Self::Ack => "ACK",
            Self::Bye => "BYE",
            Self::Cancel => "CANCEL",
            Self::Options => "OPTIONS",
            Self::Register => "REGISTER",
            Self::Prack => "PRACK",
            Self::Update => "UPDATE",
            Self::Info => "INFO",
            Self::Refer => "REFER",
            Self::Notify => "NOTIFY",
            Self::Subscribe => "SUBSCRIBE",
            Self::Message => "MESSAGE",
            Self::Publish => "PUBLISH",
            Self::Other(token) => token,
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A CSeq value. RFC 3261 section 8.1.1.5: the number is below 2^31.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CSeq {
    /// The sequence number.
    pub number: u32,
    /// The method of the request this belongs to.
    pub method: Method,
}

/// First CSeq number that is too large.
const CSEQ_END: u32 = 1 << 31;

impl CSeq {
    /// Reads `number method`.
    pub fn parse(raw: Bytes) -> Result<Self, BadValue> {
        let (number, method) = cut_word(&raw);
        let number = parse_number(&number)?;
        if number >= CSEQ_END {
            return Err(BadValue::OutOfRange);
        }
        let method = Method::parse(&method).ok_or(BadValue::Malformed)?;
        Ok(Self { number, method })
    }
}

impl fmt::Display for CSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number, self.method)
    }
}

/// RAck of a PRACK (RFC 3262 section 7.2): the RSeq it answers and the CSeq of the INVITE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RAck {
    /// The RSeq number acknowledged.
    pub rseq: u32,
    /// The CSeq of the provisional response.
    pub cseq: CSeq,
}

impl RAck {
    /// Reads `rseq cseq method`.
    pub fn parse(raw: Bytes) -> Result<Self, BadValue> {
        let (rseq, rest) = cut_word(&raw);
        Ok(Self { rseq: parse_number(&rseq)?, cseq: CSeq::parse(rest)? })
    }
}

impl fmt::Display for RAck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.rseq, self.cseq)
    }
}

/// A media type with parameters: Content-Type, one Accept value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaType {
    /// `application` of `application/sdp`.
    pub kind: Text,
    /// `sdp` of `application/sdp`.
    pub subtype: Text,
    /// `boundary` and the like.
    pub params: Params,
}

impl MediaType {
    /// Reads `type/subtype;params`.
    pub fn parse(raw: Bytes) -> Result<Self, BadValue> {
        let (head, tail) = cut_params(&raw);
        let slash = head.iter().position(|&b| b == b'/').ok_or(BadValue::Malformed)?;
        let token = |part: Bytes| Some(trim(&part)).filter(|p| is_token(p)).and_then(Text::new);
        let kind = token(head.slice(..slash)).ok_or(BadValue::Malformed)?;
        let subtype = token(head.slice(slash + 1..)).ok_or(BadValue::Malformed)?;
        Ok(Self { kind, subtype, params: Params::parse(tail)? })
    }

    /// Whether this is `kind/subtype`, in any case.
    pub fn is(&self, kind: &str, subtype: &str) -> bool {
        self.kind.eq_ignore_ascii_case(kind) && self.subtype.eq_ignore_ascii_case(subtype)
    }

    /// Whether this is `application/sdp`.
    pub fn is_sdp(&self) -> bool {
        self.is("application", "sdp")
    }
}

/// Session-Expires (RFC 4028 section 4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionExpires {
    /// Seconds until the session ends unless refreshed.
    pub seconds: u32,
    /// Who refreshes, when said.
    pub refresher: Option<Refresher>,
}

/// Who sends the session refreshes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refresher {
    /// The caller of the refresh transaction.
    Uac,
    /// Its server.
    Uas,
}

impl SessionExpires {
    /// Reads `seconds;refresher=uac|uas`.
    pub fn parse(raw: Bytes) -> Result<Self, BadValue> {
        let (head, tail) = cut_params(&raw);
        let refresher = match Params::parse(tail)?.value("refresher") {
            Some(who) if who.eq_ignore_ascii_case("uac") => Some(Refresher::Uac),
            Some(who) if who.eq_ignore_ascii_case("uas") => Some(Refresher::Uas),
            _ => None,
        };
        Ok(Self { seconds: parse_number(&head)?, refresher })
    }
}

impl fmt::Display for SessionExpires {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.seconds)?;
        match self.refresher {
            Some(Refresher::Uac) => f.write_str(";refresher=uac"),
            Some(Refresher::Uas) => f.write_str(";refresher=uas"),
            None => Ok(()),
        }
    }
}

/// One Reason value (RFC 3326): `Q.850;cause=16;text="Normal call clearing"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// `SIP`, `Q.850`, ...
    pub protocol: Text,
    /// The cause number of that protocol.
    pub cause: Option<u32>,
    /// The words.
    pub text: Option<Text>,
}

impl Reason {
    /// Reads one value.
    pub fn parse(raw: Bytes) -> Result<Self, BadValue> {
        let (head, params) = token_and_params(&raw)?;
        let cause = params.value("cause").map(|c| parse_number(c.as_ref())).transpose()?;
        Ok(Self { protocol: head, cause, text: params.value("text") })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.protocol)?;
        if let Some(cause) = self.cause {
            write!(f, ";cause={cause}")?;
        }
        match &self.text {
            Some(text) => write!(f, ";text={}", quote(text)),
            None => Ok(()),
        }
    }
}

/// Replaces (RFC 3891) or Join: names a dialog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replaces {
    /// Call-ID of the dialog.
    pub call_id: Text,
    /// Tag of the side the request is sent to.
    pub to_tag: Text,
    /// Tag of the other side.
    pub from_tag: Text,
    /// Replace only an early dialog.
    pub early_only: bool,
}

impl Replaces {
    /// Reads `call-id;to-tag=..;from-tag=..`; both tags must be there (RFC 3891 section 3).
    pub fn parse(raw: Bytes) -> Result<Self, BadValue> {
        let (head, tail) = cut_params(&raw);
        let params = Params::parse(tail)?;
        let one = |name: &str| {
            let mut all = params.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
            match (all.next(), all.next()) {
                (Some((_, Some(value))), None) => Ok(value),
                _ => Err(BadValue::Malformed),
            }
        };
        let call_id = Text::new(head).filter(|id| is_call_id(id)).ok_or(BadValue::Malformed)?;
        let early_only = params.has("early-only");
        Ok(Self { call_id, to_tag: one("to-tag")?, from_tag: one("from-tag")?, early_only })
    }
}

impl fmt::Display for Replaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{};to-tag={};from-tag={}", self.call_id, self.to_tag, self.from_tag)?;
        if self.early_only { f.write_str(";early-only") } else { Ok(()) }
    }
}

/// Event (RFC 6665 section 8.2.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The package, with any template: `refer`, `presence.winfo`.
    pub package: Text,
    /// `id` and others.
    pub params: Params,
}

impl Event {
    /// Reads `package;params`.
    pub fn parse(raw: Bytes) -> Result<Self, BadValue> {
        let (package, params) = token_and_params(&raw)?;
        Ok(Self { package, params })
    }

    /// The id parameter.
    pub fn id(&self) -> Option<Text> {
        self.params.value("id")
    }
}

/// Subscription-State (RFC 6665 section 8.2.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriptionState {
    /// `active`, `pending`, `terminated` or another token.
    pub state: Text,
    /// Seconds until the subscription ends.
    pub expires: Option<u32>,
    /// Why it ended.
    pub reason: Option<Text>,
    /// Seconds to wait before trying again.
    pub retry_after: Option<u32>,
}

impl SubscriptionState {
    /// Reads `state;params`.
    pub fn parse(raw: Bytes) -> Result<Self, BadValue> {
        let (state, params) = token_and_params(&raw)?;
        let seconds = |name: &str| params.value(name).map(|v| parse_number(v.as_ref())).transpose();
        let (expires, retry_after) = (seconds("expires")?, seconds("retry-after")?);
        Ok(Self { state, expires, reason: params.value("reason"), retry_after })
    }

    /// Whether the subscription is over.
    pub fn is_terminated(&self) -> bool {
        self.state.eq_ignore_ascii_case("terminated")
    }
}

impl fmt::Display for SubscriptionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.state)?;
        if let Some(seconds) = self.expires {
            write!(f, ";expires={seconds}")?;
        }
        if let Some(reason) = &self.reason {
            write!(f, ";reason={reason}")?;
        }
        match self.retry_after {
            Some(seconds) => write!(f, ";retry-after={seconds}"),
            None => Ok(()),
        }
    }
}

/// WWW-/Proxy-Authenticate or (Proxy-)Authorization: a scheme with `name=value` items, or opaque text for schemes
/// that are written otherwise.
#[derive(Clone, PartialEq, Eq)]
pub struct AuthValue {
    /// `Digest`, or whatever was named.
    pub scheme: Text,
    rest: Bytes,
}

impl AuthValue {
    /// Reads `scheme rest`. An unknown scheme is no error (RFC 4475 section 3.3.7); reading its items may find none.
    pub fn parse(raw: Bytes) -> Result<Self, BadValue> {
        let (scheme, rest) = cut_word(&raw);
        let scheme = Some(scheme).filter(|s| is_token(s)).and_then(Text::new).ok_or(BadValue::Malformed)?;
        Ok(Self { scheme, rest })
    }

    /// Whether the scheme is Digest.
    pub fn is_digest(&self) -> bool {
        self.scheme.eq_ignore_ascii_case("Digest")
    }

    /// The first item of this name, unquoted.
    pub fn item(&self, name: &str) -> Option<Text> {
        pieces(&self.rest, b',')
            .map_while(|piece| piece)
            .find(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes()))
            .and_then(|(_, value)| Some(Text::lossy(unquote(&self.rest.slice_ref(value?)))))
    }

    /// How many items bear this name; a repeated one is ambiguous and must not be trusted.
    pub fn count(&self, name: &str) -> usize {
        pieces(&self.rest, b',')
            .map_while(|piece| piece)
            .filter(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes()))
            .count()
    }
}

impl fmt::Debug for AuthValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The response hash is a credential: it feeds offline guessing.
        write!(f, "{} [redacted]", self.scheme)
    }
}

/// Reads Retry-After (RFC 3261 section 20.33): seconds, whatever comment or parameters follow.
pub fn parse_retry_after(raw: &[u8]) -> Result<u32, BadValue> {
    let end = raw.iter().position(|b| !b.is_ascii_digit()).unwrap_or(raw.len());
    let tail = trim_slice(&raw[end..]);
    if !matches!(tail.first(), None | Some(b'(' | b';')) {
        return Err(BadValue::Malformed);
    }
    parse_number(&raw[..end])
}

/// Reads a decimal number of any length, with blanks around it.
pub fn parse_number(raw: &[u8]) -> Result<u32, BadValue> {
    let digits = trim_slice(raw);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(BadValue::Malformed);
    }
    digits
        .iter()
        .try_fold(0u32, |sum, d| sum.checked_mul(10)?.checked_add(u32::from(d - b'0')))
        .ok_or(BadValue::OutOfRange)
}

/// Whether this can be a Call-ID: `word [@ word]`, which in practice is any visible text.
pub fn is_call_id(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b > b' ' && b != 0x7f)
}

/// Cuts a value at the commas outside quotes and `<>`. Empty pieces (`a,,b`) are left out; an open quote keeps the
/// rest as one piece, which its reader then refuses.
pub fn split_list(raw: &Bytes) -> impl Iterator<Item = Bytes> + use<> {
    let mut rest = Some(raw.clone());
    std::iter::from_fn(move || {
        loop {
            let text = rest.take()?;
            let mut in_brackets = false;
            let found = find_outside_quotes(&text, |b| {
                match b {
                    b'<' => in_brackets = true,
                    b'>' => in_brackets = false,
                    _ => {}
                }
                b == b',' && !in_brackets
            });
            let piece = match found {
                Found::At(i) => {
                    rest = Some(text.slice(i + 1..));
                    trim(&text.slice(..i))
                }
                Found::Nowhere | Found::OpenQuote => trim(&text),
            };
            if !piece.is_empty() {
                return Some(piece);
            }
        }
    })
}

enum Found {
    At(usize),
    Nowhere,
    OpenQuote,
}

fn find_outside_quotes(text: &[u8], mut wanted: impl FnMut(u8) -> bool) -> Found {
    let mut i = 0;
    while let Some(&b) = text.get(i) {
        if b == b'"' {
            match end_of_quoted(&text[i + 1..]) {
                Some(end) => i += end + 2,
                None => return Found::OpenQuote,
            }
            continue;
        }
        if wanted(b) {
            return Found::At(i);
        }
        i += 1;
    }
    Found::Nowhere
}

/// Where the closing quote lies in text that begins behind the opening one.
fn end_of_quoted(inner: &[u8]) -> Option<usize> {
    let mut i = 0;
    loop {
        match inner.get(i)? {
            b'\\' => i += 2,
            b'"' => return Some(i),
            _ => i += 1,
        }
    }
}

/// Value and `;params`, cut at the first `;` outside quotes.
fn cut_params(raw: &Bytes) -> (Bytes, Bytes) {
    match find_outside_quotes(raw, |b| b == b';') {
        Found::At(i) => (trim(&raw.slice(..i)), raw.slice(i..)),
        Found::Nowhere | Found::OpenQuote => (trim(raw), Bytes::new()),
    }
}

fn token_and_params(raw: &Bytes) -> Result<(Text, Params), BadValue> {
    let (head, tail) = cut_params(raw);
    let head = Some(head).filter(|h| is_token(h)).and_then(Text::new).ok_or(BadValue::Malformed)?;
    Ok((head, Params::parse(tail)?))
}

/// The first word and what follows it.
fn cut_word(raw: &Bytes) -> (Bytes, Bytes) {
    let raw = trim(raw);
    let end = raw.iter().position(|&b| is_blank(b)).unwrap_or(raw.len());
    (raw.slice(..end), trim(&raw.slice(end..)))
}

/// Without quotes and escapes; text without quotes stays as it is.
fn unquote(raw: &Bytes) -> Bytes {
    let Some(inner) = raw.strip_prefix(b"\"").and_then(|r| r.strip_suffix(b"\"")) else { return raw.clone() };
    if !inner.contains(&b'\\') {
        return raw.slice_ref(inner);
    }
    let mut out = Vec::with_capacity(inner.len());
    let mut octets = inner.iter();
    while let Some(&b) = octets.next() {
        out.push(if b == b'\\' { octets.next().copied().unwrap_or(b) } else { b });
    }
    Bytes::from(out)
}

/// A quoted-string; line breaks, which no quoting can carry, become blanks.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\r' | '\n' | '\0' => out.push(' '),
            _ => out.push(c),
        }
    }
    out.push('"');
    out
}

pub(super) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().copied().all(is_token_char)
}

const fn is_token_char(b: u8) -> bool {
    b.is_ascii_alphanumeric()
        || matches!(b, b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~')
}

pub(super) fn is_blank(b: u8) -> bool {
    b == b' ' || b == b'\t'
}

pub(super) fn trim(raw: &Bytes) -> Bytes {
    raw.slice_ref(trim_slice(raw))
}

fn trim_slice(mut raw: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = raw
        && is_blank(*first)
    {
        raw = rest;
    }
    while let [rest @ .., last] = raw
        && is_blank(*last)
    {
        raw = rest;
    }
    raw
}

#[cfg(test)]
mod tests;
