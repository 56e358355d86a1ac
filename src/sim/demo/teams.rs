//! One step: the customer is a Teams user, and the call comes over Direct Routing, encrypted.

use super::row::{Mouth, Should, row};
use super::{Row, SCENE_PACKETS};
use crate::sim::ear::Ear;
use crate::sim::stage::Person;
use crate::sim::teams::{House, HouseError, NUMBER, ProxyError, Stage, USER};
use crate::sim::{Hung, phone::PhoneError};

use thiserror::Error;

/// Why the step was not played to its end.
#[derive(Debug, Error)]
pub enum TeamsError {
    /// Gateway and proxy do not stand.
    #[error(transparent)]
    House(#[from] HouseError),
    /// The proxy did not do its part.
    #[error("the simulated proxy")]
    Proxy(#[from] ProxyError),
    /// The agent's telephone did not.
    #[error("the telephone of alice")]
    Phone(#[from] PhoneError),
    /// Something waited for never came.
    #[error(transparent)]
    Hung(#[from] Hung),
    /// The call has no sound.
    #[error("the proxy opened no sound for its call")]
    NoSound,
}

/// Plays the call on a gateway of its own and measures both ears. The Teams user takes the customer's column and tone.
pub(super) async fn play(customer: &Person, alice: &Person) -> Result<(Vec<Row>, Ear), TeamsError> {
    let house = House::open(alice.hz, customer.hz).await?;
    let call = house.proxy.call(USER, NUMBER).await?;
    house.proxy.until("the call is up", |state| state.stages == [Some(Stage::Up)]).await?;
    house.alice.talking().await?;
    let at_teams = house.proxy.ear(call).await?.ok_or(TeamsError::NoSound)?;
    let at_alice = house.alice.ear().await?;
    let (teams_heard, alice_heard) =
        (at_teams.listen(SCENE_PACKETS).await?, at_alice.listen(SCENE_PACKETS).await?);
    house.proxy.bye(call).await?;
    house.alice.over().await?;
    house.gateway.stop().await;
    let both @ [c, a] = [customer, alice].map(Mouth::from);
    let rows = vec![
        row(c.name, &teams_heard, &both, Should::Voices(&[a])),
        row(a.name, &alice_heard, &both, Should::Voices(&[c])),
    ];
    Ok((rows, at_teams))
}
