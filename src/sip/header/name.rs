//! Header names: known ones by number, compact forms folded.

use std::fmt;

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
        pub(super) const ALL: &[Name] = &[$(Name::$variant,)*];

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
