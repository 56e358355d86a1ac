//! Teams: the gateway object, the route to it, the users, and the checks afterwards.

use std::fmt::Write as _;

use super::{Paired, flag, quoted};
use crate::Config;
use crate::trunk::{CallerIdentity, Trunk};

/// International numbers: what the user dialled, after Microsoft's own dial plans.
const ANY_NUMBER: &str = r"^\+\d{5,15}$";
/// How long Microsoft waits for our first 18x. Ten seconds by default; carriers abroad take longer.
const FAILOVER_S: u32 = 20;
/// Usage, route and policy are named after the product, so that they are found again.
const USAGE: &str = "Sidetone-All";
const POLICY: &str = "Sidetone";
/// Microsoft's own application ids of resource accounts.
const AUTO_ATTENDANT: &str = "ce933385-9390-45d1-9512-c8d228074e07";
const CALL_QUEUE: &str = "11cd3e2e-fccb-42ad-ad00-878b93575e07";

/// The tenant that owns the trunks' domain.
pub(super) fn own_tenant(script: &mut String, config: &Config, trunks: &[&Paired<'_>]) {
    let domains: Vec<_> = trunks.iter().map(|trunk| trunk.domain()).fold(Vec::new(), |mut known, domain| {
        if !known.contains(&domain) {
            known.push(domain);
        }
        known
    });
    let _ = writeln!(
        script,
        "\n# ==== Teams: the tenant that owns {} ====\n#\n\
         # Before this, in the Microsoft 365 admin center: the domain is verified, and a licensed user has an address in it\n\
         # (it takes up to 24 hours until calls work). DNS has an A record for each name below, and the port is open to\n\
         # Microsoft: `sidetone check --ports`.\n\nConnect-MicrosoftTeams",
        domains.join(", ")
    );
    script.push_str(
        "\n# The gateway. If it is there already: the same with Set-CsOnlinePSTNGateway -Identity in place of New- and -Fqdn.\n",
    );
    for paired in trunks {
        let Paired { trunk, fqdn, port, sessions_max } = paired;
        let _ = writeln!(
            script,
            "New-CsOnlinePSTNGateway -Fqdn {} -SipSignalingPort {port} -MaxConcurrentSessions {sessions_max} -ForwardPai {} \
             -ForwardCallHistory {} -PidfLoSupported {} -SendSipOptions $true -MediaBypass $false \
             -FailoverTimeSeconds {FAILOVER_S} -Enabled $true",
            quoted(fqdn),
            flag(trunk.caller_identity != CallerIdentity::From),
            flag(trunk.diversion_in.has_history()),
            flag(tells_locations(config, trunk)),
        );
    }
    script.push_str(
        "\n# The way to it: a usage, a route for every international number, a policy for users.\n",
    );
    let names: Vec<_> = trunks.iter().map(|paired| quoted(&paired.fqdn)).collect();
    route(script, &names.join(", "));
    emergency(script, config, trunks);
    users(script, trunks.first().map_or("example.com", |paired| paired.domain()));
    script.push_str("\n# Checks. Status of the gateway follows our OPTIONS within a few minutes.\n");
    for name in &names {
        let _ = writeln!(script, "Get-CsOnlinePSTNGateway -Identity {name}");
    }
    checks(script);
}

/// Whether a trunk that carries this one's emergency calls wants to know where their callers are.
fn tells_locations(config: &Config, teams: &Trunk) -> bool {
    let carrying = config.emergency.trunks.iter().filter_map(|id| config.trunk(id));
    let mut of_tenant = carrying.filter(|trunk| trunk.tenant == teams.tenant);
    config.emergency.enabled && of_tenant.any(|trunk| trunk.pidf_lo)
}

/// A customer's tenant under a carrier's trunk: no gateway object there, only a route that names the subdomain.
pub(super) fn customer_tenant(script: &mut String, customer: &Paired<'_>, carrier: &Paired<'_>) {
    let _ = writeln!(
        script,
        "\n# ==== Teams: a customer's tenant, name {fqdn} ====\n#\n\
         # Run this part as an administrator of the customer. The gateway object is that of {carrier} in the carrier's tenant;\n\
         # there is none here. Our certificate must cover {fqdn} (a name of its own, or *.{carrier}).\n\
         # Before this: verify {fqdn} as a domain of the customer's tenant by its TXT record, and give one licensed user an\n\
         # address in it (up to 24 hours until calls work). Only the carrier's trunk sends OPTIONS; the customer's name\n\
         # inherits its state, so write options_s = false on this trunk.\n\nConnect-MicrosoftTeams",
        fqdn = customer.fqdn,
        carrier = carrier.fqdn,
    );
    script.push_str(
        "\n# The way to it: a usage, a route for every international number, a policy for users.\n",
    );
    route(script, &quoted(&customer.fqdn));
    users(script, &customer.fqdn);
    script.push_str("\n# Checks.\n");
    checks(script);
}

fn route(script: &mut String, gateways: &str) {
    let _ = writeln!(
        script,
        "Set-CsOnlinePstnUsage -Identity Global -Usage @{{Add={usage}}}\n\
         New-CsOnlineVoiceRoute -Identity {usage} -NumberPattern {pattern} -OnlinePstnGatewayList {gateways} -OnlinePstnUsages {usage} -Priority 1\n\
         New-CsOnlineVoiceRoutingPolicy -Identity {policy} -OnlinePstnUsages {usage}",
        usage = quoted(USAGE),
        pattern = quoted(ANY_NUMBER),
        policy = quoted(POLICY),
    );
}

/// Emergency numbers are dialled without a plus, so the route above does not have them.
fn emergency(script: &mut String, config: &Config, trunks: &[&Paired<'_>]) {
    let emergency = &config.emergency;
    let carrying: Vec<_> =
        trunks.iter().filter(|paired| emergency.trunks.contains(&paired.trunk.id)).collect();
    if emergency.enabled && !carrying.is_empty() {
        script.push_str(
            "# The trunk is named in [emergency] of the gateway as one that carries emergency calls to Teams; Teams itself does not\n\
             # take them. Name the carrier's trunk there.\n",
        );
    }
    if emergency.enabled {
        let usage = quoted("Sidetone-Emergency");
        let pattern = format!(r"^\+?({})$", emergency.numbers.join("|"));
        let gateways: Vec<_> = trunks.iter().map(|paired| quoted(&paired.fqdn)).collect();
        let _ = writeln!(
            script,
            "\n# Emergency numbers, as [emergency] of the gateway has them. Users need an emergency call routing policy besides,\n\
             # and an emergency address: that is the law's affair and not done here.\n\
             Set-CsOnlinePstnUsage -Identity Global -Usage @{{Add={usage}}}\n\
             New-CsOnlineVoiceRoute -Identity {usage} -NumberPattern {} -OnlinePstnGatewayList {} -OnlinePstnUsages {usage} -Priority 0",
            quoted(&pattern),
            gateways.join(", "),
        );
    }
}

fn users(script: &mut String, domain: &str) {
    let _ = writeln!(
        script,
        "\n# Users: each has a Teams Phone licence, a number, and the policy. Fill in the list; an empty one does nothing.\n\
         $users = @(\n    # @{{ Identity = 'agent1@{domain}'; PhoneNumber = '+15550111' }}\n)\n\
         foreach ($user in $users) {{\n\
         \x20   Set-CsPhoneNumberAssignment -Identity $user.Identity -PhoneNumber $user.PhoneNumber -PhoneNumberType DirectRouting\n\
         \x20   Grant-CsOnlineVoiceRoutingPolicy -Identity $user.Identity -PolicyName {policy}\n\
         }}\n\
         \n# Resource accounts, for a call queue or an auto attendant in front. An account that transfers to the telephone network\n\
         # needs a licence; its number has no extension.\n\
         $resources = @(\n\
         \x20   # @{{ Identity = 'queue1@{domain}'; PhoneNumber = '+15550120'; ApplicationId = '{CALL_QUEUE}'; DisplayName = 'Queue 1' }}\n\
         \x20   # an auto attendant has ApplicationId = '{AUTO_ATTENDANT}'\n)\n\
         foreach ($resource in $resources) {{\n\
         \x20   New-CsOnlineApplicationInstance -UserPrincipalName $resource.Identity -ApplicationId $resource.ApplicationId -DisplayName $resource.DisplayName\n\
         \x20   Set-CsPhoneNumberAssignment -Identity $resource.Identity -PhoneNumber $resource.PhoneNumber -PhoneNumberType DirectRouting\n\
         }}",
        policy = quoted(POLICY),
    );
}

fn checks(script: &mut String) {
    let _ = writeln!(
        script,
        "Get-CsOnlineVoiceRoute -Identity {}\n\
         foreach ($user in $users) {{\n\
         \x20   Get-CsOnlineUser -Identity $user.Identity | Format-List EnterpriseVoiceEnabled, LineURI, OnlineVoiceRoutingPolicy\n\
         }}",
        quoted(USAGE)
    );
}
