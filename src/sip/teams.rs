//! Everything that is peculiar to Microsoft's Direct Routing, and only that.
//!
//! Pure: it answers what to say to Microsoft's proxies and what their words mean. Told shortly (facts of its
//! documentation and of public traces):
//!
//! - It knows us by the *paired name*, which is the host of our Contact, of From and of Via, never an address. No Record-Route,
//!   no `sips:` URI.
//! - It understands neither PRACK, UPDATE, INFO nor REFER from us, no Replaces, and no INVITE without an offer. It sends REFER
//!   only to those whose Allow has it, and Replaces otherwise; so our Allow decides how calls are transferred.
//! - Its Contact points at port 443, where nothing listens to SIP. Requests inside a dialog name it byte for byte and travel
//!   to the first Route, which is particular to one datacentre.
//! - Hold is `a=inactive` with a true address; `sendonly` and `0.0.0.0` are not understood.
//! - 183 with a description promises no sound: until packets come, the ringing tone is ours to make.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sbc_config::{Dialect, TransferStyle, Trunk};

use super::header::NameAddr;
use super::manners::Manners;
use super::session::SessionTimers;
use super::uri::{Host, Uri};

/// Allow while Microsoft may transfer by REFER. Without REFER in it none ever comes; NOTIFY belongs there in every mode.
const ALLOW_REFER: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, REFER, NOTIFY, UPDATE, INFO";

/// Allow while Microsoft is to transfer within itself.
const ALLOW_HIDDEN: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, NOTIFY, UPDATE, INFO";

/// The session interval for calls that Microsoft brings: what it offers (RFC 4028), and the least that anybody may ask.
const TIMERS: SessionTimers = SessionTimers { interval: 3600, min: 90 };

/// Microsoft takes a call elsewhere that has got no 18x within ten seconds (`FailoverTimeSeconds`), and 100 may not count. What is
/// left is for the way there.
const ALERT_WITHIN: Duration = Duration::from_secs(8);

/// The port of its SIP listeners, where a URI names none.
pub(super) const PORT: u16 = 5061;

/// Whether this trunk leads to Microsoft.
pub fn is_teams(trunk: &Trunk) -> bool {
    trunk.dialect == Dialect::Microsoft
}

/// How a trunk to Microsoft is spoken to. `port` is where it was told that we listen; `caller` is shown by a call of ours.
pub fn manners(trunk: &Trunk, port: u16, caller: Option<&str>) -> Manners {
    let refers = trunk.transfer == TransferStyle::Refer;
    let name = trunk.fqdn.as_ref().map(|fqdn| (Host::Name(fqdn.as_ref().into()), port));
    let x_ms_sbc = trunk.x_ms_sbc.as_ref();
    Manners {
        name,
        contact_user: caller.filter(|caller| is_e164(caller)).map(str::to_owned),
        allow: if refers { ALLOW_REFER } else { ALLOW_HIDDEN },
        supported: Some(if refers { "replaces, timer" } else { "timer" }),
        prack: false,
        by_route: true,
        replaces: refers,
        timers: Some(TIMERS),
        alert_within: Some(ALERT_WITHIN),
        we_refresh: true,
        headers: x_ms_sbc.map(|us| ("X-MS-SBC", Bytes::copy_from_slice(us.as_bytes()))).into_iter().collect(),
    }
}

/// A number as Microsoft wants it: everything else is taken for an address.
pub fn is_e164(number: &str) -> bool {
    let digits = number.strip_prefix('+');
    digits.is_some_and(|digits| {
        (1..=15).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_digit())
    })
}

/// Our From: the number at the paired name, as a telephone number where it is one.
pub fn from(trunk: &Trunk, port: u16, number: &str, name: Option<&str>) -> Option<NameAddr> {
    let host = Host::Name(trunk.fqdn.as_ref()?.as_ref().into());
    let uri = Uri::sip(Some(number), &host, Some(port)).ok()?;
    let uri = if is_e164(number) { uri.with_param("user", Some("phone")).ok()? } else { uri };
    let from = NameAddr::new(uri);
    Some(match name {
        Some(name) => from.with_display(name),
        None => from,
    })
}

/// Our From where nobody calls: the paired name alone.
pub fn ourselves(trunk: &Trunk, port: u16) -> Option<NameAddr> {
    let host = Host::Name(trunk.fqdn.as_ref()?.as_ref().into());
    Uri::sip(None, &host, Some(port)).ok().map(NameAddr::new)
}

/// What to call the target of a transfer in records: a number, or Microsoft's name of a person.
pub fn target_name(uri: &Uri) -> String {
    let person = uri.param("x-m").flatten().map(str::to_owned);
    uri.user_unescaped().or(person).unwrap_or_else(|| "a Teams user".to_owned())
}

/// The keys by which Microsoft's support finds a call: its `x-i` stands in the Contact.
pub fn correlation(contact: &Uri) -> Option<Arc<str>> {
    contact.param("x-i").flatten().map(Arc::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri {
        Uri::parse(Bytes::copy_from_slice(text.as_bytes())).unwrap()
    }

    #[test]
    fn only_a_plus_and_digits_are_a_number() {
        assert!(is_e164("+15550100"));
        for other in ["15550100", "+", "+1555-0100", "anonymous", "+1234567890123456"] {
            assert!(!is_e164(other), "{other}");
        }
    }

    #[test]
    fn a_target_is_called_by_its_number_or_by_microsofts_name_of_it() {
        assert_eq!(target_name(&uri("sip:+15550111@sip.pstnhub.microsoft.com")), "+15550111");
        let person = uri("sip:sip.pstnhub.microsoft.com:5061;transport=tls;x-m=8:orgid:aa-bb");
        assert_eq!(target_name(&person), "8:orgid:aa-bb");
    }

    #[test]
    fn the_key_of_a_call_is_in_the_contact() {
        let contact = uri("sip:api-du-a-uswe2.pstnhub.microsoft.com:443;x-i=0f1e;x-c=aa/d/8/2");
        assert_eq!(correlation(&contact).as_deref(), Some("0f1e"));
    }
}
