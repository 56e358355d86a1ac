//! Azure Communication Services: pairing is done in the portal, so it is told and not scripted.

use std::fmt::Write as _;

use super::Paired;

pub(super) fn resource(script: &mut String, paired: &Paired<'_>) {
    let Paired { fqdn, port, .. } = paired;
    let domain = paired.domain();
    let _ = writeln!(
        script,
        "\n# ==== Azure Communication Services: name {fqdn} ====\n#\n\
         # There is no PowerShell for this. In the portal, on the Communication Services resource, under Direct routing:\n\
         #\n\
         #   1. Domain: add {domain}, publish the TXT record that is shown, verify.\n\
         #   2. Session border controllers: add {fqdn}, signalling port {port}. The name must not be paired with Teams, and a\n\
         #      name is paired with one resource only.\n\
         #   3. Voice routes: name Sidetone-All, pattern ^\\+\\d{{5,15}}$, this controller. Without a fitting route calls are dropped.\n\
         #   4. Calls in reach your application by Event Grid (IncomingCall), or an Omnichannel number.\n\
         #\n\
         # Afterwards the portal shows: TLS Active, Ping Active, overall Online, within a few minutes of our first OPTIONS.\n\
         # CertExpiring means fewer than 30 days; Ping Expired means that our OPTIONS do not arrive. Sound may come from other\n\
         # ranges of Azure than the signalling does."
    );
}
