//! `--keep`: a house that stays open, with calls going on, so that somebody can look at it in a browser.
//!
//! Customers call again and again; Alice and Bob answer, talk, are put on hold and taken back. Walter and Wendy have no
//! telephones but browsers: whoever signs in as Walter hears for himself, and calls ring at whoever signs in as Wendy.

use std::time::Duration;

use super::Play;
use crate::sim::phone::{Options, Phone};
use crate::sim::stage::{
    ALICES_NUMBER, CARRIER_IP, Person, Stage, StageError, TEAM_NUMBER, TokenOf, WENDYS_NUMBER, at,
};
use crate::sim::voice::Voice;

/// More customers, how they sound, and whom they call.
const MORE: [(&str, f64, &str); 2] = [("+15550177", 672.0, TEAM_NUMBER), ("+15550188", 823.0, WENDYS_NUMBER)];

/// How long a customer talks, waits on hold, talks on, and thinks before the next call. Long enough to click around in
/// a call, short enough to see one begin and end; each shorter than anybody waits for anything here.
const SCENES: [Duration; 4] =
    [Duration::from_secs(45), Duration::from_secs(12), Duration::from_secs(40), Duration::from_secs(6)];

/// Whoever can sign in, and what to expect there.
const WELCOME: [(TokenOf, Option<&str>, &str); 4] = [
    (
        TokenOf::Crm,
        Some("walter"),
        "Walter, supervisor: listens, whispers, barges in, takes over, in his browser",
    ),
    (TokenOf::Crm, Some("wendy"), "Wendy, agent: calls ring in her browser; hold, keypad, consult, transfer"),
    (
        TokenOf::Crm,
        Some("sam"),
        "Sam, supervisor: the same as Walter, with a telephone that answers by itself",
    ),
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
        let [second, third] = MORE.map(|(name, hz, _)| more(name, hz));
        let (second, third) = (second.await?, third.await?);
        tokio::select! {
            _ = tokio::signal::ctrl_c() => Ok(()),
            ended = calls_again(stage, &stage.customer, ALICES_NUMBER) => ended,
            ended = calls_again(stage, &second, MORE[0].2) => ended,
            ended = calls_again(stage, &third, MORE[1].2) => ended,
        }
    }
}

async fn more(name: &str, hz: f64) -> Result<Person, StageError> {
    let options = Options { ip: CARRIER_IP, voice: Voice::tone(hz), ..Options::new(name) };
    let phone = Phone::start(options).await;
    let phone = phone.map_err(|source| StageError::Phone { who: name.to_owned(), source })?;
    Ok(Person { phone, hz })
}

/// One customer, for ever. A call that fails or that somebody ended is one that is over.
async fn calls_again(stage: &Stage, customer: &Person, number: &str) -> Result<(), StageError> {
    let [talk, wait, talk_on, think] = SCENES;
    let pause = async || tokio::time::timeout(think, std::future::pending::<()>()).await;
    let over =
        async |patience| matches!(tokio::time::timeout(patience, customer.phone.over()).await, Ok(Ok(_)));
    loop {
        // Nobody calls Wendy while nobody is Wendy.
        if number == WENDYS_NUMBER && !stage.api_of(TokenOf::Crm).is_signed_in("wendy").await.unwrap_or(false)
        {
            let _waited = pause().await;
            continue;
        }
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
        let _waited = pause().await;
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
