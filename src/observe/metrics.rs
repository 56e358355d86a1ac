//! The names of everything the gateway counts, and the recorder that keeps them.
//!
//! A metric is used by its constant here and nowhere by a literal, so this file is the whole list.
//! Labels take values from closed sets only (routes, status codes, causes, configured names):
//! nothing a peer sends can grow the number of time series.

use std::sync::{Mutex, PoisonError};

use metrics::Unit;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

/// Calls now up.
pub const CALLS_LIVE: &str = "sidetone_calls_live";
/// Calls that reached us or were placed. Label `direction`.
pub const CALLS_STARTED: &str = "sidetone_calls_started_total";
/// Calls that asked to come in, let in or not.
pub const CALLS_OFFERED: &str = "sidetone_calls_offered_total";
/// Calls turned away before they were any. Label `reason`.
pub const CALLS_REFUSED: &str = "sidetone_calls_refused_total";
/// Legs to Teams users that were not rung, because a prerequisite stood in the way.
pub const NOT_CLEARED: &str = "sidetone_not_cleared_total";
/// 1 while a trunk answers OPTIONS, 0 while it does not. Label `trunk`.
pub const TRUNK_UP: &str = "sidetone_trunk_up";
/// Days until a certificate of ours runs out. Label `identity`.
pub const CERTIFICATE_DAYS_LEFT: &str = "sidetone_certificate_days_left";
/// Times that certificates, keys and roots were read anew. Label `outcome`: `reloaded` or `failed`.
pub const CERTIFICATE_RELOADS: &str = "sidetone_certificate_reloads_total";
/// 1 while the files on disk cannot be used and what was read before is in force, 0 otherwise.
pub const CERTIFICATE_FILES_WRONG: &str = "sidetone_certificate_files_wrong";
/// Calls over. Label `cause`.
pub const CALLS_ENDED: &str = "sidetone_calls_ended_total";
/// From a call's arrival to its answer.
pub const CALL_ANSWER_SECONDS: &str = "sidetone_call_answer_seconds";
/// Supervisions now on the line.
pub const SUPERVISIONS_LIVE: &str = "sidetone_supervisions_live";
/// Legs with media open. Label `shard`.
pub const MEDIA_LEGS: &str = "sidetone_media_legs";
/// Protected packets that were not opened. Label `reason`.
pub const SRTP_REFUSED: &str = "sidetone_media_srtp_refused_total";
/// How ended legs sounded here, as mean opinion scores.
pub const LEG_MOS: &str = "sidetone_leg_mos";
/// Share of packets that ended legs lost on the way to us.
pub const LEG_LOSS: &str = "sidetone_leg_loss_ratio";
/// Jitter of ended legs.
pub const LEG_JITTER_SECONDS: &str = "sidetone_leg_jitter_seconds";
/// Round trip of ended legs.
pub const LEG_ROUND_TRIP_SECONDS: &str = "sidetone_leg_round_trip_seconds";
/// Times that no sound came from a leg that talks, for `media.warn_s`.
pub const MEDIA_MISSING: &str = "sidetone_media_missing_total";
/// Events of the media threads that nobody took in time.
pub const MEDIA_EVENTS_LOST: &str = "sidetone_media_events_lost_total";
/// Requests answered. Labels `method`, `route`, `status`.
pub const API_REQUESTS: &str = "sidetone_api_requests_total";
/// Time to the response head. Label `route`.
pub const API_SECONDS: &str = "sidetone_api_request_seconds";
/// Open event streams. Label `kind`: `sse` or `ws`.
pub const API_STREAMS: &str = "sidetone_api_event_streams";
/// Requests turned away for lack of a valid token.
pub const API_UNAUTHENTICATED: &str = "sidetone_api_unauthenticated_total";
/// Events numbered. Label `kind`.
pub const JOURNAL_EVENTS: &str = "sidetone_journal_events_total";
/// Events, records and audit lines waiting for the store.
pub const JOURNAL_WAITING: &str = "sidetone_journal_waiting";
/// What could not be kept because the store failed for too long. Label `what`.
pub const JOURNAL_LOST: &str = "sidetone_journal_lost_total";
/// Transactions written or failed. Label `outcome`.
pub const JOURNAL_WRITES: &str = "sidetone_journal_writes_total";
/// 1 while the store takes writes, 0 while it does not.
pub const STORE_UP: &str = "sidetone_store_up";
/// Attempts to deliver. Labels `webhook`, `outcome`.
pub const WEBHOOK_ATTEMPTS: &str = "sidetone_webhook_attempts_total";
/// Events a webhook will never get: too many tries or too far behind. Labels `webhook`, `reason`.
pub const WEBHOOK_DROPPED: &str = "sidetone_webhook_dropped_total";
/// Incoming-call events of Event Grid that are no call for us. Label `reason`.
pub const ACS_DROPPED: &str = "sidetone_acs_dropped_total";
/// Callbacks of ACS. Label `type`: `known` or `unknown`.
pub const ACS_EVENTS: &str = "sidetone_acs_events_total";
/// Requests of ACS and Event Grid without a token that is believed.
pub const ACS_DENIED: &str = "sidetone_acs_denied_total";
/// Calls at ACS that an earlier life of the gateway left behind. Label `outcome`: `ended`, `gone` or `failed`.
pub const ACS_LEFT_OVER: &str = "sidetone_acs_left_over_total";
/// Messages on media WebSockets that make no sense.
pub const ACS_ODD_FRAMES: &str = "sidetone_acs_odd_frames_total";
/// Browsers' legs at the WebRTC door.
pub const WEBRTC_LEGS: &str = "sidetone_webrtc_legs";
/// Connections that browsers have opened for want of datagrams.
pub const WEBRTC_TCP_CONNECTIONS: &str = "sidetone_webrtc_tcp_connections";
/// When the credential of an integration ends, in seconds since 1970. Label `tenant`.
pub const SECRET_EXPIRES: &str = "sidetone_integration_secret_expires_timestamp_seconds";

/// Seconds: from a fast answer of the API to a slow pick-up of a telephone.
const BUCKETS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// Mean opinions: 4.3 satisfies, 3.6 does not, below 2.6 nobody stays (G.107 annex B).
const OPINIONS: &[f64] = &[1.5, 2.0, 2.58, 3.1, 3.6, 4.03, 4.34];

/// Shares of lost packets: concealment hides a hundredth, a twentieth is heard.
const LOSSES: &[f64] = &[0.0, 0.001, 0.003, 0.01, 0.03, 0.05, 0.1, 0.3];

/// Installs the recorder for the process, once, and returns the handle that renders it. Whoever
/// holds the handle calls its `run_upkeep` now and then; [`crate::api::serve`] does.
///
/// # Errors
/// When another recorder is installed already.
pub fn install() -> Result<PrometheusHandle, BuildError> {
    static INSTALLED: Mutex<Option<PrometheusHandle>> = Mutex::new(None);
    let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = &*installed {
        return Ok(handle.clone());
    }
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), BUCKETS)?
        .set_buckets_for_metric(Matcher::Full(LEG_MOS.into()), OPINIONS)?
        .set_buckets_for_metric(Matcher::Full(LEG_LOSS.into()), LOSSES)?
        .install_recorder()?;
    describe();
    // A counter that appears with its first loss has not risen, as far as an alarm can tell: these are there at zero. Those
    // with labels are begun by who knows the labels.
    for name in
        [CALLS_OFFERED, NOT_CLEARED, MEDIA_EVENTS_LOST, API_UNAUTHENTICATED, ACS_DENIED, ACS_ODD_FRAMES]
    {
        metrics::counter!(name).increment(0);
    }
    Ok(installed.insert(handle).clone())
}

fn describe() {
    use metrics::{describe_counter as counter, describe_gauge as gauge, describe_histogram as histogram};
    gauge!(CALLS_LIVE, "Calls now up");
    counter!(CALLS_STARTED, "Calls that reached the gateway or were placed by it, by direction");
    counter!(CALLS_OFFERED, "Calls that asked to come in");
    counter!(CALLS_REFUSED, "Calls turned away before they were any, by reason");
    counter!(NOT_CLEARED, "Legs to Teams users that were not rung, because a prerequisite stood in the way");
    gauge!(TRUNK_UP, "1 while a trunk answers OPTIONS, by trunk");
    gauge!(CERTIFICATE_DAYS_LEFT, "Days until a certificate of ours runs out, by certificate");
    counter!(CERTIFICATE_RELOADS, "Times that certificates, keys and roots were read anew, by outcome");
    gauge!(
        CERTIFICATE_FILES_WRONG,
        "1 while the certificate files on disk cannot be used and those read before are in force"
    );
    counter!(CALLS_ENDED, "Calls over, by cause");
    histogram!(CALL_ANSWER_SECONDS, Unit::Seconds, "From a call's arrival to its answer");
    gauge!(SUPERVISIONS_LIVE, "Supervisors now on the line");
    gauge!(MEDIA_LEGS, "Legs with media open, by media thread");
    counter!(SRTP_REFUSED, "Protected media packets that were not opened, by reason");
    histogram!(LEG_MOS, "Mean opinion score of ended legs, estimated from loss, jitter and round trip");
    histogram!(LEG_LOSS, "Share of packets lost on the way to us, of ended legs");
    histogram!(LEG_JITTER_SECONDS, Unit::Seconds, "Jitter of arrival, of ended legs");
    histogram!(LEG_ROUND_TRIP_SECONDS, Unit::Seconds, "Round trip, of ended legs whose far end reports");
    counter!(MEDIA_MISSING, "Times that no sound came from a leg that talks, for media.warn_s");
    counter!(MEDIA_EVENTS_LOST, "Events of the media threads that nobody took in time");
    counter!(API_REQUESTS, "API requests answered, by method, route and status");
    histogram!(API_SECONDS, Unit::Seconds, "Time to the head of the API's response, by route");
    gauge!(API_STREAMS, "Open event streams, by kind");
    counter!(API_UNAUTHENTICATED, "API requests without a valid token");
    counter!(JOURNAL_EVENTS, "Events numbered, by kind");
    gauge!(JOURNAL_WAITING, "Events, records and audit lines waiting for the store");
    counter!(JOURNAL_LOST, "What could not be kept because the store failed for too long");
    counter!(JOURNAL_WRITES, "Store transactions of the journal, by outcome");
    gauge!(STORE_UP, "1 while the store takes writes");
    counter!(WEBHOOK_ATTEMPTS, "Webhook deliveries tried, by webhook and outcome");
    counter!(ACS_DROPPED, "Incoming-call events of Event Grid that are no call for us, by reason");
    counter!(ACS_EVENTS, "Callbacks of ACS, known or unknown");
    counter!(ACS_DENIED, "Requests of ACS and Event Grid without a believable token");
    counter!(ACS_LEFT_OVER, "Calls at ACS that an earlier life of the gateway left behind, by outcome");
    counter!(ACS_ODD_FRAMES, "Messages on media WebSockets that make no sense");
    gauge!(WEBRTC_LEGS, "Browsers' legs at the WebRTC door");
    gauge!(WEBRTC_TCP_CONNECTIONS, "Connections of browsers from which no datagram comes");
    gauge!(SECRET_EXPIRES, "When the credential of an integration ends, by tenant");
    counter!(WEBHOOK_DROPPED, "Events a webhook will never get, by webhook and reason");
}
