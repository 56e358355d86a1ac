//! Microsoft's result codes, and what to do about each.
//!
//! Call records of Teams carry two: the SIP status and a code of Microsoft's own, `5XYZZZ`. 5 is the PSTN hub, X the
//! module that made the code (6: the answer came from the SBC, that is from us), Y its source, ZZZ its reason, often a
//! SIP status again. Codes without that form come from the Teams client side. The list is what Microsoft publishes;
//! a code that is not in it is explained by its form.

use std::fmt::Write as _;

/// A pair of codes in the call records of Teams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResultCode {
    /// The SIP status.
    pub sip: u16,
    /// Microsoft's own code.
    pub microsoft: u32,
    /// What happened.
    pub what: &'static str,
    /// What to look at.
    pub remedy: &'static str,
}

/// Why nothing can be explained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "this is neither a SIP status, nor a code of Microsoft such as 510532 or 403/510532, nor a rule of `sidetone check`"
)]
pub struct NotACode;

/// Explains `403`, `510532`, `403/510532` (in either order), or a rule of the configuration such as `unknown-key`.
///
/// # Errors
/// [`NotACode`] if it is none of these.
pub fn explain(query: &str) -> Result<String, NotACode> {
    if let Ok(rule) = query.trim().parse::<crate::Code>() {
        return Ok(format!("{rule}: {}\n", rule.explanation()));
    }
    let numbers = query.split(['/', ' ', ',']).filter(|part| !part.is_empty());
    let numbers: Option<Vec<u32>> = numbers.map(|part| part.parse().ok()).collect();
    let is_status = |code: u32| (100..=699).contains(&code);
    match numbers.as_deref() {
        Some([0]) => Ok(both(408, 0)),
        Some([status]) if is_status(*status) => Ok(by_status(narrow(*status))),
        Some([code]) => Ok(by_code(*code)),
        Some([a, b]) if is_status(*a) => Ok(both(narrow(*a), *b)),
        Some([a, b]) if is_status(*b) => Ok(both(narrow(*b), *a)),
        _ => Err(NotACode),
    }
}

fn narrow(status: u32) -> u16 {
    u16::try_from(status).unwrap_or_default()
}

fn both(status: u16, code: u32) -> String {
    let listed: Vec<_> = RESULT_CODES.iter().filter(|c| c.sip == status && c.microsoft == code).collect();
    if !listed.is_empty() {
        return listed.into_iter().map(line).collect();
    }
    let mut text = by_code(code);
    if let Some(meaning) = status_meaning(status) {
        let _ = writeln!(text, "{status}: {meaning}");
    }
    text
}

fn by_code(code: u32) -> String {
    let listed: Vec<_> = RESULT_CODES.iter().filter(|c| c.microsoft == code).collect();
    if listed.is_empty() { by_form(code) } else { listed.into_iter().map(line).collect() }
}

fn by_status(status: u16) -> String {
    let mut text = match status_meaning(status) {
        Some(meaning) => format!("{status}: {meaning}\n"),
        None => format!("{status}: a SIP status without a meaning of its own here (RFC 3261 section 21).\n"),
    };
    let candidates: Vec<_> = RESULT_CODES.iter().filter(|c| c.sip == status).collect();
    if !candidates.is_empty() {
        text.push_str("\nWith it Microsoft gives one of:\n");
        text.extend(candidates.into_iter().map(line));
    }
    text
}

fn line(code: &ResultCode) -> String {
    let ResultCode { sip, microsoft, what, remedy } = code;
    format!("{sip}/{microsoft}: {what}\n    {remedy}\n")
}

/// A code that is not listed, by its form `5XYZZZ`.
fn by_form(code: u32) -> String {
    let (hub, module, source, reason) = (code / 100_000, code / 10_000 % 10, code / 1_000 % 10, code % 1_000);
    if hub != 5 {
        return format!(
            "{code}: not in the published list. It has not the form 5XYZZZ, so it was not made by Microsoft's PSTN hub but by \
             another part of Teams.\n"
        );
    }
    let mut text = format!("{code}: not in the published list. By its form 5XYZZZ: ");
    if (module, source) == (6, 0) {
        let _ = writeln!(
            text,
            "the SBC, that is this gateway, gave the final answer {reason}. The call's record here (GET /v1/cdr) says why."
        );
    } else {
        let who = if module == 6 { "the connection to the SBC" } else { "a module of Microsoft's" };
        let _ = writeln!(text, "made by {who} (module {module}, source {source}), reason {reason:03}.");
    }
    if let Some(meaning) = u16::try_from(reason).ok().and_then(status_meaning) {
        let _ = writeln!(text, "{reason}: {meaning}");
    }
    text
}

/// What a SIP status means on a trunk, where it means something worth saying.
fn status_meaning(status: u16) -> Option<&'static str> {
    Some(match status {
        400 => "a message was malformed, or opaque bytes (Refer-To, Referred-By, Contact) came back altered.",
        401 | 407 => "a password is wanted; look at the trunk's auth and its realm.",
        402 => "payment required; not a status of ours.",
        403 => "forbidden: the other side knows who asks and does not want it.",
        404 => "nobody has this number.",
        405 => "the method is not spoken there.",
        408 => "no answer in time. Microsoft tries the next SBC.",
        410 => "the number is no longer in service.",
        415 => "the body is of a kind that is not understood there.",
        420 => "an extension was required that is not spoken, such as Replaces or 100rel.",
        421 => "an extension was missing that is required.",
        422 => "the session interval is too small; Min-SE says the least (RFC 4028).",
        423 => "the registration is too short; Min-Expires says the least.",
        480 => "nobody can be reached at the moment.",
        481 => {
            "the dialog or transaction is unknown: ended already, or Replaces named a call that is not there."
        }
        482 => "the request came back to where it had been: a loop.",
        483 => "too many hops: a loop, or Max-Forwards began too low.",
        484 => "the number is incomplete.",
        486 => "busy. Towards carriers we write Q.850 cause 17, or they dial again.",
        487 => "the caller gave up.",
        488 => "the description of the sound was not acceptable: codec, SRTP or connection address.",
        491 => "two re-INVITEs crossed; each waits and tries again.",
        500 => "an error inside the answering side.",
        502 => "a bad answer from the next hop.",
        503 => "overloaded or out of service. With Retry-After the next datacenter or SBC is tried.",
        504 => "the next hop did not answer. Microsoft gives it when it cannot reach the SBC.",
        600 => "busy everywhere.",
        603 => "declined by the person called. Never tried again.",
        604 => "the number does not exist anywhere.",
        606 => "the description of the sound was not acceptable anywhere.",
        _ => return None,
    })
}

macro_rules! codes {
    ($($sip:literal / $microsoft:literal $what:literal $remedy:literal)*) => {
        /// What Microsoft publishes, by SIP status.
        pub const RESULT_CODES: &[ResultCode] =
            &[$(ResultCode { sip: $sip, microsoft: $microsoft, what: $what, remedy: $remedy }),*];
    };
}

codes! {
    400 / 540400 "Microsoft could not read a message of ours."
        "Keep the exchange (log filter sidetone::sip=trace) and report it: the gateway wrote something Microsoft does not take."
    403 / 10199 "Private calls are switched off for the person called."
        "Turn on \"Make private calls\" in the calling policy of the user."
    403 / 10500 "Location-based routing forbids to ring there."
        "Look at the sites and the location-based routing of the tenant."
    403 / 10553 "A compliance recorder that must be there could not be invited."
        "Look at the recording policy and its bot."
    403 / 510532 "The name in our Contact is not a trunk of the tenant."
        "Compare trunk.fqdn with Get-CsOnlinePSTNGateway; `sidetone teams setup` prints the pairing. In a customer's tenant the domain must be verified and a licensed user be in it."
    403 / 510534 "The caller's number is blocked in the tenant."
        "Look at Get-CsInboundBlockedNumberPattern."
    403 / 510559 "No voice route fits the number dialled; no call reached us."
        "Compare the number with the NumberPattern of Get-CsOnlineVoiceRoute and the user's voice routing policy."
    403 / 510560 "The user is not enabled for Enterprise Voice."
        "Assign a Teams Phone licence and a number: Set-CsPhoneNumberAssignment -PhoneNumberType DirectRouting."
    403 / 510561 "The user may not be called or call over Direct Routing."
        "Assign a Teams Phone licence, a number and a voice routing policy."
    403 / 510562 "The user may not call out."
        "Assign a Teams Phone licence and a voice routing policy, and look at the outbound calling restrictions."
    403 / 510563 "The user may call within the country only."
        "Look at the outbound calling restrictions of the user."
    403 / 560403 "This gateway refused the call."
        "The event call.refused and the log say why: a source range, a caller id that is not allowed, a destination that is not allowed."
    404 / 10202 "The call to be replaced is not there any more."
        "A transfer was tried a second time, or too late."
    404 / 511404 "No user and no resource account has the number."
        "Write numbers to Teams as +E.164 (trunk.numbers_out), exactly as they are assigned."
    404 / 560404 "This gateway has no route for the number."
        "Add a [[route]] for it, or widen one; numbers are compared without their plus."
    408 / 0 "No sound within 90 seconds."
        "Look at the client's network, and at the media ports between us and Microsoft: `sidetone check --ports`."
    408 / 1106 "No ACK came for Microsoft's 200."
        "The ACK must go along the Record-Route over TLS to port 5061; look for a firewall that lets through a few addresses only."
    408 / 500001 "This gateway gave no 18x within FailoverTimeSeconds (10 by default)."
        "Is the trunk behind us slow? Set-CsOnlinePSTNGateway -FailoverTimeSeconds 20."
    408 / 560408 "This gateway answered 408: the side behind us did not answer."
        "Look at the trunk the call went on to: trunk.failover_s, its state, the call's record."
    420 / 560420 "This gateway refused an extension that Microsoft required."
        "If it was Replaces: set transfer = \"refer\" on the trunk."
    480 / 10037 "The person called has no device signed in."
        "Nothing, if the user has been away for long; otherwise sign out and in again."
    480 / 10140 "A bot was called that is not provisioned."
        "Look at the bot's settings."
    480 / 10191 "The call went to voicemail, and the policy forbids voicemail."
        "Look at voicemail in the calling policy of the user."
    480 / 560480 "This gateway answered 480: nobody could be reached behind us."
        "The call's record names the cause of each attempt."
    484 / 560484 "This gateway called the number incomplete."
        "Look for extension dialling without a normalisation rule, and at trunk.numbers_in."
    486 / 560486 "This gateway answered 486: the person behind us is busy."
        "Nothing: it counts as a normal end."
    488 / 531000 "No codec in common, or no SRTP in our offer."
        "Set srtp = \"required\" and offer G722, PCMA and PCMU on the trunk."
    488 / 531027 "No ICE candidates on a trunk with media bypass."
        "Bypass is not spoken here: Set-CsOnlinePSTNGateway -MediaBypass $false."
    488 / 531052 "The connection address in our description was 0.0.0.0."
        "Hold on this trunk must be hold = \"inactive\", and media.advertised a real address."
    488 / 560488 "This gateway did not accept Microsoft's description of the sound."
        "Is media bypass switched on for the trunk? Is a codec in common, and SRTP with AES_CM_128_HMAC_SHA1_80?"
    500 / 510482 "A loop: calls are forwarded in a circle."
        "Look at the forwarding of the users, and at routes that lead back to the trunk they came from."
    500 / 510544 "The voice route names a trunk that the tenant does not have."
        "Compare Get-CsOnlineVoiceRoute with Get-CsOnlinePSTNGateway, and the emergency call routing policy."
    503 / 560503 "This gateway was draining, or at a limit."
        "The event call.refused says which: limits.calls_max, calls_per_second_max, channels_max, or no media port."
    504 / 549002 "Microsoft's connection to us was gone, or a line of ours was no SIP."
        "Is sip.tls reachable at the paired port from all of Microsoft's ranges? `sidetone check --ports`."
    504 / 549018 "Microsoft could not read a first line of ours."
        "Keep the exchange (log filter sidetone::sip=trace) and report it."
    504 / 569002 "Microsoft could not connect to us, or the TLS handshake failed."
        "Is the paired port open for all of Microsoft's ranges, and the certificate for server use? `sidetone check --ports`, `sidetone check`."
    504 / 569003 "The TLS handshake with us failed at our certificate."
        "`sidetone check` reads it: chain, expiry, key type, names, usage."
    504 / 569008 "Our certificate had expired on a connection."
        "Renew the files of the [[certificate]]; the gateway shows the new one on new connections and lets the old ones go."
    504 / 569009 "Our certificate does not lead to a root that Microsoft trusts."
        "Use a public authority of Microsoft's list, and send every intermediate: certificate_file holds the full chain."
    504 / 569015 "Our name is not in DNS."
        "Publish an A record for trunk.fqdn."
    504 / 569016 "Our name is in DNS without an address; a TXT record alone is not enough."
        "Publish an A record for trunk.fqdn."
    504 / 569018 "Microsoft could not read a first line of ours."
        "Keep the exchange (log filter sidetone::sip=trace) and report it."
    603 / 560603 "This gateway answered 603: the person behind us declined."
        "Nothing: it counts as a normal end."
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_pair_is_explained_in_either_order_and_a_status_lists_its_codes() {
        let pair = explain("403/510532").unwrap();
        assert!(pair.starts_with("403/510532: The name in our Contact"), "{pair}");
        assert_eq!(explain("510532 403").unwrap(), pair);
        assert_eq!(explain("510532").unwrap(), pair);
        let status = explain("403").unwrap();
        for code in ["10199", "510532", "510559", "560403"] {
            assert!(status.contains(&format!("403/{code}: ")), "{status}");
        }
        assert!(!status.contains("569009"), "{status}");
        assert_eq!(explain("0"), explain("408/0"));
        assert!(explain("unknown-key").unwrap().contains("misspelt"));
    }

    #[test]
    fn a_code_that_is_not_listed_is_explained_by_its_form() {
        let ours = explain("560415").unwrap();
        assert!(
            ours.contains("this gateway, gave the final answer 415") && ours.contains("415: the body"),
            "{ours}"
        );
        let theirs = explain("580999").unwrap();
        assert!(theirs.contains("module 8, source 0") && theirs.contains("reason 999"), "{theirs}");
        assert!(explain("403/12345").unwrap().contains("not made by Microsoft's PSTN hub"));
        for query in ["", "abc", "403/510532/1", "99999999999", "-1"] {
            assert_eq!(explain(query), Err(NotACode), "{query}");
        }
    }

    #[test]
    fn no_pair_is_listed_twice_and_codes_of_ours_end_in_their_status() {
        for (at, code) in RESULT_CODES.iter().enumerate() {
            let same = |other: &ResultCode| (other.sip, other.microsoft) == (code.sip, code.microsoft);
            assert_eq!(RESULT_CODES.iter().position(same), Some(at), "{code:?}");
            assert!(code.what.ends_with('.') && code.remedy.ends_with(['.', '?']), "{code:?}");
            if code.microsoft / 1_000 == 560 {
                assert_eq!(code.microsoft % 1_000, u32::from(code.sip), "{code:?}");
            }
        }
        assert!(RESULT_CODES.is_sorted_by_key(|code| (code.sip, code.microsoft)));
    }

    proptest! {
        #[test]
        fn any_text_is_explained_or_refused(query in "\\PC{0,20}") {
            let _ = explain(&query);
        }

        #[test]
        fn any_number_is_explained(a in 100..700_u32, b: u32) {
            let explained = explain(&format!("{a}/{b}")).unwrap();
            prop_assert!(!explained.is_empty());
        }
    }
}
