//! Every event that is told, by its name: what a webhook may ask for, and what the description of the API lists.

/// The names, with what each tells.
pub const EVENTS: &[(&str, &str)] = &[
    ("call.initiated", "A call has reached the gateway, or is placed by it."),
    ("call.ringing", "A telephone rings."),
    ("call.answered", "A party is on the line."),
    ("call.bridged", "Customer and agent are connected."),
    ("call.attempt_failed", "Somebody who was called did not come, and why."),
    ("call.held", "A party is on hold, or its own telephone holds."),
    ("call.resumed", "A party is back from hold."),
    ("call.ended", "The call is over, and why."),
    ("call.refused", "A call was turned away, and by which rule or limit."),
    ("call.emergency", "Somebody calls an emergency service."),
    ("supervision.requested", "A supervisor is rung, or expected to dial in."),
    ("supervision.started", "A supervisor is on the line."),
    ("supervision.role_changed", "A supervisor monitors, whispers, barges in or has taken over."),
    ("supervision.ended", "A supervision is over."),
    ("supervision.denied", "Somebody wanted to supervise who may not."),
    ("consult.requested", "An expert is asked for."),
    ("consult.preflight", "The ways to an expert at Teams were looked at, and what stands in them."),
    ("consult.card", "What the expert is told of the matter; for the expert alone."),
    ("consult.dialing", "The first way to the expert is dialled."),
    ("consult.attempt_failed", "A way did not lead to the expert, and why."),
    ("consult.fell_back", "The next way to the expert is dialled."),
    ("consult.answered", "The expert is on the line."),
    ("consult.speak_to_changed", "Whoever asked speaks to the expert, the customer, both, or in conference."),
    ("consult.voicemail_suspected", "Voicemail seems to have answered for the expert."),
    ("consult.completed", "The expert has the call."),
    ("consult.failed", "The expert did not come, and why. The customer is back."),
    ("consult.ended", "The expert is gone again, and why. The customer is back."),
    ("transfer.preflight", "The ways to a target at Teams were looked at, and what stands in them."),
    ("transfer.card", "What the target is told of the matter; for the target alone."),
    ("transfer.started", "A target is called to take a place in the call."),
    ("transfer.progress", "The target rings."),
    ("transfer.voicemail_suspected", "Voicemail seems to have answered for the target."),
    ("transfer.completed", "The target has the place."),
    ("transfer.failed", "The target did not come, and the outcome."),
    ("transfer.rolled_back", "Everybody is back where they were."),
    ("leg.quality", "How a leg sounds has become worse or better; and its figures when it is over."),
    ("leg.media_missing", "A leg that talks sends no sound, and for how long."),
    ("leg.media_back", "Sound comes again."),
    ("leg.offered", "A call rings in a browser; for its person alone."),
    ("leg.ended", "A leg in a browser is over; for its person alone."),
    ("preflight.completed", "A preflight was asked for, and which way would be taken."),
    ("trunk.up", "A trunk answers."),
    ("trunk.down", "A trunk does not answer."),
    ("trunk.refused", "A call out was not placed, and by which limit of the trunk."),
    ("trunk.caller_id", "A trunk showed a caller's number that it may not."),
    (
        "integration.secret_expiring",
        "The credential of an account at Microsoft ends within 15 days, or has ended.",
    ),
    ("certificate.renewed", "A certificate was taken over from its files."),
    ("certificate.reload_failed", "Certificate files cannot be used; those before stay in force."),
    ("store.down", "Records and events cannot be written; they wait in memory."),
    ("store.up", "Records and events are written again."),
    ("acs.left_over", "A call that an earlier life left at ACS was ended."),
];

/// What stands before the dot, each once, in the order of [`EVENTS`].
pub(crate) fn families() -> Vec<&'static str> {
    let mut families: Vec<&str> =
        EVENTS.iter().filter_map(|(name, _)| Some(name.split_once('.')?.0)).collect();
    families.dedup();
    families
}
