//! One thing the reader found: where it is, what is wrong and what to do about it.

use std::fmt;

use serde::{Serialize, Serializer};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file can be used; somebody should look at this.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// A finding with its place in the file. Neither `message` nor `remedy` ever quotes a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Whether the file can still be used.
    pub severity: Severity,
    /// The stable name of the rule, for `sidetone explain`.
    pub code: Code,
    /// Line in the file, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The setting, as `person[alice].register.username`; empty for the file as a whole.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub remedy: String,
}

/// `12:5: error[unknown-key] sip.upd: there is no such setting; write "udp"`
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { severity, code, line, column, path, message, remedy } = self;
        write!(f, "{line}:{column}: {severity}[{code}] ")?;
        if !path.is_empty() {
            write!(f, "{path}: ")?;
        }
        write!(f, "{message}; {remedy}")
    }
}

macro_rules! codes {
    ($($name:ident $text:literal $explanation:literal)*) => {
        /// The rules a file can break. The texts are stable: scripts may compare them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {$(
            #[doc = $explanation]
            $name,
        )*}

        impl Code {
            /// Every rule, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The stable name.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {$(Self::$name => $text,)*}
            }

            /// The rule in a sentence or two.
            #[must_use]
            pub fn explanation(self) -> &'static str {
                match self {$(Self::$name => $explanation,)*}
            }
        }
    };
}

codes! {
    Syntax "syntax" "The text is not TOML at this place. Settings after it may be missing from the check until it is mended."
    TooLarge "too-large" "The file is larger than the reader accepts."
    TooManyFindings "too-many-findings" "There is more wrong with the file than is worth listing; mend these first."
    UnknownKey "unknown-key" "There is no setting of this name here. Unknown names are refused because a misspelt limit would silently not hold."
    MissingKey "missing-key" "A setting without which the section has no meaning."
    WrongType "wrong-type" "The value has another TOML type than the setting."
    BadValue "bad-value" "The value has the right type and cannot be understood."
    OutOfRange "out-of-range" "A number outside the limits of the setting."
    TooLong "too-long" "A text or list longer than the setting allows."
    OutOfPlace "out-of-place" "The setting means nothing together with the others of its section."
    ExactlyOne "exactly-one" "Of several settings exactly one must be given."
    BadId "bad-id" "An id is 1 to 64 letters, digits, '.', '_' or '-', beginning with a letter or digit."
    DuplicateId "duplicate-id" "Two things of one kind have the same id."
    Duplicate "duplicate" "Two things share what must tell them apart: an extension, a user name, a token, a source range, a target."
    UnknownReference "unknown-reference" "The setting names something that the file does not define."
    ForeignReference "foreign-reference" "The setting names something of another tenant. Nothing crosses between tenants."
    WrongRole "wrong-role" "The person named has another role than this place asks for."
    NoDestination "no-destination" "A route leads to a trunk that has no `destination`, so it cannot be dialled."
    RouteTie "route-tie" "Two routes match the same calls equally well, so neither can be preferred."
    Overlap "overlap" "Two listeners want the same port, or a listener lies inside the media port range."
    BadCidr "bad-cidr" "Not an address range such as 192.0.2.0/24, or one with address bits set beyond its prefix."
    InlineSecret "inline-secret" "Secrets are kept out of the file: it is copied, mailed and put under version control."
    SecretUnavailable "secret-unavailable" "The file or environment variable that should hold the secret cannot be read."
    SecretUnfit "secret-unfit" "The secret is there and cannot be used: empty, too short, or with control characters."
    TrustsEveryone "trusts-everyone" "A trunk's source range is so wide that anybody on the Internet may place calls through it."
    TeamsUnchecked "teams-unchecked" "People at Teams are rung of whom nothing is known but that the trunk is up."
    EmergencyPlaceless "emergency-placeless" "Calls to an emergency service carry neither a number that it knows the place by nor a location, so nobody knows where to send help."
    PlainHttp "plain-http" "Events would travel over an open network unencrypted."
    NobodyToReach "nobody-to-reach" "The team has no agent, so the target can never answer."
    NothingInScope "nothing-in-scope" "A supervisor's token with no team may supervise nobody."
    PortsTooFew "ports-too-few" "The media port range cannot hold the number of calls that the limits allow."
    NeedsTls "needs-tls" "Something here travels over TLS and there is no listener or no certificate for it."
    KeysInClear "keys-in-clear" "SRTP keys stand in the SDP, so whoever reads the signalling hears the call. They travel over TLS only."
    BadFqdn "bad-fqdn" "Not a name that Microsoft pairs: at most 63 letters, digits and hyphens in labels, no address, nothing under onmicrosoft.com."
    DirectRouting "direct-routing" "The trunk breaks a published rule of Direct Routing, and Microsoft would refuse its calls or let them go silent."
    CertificateUnreadable "certificate-unreadable" "A certificate, key or file of roots cannot be read, or the key is not that of the certificate."
    CertificateChain "certificate-chain" "The certificates of the file do not lead from ours to a known root. Peers have the roots and nothing else, so every intermediate has to be sent."
    CertificateSelfSigned "certificate-self-signed" "Nobody vouches for the certificate but itself. Microsoft refuses it."
    CertificateExpiry "certificate-expiry" "A certificate is valid between two dates. The second is warned of 30 days before."
    CertificateUsage "certificate-usage" "What the extended key usage lets a certificate be used for. serverAuth is needed; clientAuth was asked for besides until 2026."
    CertificateKey "certificate-key" "The kind or length of the key. The cipher suites of Microsoft's proxies need RSA of at least 2048 bits."
    CertificateName "certificate-name" "The certificate must bear the name by which the trunk's peer knows us. A wildcard stands for exactly one label."
    RecordingUnreadable "recording-unreadable" "Music on hold or a prompt cannot be played: the file is not there, or is no WAV file of 16-bit samples at 8 or 16 kHz. The gateway does not start with it."
    CertificateRoots "certificate-roots" "Microsoft's proxies show certificates below seven roots, and move between them without notice."
    NeedsAdvertised "needs-advertised" "The listener is bound to every address of the host, so peers need to be told which one to use."
}

impl Code {
    /// Whether text that could not be read elsewhere in the file may be the only reason for the finding.
    pub(crate) fn may_come_from_absence(self) -> bool {
        matches!(
            self,
            Self::MissingKey
                | Self::ExactlyOne
                | Self::OutOfPlace
                | Self::UnknownReference
                | Self::ForeignReference
                | Self::WrongRole
                | Self::NoDestination
                | Self::NobodyToReach
                | Self::NothingInScope
                | Self::PortsTooFew
                | Self::NeedsAdvertised
                | Self::NeedsTls
                | Self::DirectRouting
                | Self::Overlap
        )
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Code {
    type Err = UnknownCode;

    fn from_str(text: &str) -> Result<Self, UnknownCode> {
        Self::ALL.iter().copied().find(|code| code.as_str() == text).ok_or(UnknownCode)
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// No rule has this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no configuration rule has this name")]
pub struct UnknownCode;
