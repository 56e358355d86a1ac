//! Registrations of trunks on their way to the carriers.

use std::sync::Arc;
use std::time::Instant;

use sbc_config::TrunkId;

use super::Door;
use crate::sip::endpoint::{AskId, Told};
use crate::sip::flow::Destination;
use crate::sip::manners::Manners;
use crate::sip::names::ask::Word;
use crate::sip::trunk::{Account, Step};

impl Door {
    /// Registers the trunks whose time has come.
    pub(super) fn register_trunks(&mut self, now: Instant) {
        if self.draining {
            return;
        }
        let config = self.config.load_full();
        for (trunk, account) in self.registrations.configure(now, &config, &mut self.random) {
            self.end_registration(now, trunk, account);
        }
        let (due, ran_out) = self.registrations.due(now);
        ran_out.into_iter().for_each(|step| self.registration_stands(now, step));
        for trunk in due {
            self.register(now, &trunk);
        }
    }

    /// Ends every registration: whoever would call is to do it elsewhere.
    pub(super) fn leave_registrars(&mut self, now: Instant) {
        for (trunk, account) in self.registrations.leave() {
            self.end_registration(now, trunk, account);
        }
        self.drain(now);
    }

    pub(super) fn registrar_told(&mut self, now: Instant, id: AskId, told: &Told) {
        if let Some(step) = self.registrations.told(now, id, told, &mut self.random) {
            self.registration_stands(now, step);
        }
    }

    fn registration_stands(&mut self, now: Instant, step: Step) {
        match step {
            Step::Again(trunk) => self.register(now, &trunk),
            Step::EndAgain(trunk, account) => self.end_registration(now, trunk, account),
            Step::Stands { trunk, up, detail } => {
                let report = self.trunks.registered(now, &trunk, up, &detail);
                self.reports.extend(report);
            }
        }
    }

    fn register(&mut self, now: Instant, trunk: &TrunkId) {
        let Some((id, account)) = self.registrations.ask(trunk) else { return };
        let ((registrar, turn), user) = (account.registrar(), account.user().map(str::to_owned));
        let registrar = registrar.clone();
        let to = self.registrar_at(now, trunk, &registrar, turn);
        let manners = ours(user);
        let asked = to.and_then(|to| {
            let contact = self.endpoint.contact(&manners, &to);
            let account = self.registrations.account(trunk)?;
            let write = |via: &_, random: &mut _| account.request(via, contact, false, random);
            self.endpoint.ask(now, to, id, &manners, write).ok()
        });
        if asked.is_none()
            && let Some(step) = self.registrations.not_asked(now, id, &mut self.random)
        {
            self.registration_stands(now, step);
        }
    }

    /// Says good-bye, and once more with the password if that is asked for. What is not heard runs out by itself.
    fn end_registration(&mut self, now: Instant, trunk: TrunkId, account: Box<Account>) {
        let (registrar, turn) = account.registrar();
        let registrar = registrar.clone();
        let Some(to) = self.registrar_at(now, &trunk, &registrar, turn) else { return };
        let manners = ours(account.user().map(str::to_owned));
        let contact = self.endpoint.contact(&manners, &to);
        let id = self.registrations.leaves(trunk, account);
        let Some(account) = self.registrations.leaver(id) else { return };
        let write = |via: &_, random: &mut _| account.request(via, contact, true, random);
        if let Err(error) = self.endpoint.ask(now, to, id, &manners, write) {
            tracing::debug!(%error, "a registration is left to run out");
            self.registrations.told(now, id, &Told::NoWay, &mut self.random);
        }
    }

    /// Whether registrars still owe an answer to our good-bye.
    pub(in crate::sip) fn is_leaving(&self) -> bool {
        self.registrations.is_leaving()
    }

    /// One of the registrar's addresses. Those that do not resolve are asked for anew.
    fn registrar_at(
        &mut self,
        now: Instant,
        trunk: &TrunkId,
        registrar: &sbc_config::Destination,
        turn: usize,
    ) -> Option<Destination> {
        let all = self.resolve_all(now, Some(trunk), registrar);
        if let (true, sbc_config::Host::Name(name)) = (all.is_empty() || turn > 0, &registrar.host) {
            self.words.push_back(Word::Doubted(name.clone()));
        }
        all.get(turn % all.len().max(1)).copied()
    }
}

/// Plain manners, with the account's name in our Contact.
fn ours(user: Option<String>) -> Arc<Manners> {
    Arc::new(Manners { contact_user: user, ..Manners::default() })
}
