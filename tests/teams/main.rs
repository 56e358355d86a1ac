//! Direct Routing on real TLS sockets: the gateway and the simulated proxy of Microsoft, sound measured at the ear.
//! `House` is the gateway, its agent and supervisor, a customer behind a carrier, and the proxy.
//!
//! # Twenty pitfalls that others met, and the tests that keep us out of them
//!
//! The names are looked up by [`pitfalls`]: a test that is renamed or lost is missed at once.
//!
//! | | Pitfall | In virtual time, or of a rule alone | On sockets |
//! |---|---|---|---|
//! | 1 | an address in Contact, Via or From | `pitfall_1_the_paired_name_stands_in_contact_and_via_and_nothing_else_does` | `pitfall_2_all_three_sites_are_asked_by_our_name_and_ask_back_at_it` |
//! | 2 | OPTIONS without Contact | `microsoft_is_asked_in_the_very_words_of_its_documentation` | `pitfall_2_all_three_sites_are_asked_by_our_name_and_ask_back_at_it` |
//! | 3 | no Allow, and so no REFER | `pitfall_3_allow_says_refer_in_requests_and_in_answers` | `pitfall_2_all_three_sites_are_asked_by_our_name_and_ask_back_at_it` |
//! | 4 | Record-Route, doubled or by address | `pitfall_4_there_is_no_record_route_of_ours_and_theirs_is_repeated_as_it_came`, `each_rule_is_refused_with_its_status` | `pitfall_16_a_carriers_call_to_a_teams_user_is_offered_early_and_secured_and_breaks_no_rule` |
//! | 5 | ACK to the Contact's port 443, or its parameters gone | `pitfall_5_requests_in_the_dialog_name_the_contact_byte_for_byte_and_go_to_the_route` | `a_teams_user_calls_an_agent_and_each_hears_the_other_through_srtp` |
//! | 6 | no certificate shown when we connect | | `pitfall_6_a_proxy_that_takes_nobody_without_a_certificate_takes_our_connections`, `we_show_our_certificate_and_believe_only_the_right_server` |
//! | 7 | a chain with gaps, the wrong certificate | `a_chain_is_complete_and_in_order_or_it_is_told` | `pitfall_7_the_whole_chain_is_shown_whoever_connects_and_only_the_whole_chain_is_taken`, `the_name_asked_for_chooses_the_certificate_shown` |
//! | 8 | a firewall with a few addresses | `pitfall_8_what_belongs_to_a_call_comes_from_another_datacentre_and_is_obeyed`, `requests_of_a_dialog_come_from_other_addresses_and_are_found` | `what_belongs_to_a_call_comes_from_anywhere_on_any_connection` |
//! | 9 | pinned addresses | `pitfall_9_a_proxy_that_moves_is_called_where_its_name_says_now`, `a_broken_connection_moves_a_call_on_and_the_name_is_asked_for_anew` | `a_fallen_site_costs_a_call_nothing` |
//! | 10 | REFER sent on to the carrier, or to "null" | `pitfall_10_a_referred_target_is_called_at_microsoft_in_the_very_words` | `pitfall_10_a_referral_to_a_user_without_a_user_part_comes_back_as_an_invite_with_the_very_bytes` |
//! | 11 | Refer-To, Referred-By altered | `pitfall_11_refer_to_and_referred_by_are_kept_byte_for_byte` | `a_referral_to_a_number_goes_back_to_microsoft_as_well` |
//! | 12 | no 202 or NOTIFY, BYE too early | `pitfall_12_a_refer_is_202_at_once_and_told_of_by_notify_and_no_bye_follows` | `a_referral_that_fails_leaves_the_old_call_as_it_was` |
//! | 13 | the held description offered to the target | `pitfall_13_the_target_of_a_held_call_is_offered_to_be_heard_and_a_key_of_its_own` | `pitfall_10_a_referral_to_a_user_without_a_user_part_comes_back_as_an_invite_with_the_very_bytes` |
//! | 14 | hold by sendonly or 0.0.0.0 | `pitfall_14_microsoft_is_held_by_inactive_with_a_true_address` | `a_hold_by_inactive_is_answered_inactive_and_sound_comes_back_with_a_new_key` |
//! | 15 | crypto with MKI, of 32 bits, GCM | `pitfall_15_microsoft_is_offered_one_suite_with_its_lifetime_and_no_mki`, `an_offer_as_microsoft_makes_it_is_answered_with_its_own_tag_and_a_reinvite_keeps_our_key` | `a_teams_user_calls_an_agent_and_each_hears_the_other_through_srtp` |
//! | 16 | WebRTC's leftovers in an offer | `each_rule_is_refused_with_its_status` | `pitfall_16_a_carriers_call_to_a_teams_user_is_offered_early_and_secured_and_breaks_no_rule` |
//! | 17 | Replaces sent to Microsoft | `pitfall_17_replaces_is_matched_before_any_route_and_never_sent`, `a_consultative_referral_is_an_invite_back_to_microsoft_and_never_carries_its_replaces` | `a_consulted_target_has_the_customer_at_once_and_no_replaces_is_sent`, `an_invite_with_replaces_takes_the_place_of_a_call_and_rings_nobody` |
//! | 18 | a silent 183, many 18x | `each_fork_rings_under_its_tag_and_the_one_that_answers_has_the_call` | `pitfall_18_two_devices_ring_and_a_third_tag_answers_and_the_caller_is_told_once`, `a_silent_183_is_covered_by_our_ringing_at_the_callers_ear_until_sound_truly_comes` |
//! | 19 | busy and declined tried elsewhere | `a_gateway_timeout_moves_on_and_a_refusal_never_does` | `pitfall_19_busy_and_declined_reach_the_caller_and_are_tried_nowhere_else` |
//! | 20 | an old certificate kept | | `a_certificate_is_renewed_while_a_call_over_tls_goes_on` |
//! | | refresh by UPDATE | `our_refresh_is_a_reinvite_with_the_very_description_of_before` | |
//! | | no `user=phone` | `each_rule_is_refused_with_its_status` | `pitfall_16_a_carriers_call_to_a_teams_user_is_offered_early_and_secured_and_breaks_no_rule` |
//! | | a second SSRC for digits | | `holds_and_new_keys_go_on_in_one_line_that_nobody_else_can_open` |

mod calls;
mod certificates;
mod connections;
mod consult;
mod crowd;
mod garbage;
mod options;
mod outbound;
mod pitfalls;
mod transfer;
mod whisper;

use sidetone::sim::ear::Ear;
use sidetone::sim::teams::{CUSTOMER_HZ, CallId, House, NUMBER, Stage, USER};

type Test = Result<(), Box<dyn std::error::Error>>;

/// What the agent hums, and what the people behind Teams hum.
const AGENT_HZ: f64 = 440.0;
const TEAMS_HZ: f64 = 1000.0;
/// What the one hums to whom a call is transferred.
const TARGET_HZ: f64 = 1562.5;
/// Packets that are listened to at a time: 600 ms.
const A_WHILE: usize = 30;
/// A tone of -20 dBFS that arrives is louder than this after any codec; one that does not is far below.
const HEARD_DBFS: f64 = -26.0;
const NOT_HEARD_DBFS: f64 = -60.0;

/// The gateway and everybody around it, with the usual tones.
async fn open() -> Result<House, sidetone::sim::teams::HouseError> {
    House::open(AGENT_HZ, TEAMS_HZ).await
}

/// A Teams user calls the agent, and they talk.
async fn teams_reaches_alice(house: &House) -> Result<CallId, Box<dyn std::error::Error>> {
    let call = house.proxy.call(USER, NUMBER).await?;
    until_up(house, call).await?;
    house.alice.talking().await?;
    Ok(call)
}

/// The customer calls the Teams user through the carrier, and they talk.
async fn customer_reaches_teams(house: &House) -> Result<CallId, Box<dyn std::error::Error>> {
    house.customer_dials(USER).await?;
    until_up(house, 0).await?;
    house.customer.talking().await?;
    Ok(0)
}

/// Customer and Teams user hear each other, and not themselves.
async fn they_talk(house: &House, call: CallId) -> Test {
    let (teams, customer) = (house.proxy.ear(call).await?.ok_or("an ear")?, house.customer.ear().await?);
    until_heard(&customer, TEAMS_HZ).await?;
    until_heard(&teams, CUSTOMER_HZ).await?;
    let (at_teams, at_customer) = (teams.listen(A_WHILE).await?, customer.listen(A_WHILE).await?);
    assert!(at_teams.level_of(CUSTOMER_HZ) > HEARD_DBFS, "{}", at_teams.level_of(CUSTOMER_HZ));
    assert!(at_customer.level_of(TEAMS_HZ) > HEARD_DBFS, "{}", at_customer.level_of(TEAMS_HZ));
    assert!(
        at_teams.level_of(TEAMS_HZ) < NOT_HEARD_DBFS && at_customer.level_of(CUSTOMER_HZ) < NOT_HEARD_DBFS
    );
    Ok(())
}

/// Waits until the proxy sees this call as up.
async fn until_up(house: &House, call: CallId) -> Test {
    let up = |state: &sidetone::sim::teams::State| state.stages.get(call) == Some(&Some(Stage::Up));
    house.proxy.until("the call is up", up).await?;
    Ok(())
}

/// Until this ear hears that tone; what was on its way before passes first. The judging is on whole stretches of sound.
async fn until_heard(ear: &Ear, hz: f64) -> Test {
    const STRETCHES_MAX: usize = 20;
    let mut level = f64::NEG_INFINITY;
    for _ in 0..STRETCHES_MAX {
        level = ear.listen(A_WHILE).await?.level_of(hz);
        if level > HEARD_DBFS {
            return Ok(());
        }
    }
    Err(format!("{}: {hz} Hz at {level:.1} dBFS after {STRETCHES_MAX} stretches", ear.name()).into())
}
