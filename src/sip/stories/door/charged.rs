//! Who is charged for a call over a trunk (RFC 8496).

use super::*;

#[test]
fn a_trunk_that_says_who_is_charged_is_told_so_with_every_call_and_no_other_is() {
    let settings = "charge_to = \"+15550188\"\ncaller_identity = \"p_asserted_identity\"\n";
    let mut house = House::with_two_trunks("", settings);
    for (number, from) in
        [Caller::shown("+15550001", None), Caller { private: true, ..Caller::shown("x", None) }]
            .into_iter()
            .enumerate()
    {
        let on = house.goes_on(number as u32, from, "beyond");
        assert_eq!(on.all("P-Charge-Info"), ["<sip:+15550188@192.0.2.2:5060;user=phone>"], "{}", on.0);
    }
    let on = house.goes_on(9, Caller::shown("+15550001", None), "carrier");
    assert_eq!(on.get("P-Charge-Info"), "");
}

#[test]
fn what_a_caller_says_of_charges_goes_no_further() {
    let mut house = House::with_two_trunks("", "");
    let said = "P-Charge-Info: <sip:+15550666@192.0.2.1>\n";
    house.hears(udp(CARRIER), &invite("a", said, &offer("0", "")));
    let from = house.came().from;
    assert!(!house.goes_on(0, from, "beyond").0.contains("5550666"));
}
