//! What a running gateway can take over from a changed file, and what waits for a restart.

use crate::Config;

impl Config {
    /// The changed settings that only a restart brings into effect; empty if everything can be taken over.
    ///
    /// Listeners, the database, sockets and the buffers made with them are set up once. Limits, supervision,
    /// emergency numbers, certificates, tenants, teams, people, trunks, ACS resources, routes, tokens and webhooks are looked up for
    /// each call and request, so they change while calls go on.
    #[must_use]
    pub fn diff_needs_restart(old: &Self, new: &Self) -> Vec<&'static str> {
        macro_rules! changed {
            ($($section:ident . $field:ident => $name:literal)*) => {
                [$((old.$section.$field != new.$section.$field).then_some($name)),*]
            };
        }
        let changed = changed! {
            server.name => "server.name"
            server.database => "server.database"
            server.drain => "server.drain_s"
            server.events_kept => "server.events_kept"
            server.records_kept => "server.records_kept_days"
            sip.udp => "sip.udp"
            sip.tcp => "sip.tcp"
            sip.advertised => "sip.advertised"
            sip.realm => "sip.realm"
            sip.digest => "sip.digest"
            sip.user_agent => "sip.user_agent"
            sip.register_expires_min => "sip.register_expires_min_s"
            sip.register_expires_max => "sip.register_expires_max_s"
            sip.message_bytes_max => "sip.message_bytes_max"
            sip.udp_bytes_max => "sip.udp_bytes_max"
            sip.tcp_connections_max => "sip.tcp_connections_max"
            sip.tcp_idle => "sip.tcp_idle_s"
            sip.tls => "sip.tls"
            sip.tls_connections_max => "sip.tls_connections_max"
            sip.tls_half_open_max => "sip.tls_half_open_max"
            sip.tls_handshake => "sip.tls_handshake_s"
            dns.servers => "dns.servers"
            dns.timeout => "dns.timeout_ms"
            media.listen => "media.listen"
            media.advertised => "media.advertised"
            media.ports => "media.ports"
            media.shards => "media.shards"
            media.codecs => "media.codecs"
            media.opus_kbps => "media.opus_kbps"
            media.opus_complexity => "media.opus_complexity"
            media.timeout => "media.timeout_s"
            media.warn => "media.warn_s"
            media.music_on_hold => "media.music_on_hold"
            media.prompts => "media.prompts"
            media.ringback => "media.ringback"
            media.jitter_max => "media.jitter_ms_max"
            api.listen => "api.listen"
            api.body_bytes_max => "api.body_bytes_max"
            acs_listener.listen => "acs_listener.listen"
            acs_listener.connections_max => "acs_listener.connections_max"
            acs_listener.body_bytes_max => "acs_listener.body_bytes_max"
            acs_listener.media_idle => "acs_listener.media_idle_s"
            webrtc.listen => "webrtc.listen"
            webrtc.tcp => "webrtc.tcp"
            webrtc.tcp_connections_max => "webrtc.tcp_connections_max"
            webrtc.advertised => "webrtc.advertised"
        };
        // The door is opened at the start, if there is a resource; after that resources come and go.
        let resources = (old.acs.is_empty() && !new.acs.is_empty()).then_some("acs");
        // Which certificate it shows is looked up for each connection; whether it shows one is not.
        let private = old.acs_listener.certificate.is_some() != new.acs_listener.certificate.is_some();
        let private = private.then_some("acs_listener.certificate");
        changed.into_iter().flatten().chain(private).chain(resources).collect()
    }
}
