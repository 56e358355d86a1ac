//! What ACS's result codes mean, as data. The numbers themselves are kept beside ours, as ACS said them.

use crate::call::Cause;

/// Code and subcode of an ending or a refusal, and what we call it. A code of 0 stands for any.
///
/// The facts are those of the public troubleshooting tables; what we make of them is ours.
const CAUSES: &[(u16, u32, Cause)] = &[
    (0, 7000, Cause::Normal),    // ended by the API or a bot
    (0, 5001, Cause::Normal),    // the other side ended it
    (0, 5300, Cause::Normal),    // removed by somebody
    (0, 560_000, Cause::Normal), // the phone hung up, on a call of ours
    (0, 540_000, Cause::Normal), // the phone hung up, on a call to us
    (487, 5234, Cause::Cancelled),
    (487, 0, Cause::Cancelled),
    (487, 10_003, Cause::Cancelled), // answered elsewhere
    (487, 10_004, Cause::NoAnswer),  // rang too long
    (487, 10_024, Cause::Declined),  // every endpoint declined
    (603, 0, Cause::Declined),
    (0, 560_603, Cause::Declined),
    (0, 8538, Cause::Declined),
    (408, 10_057, Cause::NoAnswer),
    (0, 560_408, Cause::NoAnswer),
    (0, 8587, Cause::NoAnswer), // the call to us was not answered in time
    (0, 8586, Cause::NoAnswer),
    (0, 500_001, Cause::Unreachable),
    (480, 10_037, Cause::Unreachable), // no endpoint is registered
    (480, 10_076, Cause::Unreachable),
    (480, 10_077, Cause::Unreachable),
    (480, 10_078, Cause::Unreachable),
    (0, 560_480, Cause::Unreachable),
    (0, 8541, Cause::Unreachable),
    (0, 8544, Cause::Unreachable),
    (0, 560_486, Cause::Busy),
    (0, 540_486, Cause::Busy),
    (0, 8539, Cause::Busy),
    (0, 560_404, Cause::NotFound),
    (0, 511_404, Cause::NotFound),
    (0, 560_484, Cause::NotFound),
    (0, 7602, Cause::NotFound),
    (404, 8522, Cause::NotFound), // the call or participant is gone
    (400, 8528, Cause::NotFound),
    (405, 8522, Cause::Internal), // something was left out when the call was answered
    (400, 8523, Cause::Internal), // we asked for what makes no sense
    (400, 8508, Cause::Cancelled),
    (0, 560_403, Cause::Forbidden),
    (0, 510_403, Cause::Forbidden), // caller id
    (0, 511_532, Cause::Forbidden), // the resource has no SIP trunk
    (0, 10_105, Cause::Forbidden),
    (0, 7500, Cause::Forbidden), // what follows: federation, permission, tenant, key
    (0, 7502, Cause::Forbidden),
    (0, 7504, Cause::Forbidden),
    (0, 7505, Cause::Forbidden),
    (0, 7507, Cause::Forbidden),
    (0, 7509, Cause::Forbidden),
    (0, 7600, Cause::Forbidden),
    (0, 7604, Cause::Forbidden),
    (0, 7605, Cause::Forbidden),
    (0, 8516, Cause::Congestion),
    (0, 8529, Cause::Congestion),
    (0, 8530, Cause::Congestion),
    (0, 8581, Cause::Internal), // our stream's URL
    (0, 8607, Cause::Internal), // another transfer is under way
    (0, 8603, Cause::MediaTimeout),
    (0, 8604, Cause::MediaTimeout),
];

/// What a result means. An unknown subcode of the phone network ends in its SIP status (560xxx, 540xxx); after that the
/// code itself is read as one.
pub fn cause_of(code: u16, subcode: u32) -> Cause {
    let exact = CAUSES.iter().find(|(known, sub, _)| *known == code && *sub == subcode);
    let any = || CAUSES.iter().find(|(known, sub, _)| *known == 0 && *sub == subcode);
    if let Some((_, _, cause)) = exact.or_else(any) {
        return *cause;
    }
    if let 540_000..=540_999 | 560_000..=560_999 = subcode {
        return Cause::from_sip_status((subcode % 1000) as u16);
    }
    match code {
        0 | 200..=299 => Cause::Normal,
        429 => Cause::Congestion,
        _ => Cause::from_sip_status(code),
    }
}

/// The numbers as ACS says them, for records: `ACS 487/10004`.
pub fn verbatim(code: u16, subcode: u32) -> String {
    format!("ACS {code}/{subcode}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_a_call_has_its_cause() {
        for (code, subcode, cause) in [
            (200, 7000, Cause::Normal),
            (0, 560_000, Cause::Normal),
            (487, 10_004, Cause::NoAnswer),
            (487, 0, Cause::Cancelled),
            (603, 0, Cause::Declined),
            (480, 10_037, Cause::Unreachable),
            (486, 560_486, Cause::Busy),
            (404, 8522, Cause::NotFound),
            (405, 8522, Cause::Internal),
            (403, 7504, Cause::Forbidden),
            (503, 560_503, Cause::Congestion), // not in the table: the phone network's own status
            (429, 0, Cause::Congestion),
            (200, 0, Cause::Normal),
            (486, 1, Cause::Busy),
        ] {
            assert_eq!(cause_of(code, subcode), cause, "{code}/{subcode}");
        }
    }

    #[test]
    fn what_is_not_let_in_is_forbidden_whatever_the_status_beside_it() {
        // For most of these no status is published.
        let not_let_in =
            [7500, 7502, 7504, 7505, 7507, 7509, 7600, 7604, 7605, 10_105, 510_403, 511_532, 560_403];
        for (code, subcode) in
            [0, 200, 400, 403, 404, 500].iter().flat_map(|code| not_let_in.map(|sub| (*code, sub)))
        {
            assert_eq!(cause_of(code, subcode), Cause::Forbidden, "{code}/{subcode}");
        }
    }

    #[test]
    fn no_line_hides_another() {
        for (at, (code, subcode, _)) in CAUSES.iter().enumerate() {
            let first = CAUSES.iter().position(|(c, s, _)| c == code && s == subcode);
            assert_eq!(first, Some(at), "{code}/{subcode} is there twice");
        }
    }
}
