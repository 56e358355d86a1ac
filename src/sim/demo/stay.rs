//! `--keep`: a house that stays open, with calls going on, so that somebody can look at it in a browser.
//!
//! Two customers call again and again; Alice and Bob answer, talk, put on hold and take back. Whoever signs in as Sam
//! finds calls to listen to; his telephone answers by itself, as everybody's.

use std::time::Duration;

use super::Play;
use crate::sim::phone::{Options, Phone};
use crate::sim::stage::{ALICES_NUMBER, CARRIER_IP, Person, Stage, StageError, TEAM_NUMBER, TokenOf, at};
use crate::sim::voice::Voice;

/// Another customer, and how they sound.
const SECOND: &str = "+15550177";
const SECOND_HZ: f64 = 672.0;

/// How long a customer talks, waits on hold, talks on, and thinks before the next call. Long enough to click around in
/// a call, short enough to see one begin and end; each shorter than anybody waits for anything here.
const SCENES: [Duration; 4] =
    [Duration::from_secs(45), Duration::from_secs(12), Duration::from_secs(40), Duration::from_secs(6)];

/// Whoever can sign in, and what to expect there.
const WELCOME: [(TokenOf, Option<&str>, &str); 3] = [
    (TokenOf::Crm, Some("sam"), "Sam, supervisor: listens, whispers, barges in, takes over"),
    (TokenOf::Crm, Some("alice"), "Alice, agent: her calls, hold, keypad, consult, transfer"),
    (TokenOf::Admin, None, "Administrator: everything of the house, and steers nothing"),
];

impl Play<'_> {
    /// Shows where the console is, with a link for each who can sign in. A link works once.
    pub(super) async fn welcome(&self) -> Result<(), StageError> {
        let mut links = Vec::new();
        for (token, person, meaning) in WELCOME {
            links.push((self.stage.sign_in_link(token, person).await?, meaning));
        }
        self.screen.console(&self.stage.api.url("/console"), &links);
        Ok(())
    }

    /// Calls go on until the program is interrupted.
    pub(super) async fn stay(&self) -> Result<(), StageError> {
        self.screen.staying();
        self.welcome().await?;
        let stage = self.stage;
        let options = Options { ip: CARRIER_IP, voice: Voice::tone(SECOND_HZ), ..Options::new(SECOND) };
        let phone = Phone::start(options).await;
        let phone = phone.map_err(|source| StageError::Phone { who: SECOND.to_owned(), source })?;
        let second = Person { phone, hz: SECOND_HZ };
        tokio::select! {
            _ = tokio::signal::ctrl_c() => Ok(()),
            ended = calls_again(stage, &stage.customer, ALICES_NUMBER) => ended,
            ended = calls_again(stage, &second, TEAM_NUMBER) => ended,
        }
    }
}

/// One customer, for ever. A call that fails or that somebody ended is one that is over.
async fn calls_again(stage: &Stage, customer: &Person, number: &str) -> Result<(), StageError> {
    let [talk, wait, talk_on, think] = SCENES;
    let over =
        async |patience| matches!(tokio::time::timeout(patience, customer.phone.over()).await, Ok(Ok(_)));
    loop {
        let target = stage.address(number)?;
        customer.phone.dial(target).await.map_err(at(customer))?;
        if customer.phone.talking().await.is_ok() && !over(talk).await {
            steer(stage, customer, "hold").await;
            if !over(wait).await {
                steer(stage, customer, "resume").await;
                if !over(talk_on).await {
                    customer.phone.hang_up().await.map_err(at(customer))?;
                }
            }
        }
        let _ = tokio::time::timeout(think, std::future::pending::<()>()).await;
    }
}

/// Holds or resumes the customer's leg. Whoever plays with the console may have ended the call meanwhile.
async fn steer(stage: &Stage, customer: &Person, act: &str) {
    let crm = stage.api_of(TokenOf::Crm);
    let Ok(calls) = crm.calls().await else { return };
    let mine = calls.iter().find(|call| call.from == customer.name());
    if let Some((call, leg)) = mine.and_then(|call| Some((call, call.customer()?))) {
        let _ = crm.leg(&call.id, &leg.id, act).await;
    }
}
