//! What a text of a stranger's could do if it became part of the page, and does not.

use serde_json::json;
use sidetone::sim::stage::{Setting, Stage, TokenOf};

use crate::Outcome;
use crate::browser::{Kind, chromium};
use crate::supervisor::signed_in;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_text_becomes_markup_and_no_script_of_others_runs_or_calls_home() -> Outcome {
    let Some(()) = chromium() else { return Ok(()) };
    let stage = Stage::start(Setting::default()).await?;
    let browser = signed_in(&stage, TokenOf::Crm, Some("sam"), Kind::default()).await?;

    let shown = "const done = arguments[0];
        import(document.querySelector('script[type=module]').src.replace('main.js', 'dom.js')).then(({ h, show }) => {
          const place = document.body.appendChild(document.createElement('div'));
          show(place, h('p', { title: '\"><script>owned = 1</script>' }, '<img src=x onerror=\"owned = 1\">'));
          done([place.querySelectorAll('img, script').length, place.innerText]);
        });";
    assert_eq!(browser.run_async(shown).await?, json!([0, "<img src=x onerror=\"owned = 1\">"]));

    // And if a view forgot, the browser holds: nothing is markup by assignment, no script has its text here, none comes
    // from elsewhere, and nothing is sent elsewhere.
    let attempts = "const done = arguments[0];
        const tried = (attempt) => { try { attempt(); return 'went through'; } catch (error) { return error.name; } };
        const script = document.createElement('script');
        const broken = [];
        addEventListener('securitypolicyviolation', (event) => broken.push(event.effectiveDirective));
        const first = [
          tried(() => { document.body.innerHTML += '<b>x</b>'; }),
          tried(() => { script.text = 'owned = 1'; }),
          tried(() => { script.src = 'http://127.0.0.1:9/owned.js'; }),
        ];
        fetch('http://127.0.0.1:9/').catch(() => new Promise((soon) => setTimeout(soon, 0)))
          .then(() => done([...first, broken.includes('connect-src'), typeof owned]));";
    assert_eq!(
        browser.run_async(attempts).await?,
        json!(["TypeError", "TypeError", "TypeError", true, "undefined"])
    );
    // Nothing that a browser would send by itself.
    assert_eq!(browser.run("return document.cookie").await?, "");
    stage.stop().await;
    Ok(())
}
