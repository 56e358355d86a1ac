//! The console: the files of a small web page, built into the binary, and the headers that fence it in.
//!
//! The page is one document and its modules. The document is asked for again each time; everything it names lies
//! below a path with a hash over all files, so a browser keeps it for ever and never mixes two versions. There is no
//! script and no style in the document itself, so the policy allows none, and a text of a caller that looks like
//! markup stays text.

use std::fmt::Write as _;
use std::sync::LazyLock;

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use sha2::{Digest as _, Sha256};

use super::ApiState;

/// Where the console is.
pub(super) const PATH: &str = "/console";

/// What the document says in place of the path with the hash.
const PLACEHOLDER: &str = "{assets}";

/// One file.
struct Asset {
    name: &'static str,
    kind: &'static str,
    text: &'static str,
}

macro_rules! assets {
    ($kind:literal: $($name:literal),+ $(,)?) => {
        [$(Asset { name: $name, kind: $kind, text: include_str!(concat!("../../console/", $name)) }),+]
    };
}

/// The document, before it knows the hash.
const DOCUMENT: &str = include_str!("../../console/index.html");
const SCRIPTS: [Asset; 15] = assets!("text/javascript; charset=utf-8":
    "api.js", "call.js", "card.js", "consult.js", "dial.js", "dom.js", "house.js", "main.js", "matrix.js", "people.js", "phone.js",
    "signin.js", "supervise.js", "wallboard.js", "words.js");
const STYLES: [Asset; 1] = assets!("text/css; charset=utf-8": "console.css");
const PICTURES: [Asset; 1] = assets!("image/svg+xml": "icon.svg");

fn all() -> impl Iterator<Item = &'static Asset> {
    SCRIPTS.iter().chain(&STYLES).chain(&PICTURES)
}

/// What is served.
struct Site {
    hash: String,
    document: String,
}

static SITE: LazyLock<Site> = LazyLock::new(|| {
    let mut sum = Sha256::new();
    for asset in all() {
        // Lengths between the parts, so that no two sites run together to the same text.
        sum.update((asset.text.len() as u64).to_be_bytes());
        sum.update(asset.name);
        sum.update(asset.text);
    }
    sum.update(DOCUMENT);
    let hash = sum.finalize().iter().take(8).fold(String::new(), |mut hash, octet| {
        let _ = write!(hash, "{octet:02x}");
        hash
    });
    let document = DOCUMENT.replace(PLACEHOLDER, &format!("{PATH}/{hash}"));
    Site { hash, document }
});

/// No inline script or style, nothing from elsewhere, no frame around it; and nothing becomes markup by assignment.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    media-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";
/// A microphone and a loudspeaker; nothing else of the machine.
const PERMISSIONS: &str = "microphone=(self), speaker-selection=(self), autoplay=(self), camera=(), geolocation=(), \
    display-capture=(), payment=(), usb=()";
/// A path with the hash never holds anything else.
const FOR_EVER: &str = "public, max-age=31536000, immutable";
/// The document is asked for each time.
const ASK_EACH_TIME: &str = "no-cache";

/// The routes of the console. They need no token: there is nothing in them that is not in the source.
pub(super) fn routes() -> Router<ApiState> {
    Router::new()
        .route("/", get(|| async { Redirect::temporary(PATH) }))
        .route(PATH, get(document))
        .route("/console/", get(|| async { Redirect::temporary(PATH) }))
        .route("/console/{hash}/{name}", get(asset))
}

async fn document() -> Response {
    fenced("text/html; charset=utf-8", ASK_EACH_TIME, &SITE.document)
}

async fn asset(Path((hash, name)): Path<(String, String)>) -> Response {
    // Another version's file under this hash would be kept for ever in its place.
    match all().find(|asset| asset.name == name && hash == SITE.hash) {
        Some(asset) => fenced(asset.kind, FOR_EVER, asset.text),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

fn fenced(kind: &'static str, keep: &'static str, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, keep),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    let mut response = (headers, text).into_response();
    for (name, value) in [
        ("permissions-policy", PERMISSIONS),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything in double quotes after `before`.
    fn quoted<'a>(text: &'a str, before: &str) -> Vec<&'a str> {
        text.split(before).skip(1).filter_map(|rest| rest.split('"').next()).collect()
    }

    #[test]
    fn the_document_and_the_modules_name_only_files_that_are_served() {
        let names: Vec<_> = all().map(|asset| asset.name).collect();
        let named = quoted(DOCUMENT, "\"{assets}/");
        assert!(named.len() >= 3, "{named:?}");
        let imports = SCRIPTS.iter().flat_map(|script| quoted(script.text, "from \"./"));
        for name in named.into_iter().chain(imports) {
            assert!(names.contains(&name), "{name} is not served");
        }
        assert!(!SITE.document.contains(PLACEHOLDER));
    }

    #[test]
    fn every_file_of_the_folder_is_served() {
        let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/console")).unwrap();
        for entry in folder {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let page = name.ends_with(".js") || name.ends_with(".css") || name.ends_with(".svg");
            assert!(!page || all().any(|asset| asset.name == name), "{name} is missing in console.rs");
        }
    }

    #[test]
    fn nothing_in_the_document_needs_a_weaker_policy() {
        for weak in ["<style", " style=", " onclick=", " onload=", "javascript:", "http://", "https://"] {
            assert!(!DOCUMENT.contains(weak), "{weak}");
        }
        for script in DOCUMENT.split("<script").skip(1) {
            assert!(
                script.split('>').next().unwrap_or_default().contains("src="),
                "a script in the document"
            );
        }
        for script in &SCRIPTS {
            for weak in
                ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"]
            {
                assert!(!script.text.contains(weak), "{}: {weak}", script.name);
            }
        }
    }
}
