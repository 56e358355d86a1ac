//! What has to be done on Microsoft's side, written from our side's configuration.
//!
//! Pairing takes values that must agree to the letter: the name, the port, what is forwarded. They stand in the
//! configuration already, so the statements are made from it and nobody types them twice. Pure text; nothing is run.

mod azure;
mod teams;

use std::fmt::Write as _;
use std::sync::Arc;

use crate::Config;
use crate::profile::Profile;
use crate::trunk::{Dialect, Trunk};

/// Why there is nothing to pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "no trunk of this file is one of Direct Routing; write profile = \"teams_direct_routing\" or \"acs_direct_routing\""
)]
pub struct NothingToPair;

/// The whole of it: a PowerShell script for Teams, and as comments in it what is done by hand and for Azure.
///
/// # Errors
/// [`NothingToPair`] without a Direct Routing trunk.
pub fn setup(config: &Config) -> Result<String, NothingToPair> {
    let paired: Vec<Paired<'_>> =
        config.trunks.iter().filter_map(|trunk| Paired::of(config, trunk)).collect();
    if paired.is_empty() {
        return Err(NothingToPair);
    }
    let (azure, teams): (Vec<_>, Vec<_>) =
        paired.iter().partition(|paired| paired.trunk.profile == Some(Profile::AcsDirectRouting));
    // A name under another paired one is that of a customer's tenant, carried by the trunk above it.
    let above = |name: &str| {
        let parent = name.split_once('.').map(|(_, parent)| parent);
        teams.iter().find(|other| Some(&*other.fqdn) == parent).copied()
    };
    let mut script = String::new();
    let _ = writeln!(
        script,
        "# Pairing of the gateway \"{}\" with Microsoft, made from its configuration by `sidetone teams setup`.",
        config.server.name
    );
    script.push_str(
        "# Read it, then run it in PowerShell with the module MicrosoftTeams (Install-Module MicrosoftTeams) as a Teams\n\
         # administrator of the tenant that each part names. Built to Microsoft's published rules; not certified by Microsoft.\n",
    );
    let own: Vec<_> = teams.iter().copied().filter(|paired| above(&paired.fqdn).is_none()).collect();
    if !own.is_empty() {
        teams::own_tenant(&mut script, config, &own);
    }
    for customer in &teams {
        if let Some(carrier) = above(&customer.fqdn) {
            teams::customer_tenant(&mut script, customer, carrier);
        }
    }
    for paired in azure {
        azure::resource(&mut script, paired);
    }
    Ok(script)
}

/// A Direct Routing trunk, with what pairing needs of it.
struct Paired<'c> {
    trunk: &'c Trunk,
    fqdn: Arc<str>,
    port: u16,
    sessions_max: usize,
}

impl<'c> Paired<'c> {
    fn of(config: &Config, trunk: &'c Trunk) -> Option<Self> {
        let fqdn = trunk.fqdn.clone().filter(|_| trunk.dialect == Dialect::Microsoft)?;
        let port = config.sip.tls?.port();
        let sessions_max = trunk.channels_max.unwrap_or(config.limits.calls_max);
        Some(Self { trunk, fqdn, port, sessions_max })
    }

    /// The domain that the tenant must have verified.
    fn domain(&self) -> &str {
        self.fqdn.split_once('.').map_or(&self.fqdn, |(_, domain)| domain)
    }
}

/// A text as PowerShell takes it literally: in single quotes, a quote inside doubled.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn flag(on: bool) -> &'static str {
    if on { "$true" } else { "$false" }
}
