//! OPTIONS both ways: how Microsoft comes to believe that we are there.

use sidetone::sim::teams::FQDN;

use crate::{Test, open};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pitfall_2_all_three_sites_are_asked_by_our_name_and_ask_back_at_it() -> Test {
    let house = open().await?;
    let paired = |state: &sidetone::sim::teams::State| {
        state.seen.options.len() == 3 && state.seen.options_answers.len() >= 3
    };
    let state = house.proxy.until("OPTIONS at three sites, and their answers", paired).await?;
    // Every rule is looked at: a Contact by name, no Record-Route, From and Via by name, Allow and X-MS-SBC.
    assert!(state.seen.broken.is_empty(), "{:?}", state.seen.broken);
    for (status, answer) in &state.seen.options_answers {
        assert_eq!(*status, 200);
        let answer = String::from_utf8_lossy(answer);
        let line = |name: &str| answer.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        assert!(line("Contact: ").contains(FQDN), "{answer}");
        assert!(line("Allow: ").contains("REFER") && line("Allow: ").contains("NOTIFY"), "{answer}");
        assert!(line("To: ").contains(";tag="), "{answer}");
    }
    house.gateway.stop().await;
    Ok(())
}
