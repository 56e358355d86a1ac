//! The last step: the customer is a Teams user, and the call comes over Direct Routing, encrypted.

use super::{Row, SCENE_PACKETS};
use crate::sim::ear::{Clip, Ear};
use crate::sim::stage::Person;
use crate::sim::stage::levels::{HEARD_DBFS, Heard, Limit, UNHEARD_DBFS, WrongLevel};
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
    let both = [customer, alice];
    Ok((vec![row(customer, &teams_heard, both), row(alice, &alice_heard, both)], at_teams))
}

/// Each hears the other, and not itself.
fn row(ear: &Person, clip: &Clip, both: [&Person; 2]) -> Row {
    let levels: Vec<_> =
        both.iter().map(|mouth| (mouth.name().to_owned(), clip.level_of(mouth.hz))).collect();
    let judged = levels.iter().filter_map(|(mouth, measured)| {
        let (right, limit) = match mouth == ear.name() {
            true => (*measured <= UNHEARD_DBFS, Limit::AtMost(UNHEARD_DBFS)),
            false => (*measured >= HEARD_DBFS, Limit::AtLeast(HEARD_DBFS)),
        };
        let (ear, mouth, measured) = (ear.name().to_owned(), mouth.clone(), *measured);
        (!right).then_some(WrongLevel { ear, mouth, measured, limit })
    });
    let wrong = judged.collect();
    let mouths = both.iter().filter(|mouth| mouth.name() != ear.name()).map(|mouth| mouth.name().to_owned());
    let mouths = mouths.collect();
    let heard = Heard { ear: ear.name().to_owned(), levels, total: clip.level(), packets: clip.packets };
    Row { heard, mouths, music: false, wrong }
}
