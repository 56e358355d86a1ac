//! The OpenAPI document: generated from the handlers, completed here with what holds for all of
//! them, so that no handler has to repeat it.

use utoipa::OpenApi;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{HttpMethod, Operation, Parameter, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{OpenApi as Document, Ref, RefOr, Required};

use super::problem::ProblemDocument;
use super::records::CloudEvent;
use super::session::SECRETS;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Sidetone",
        description = "Calls, supervision, events and records of a voice-consult gateway. \
            Errors are RFC 9457 problem documents with a stable `code`. Every write accepts `Idempotency-Key`.\n\n\
            Webhooks: each event is a `POST` of its CloudEvents document (`application/cloudevents+json`), in order, at \
            least once, with one request in flight. `Sidetone-Signature: t=SECONDS,v1=HEX` carries the HMAC-SHA256, \
            under the webhook's secret, of the bytes of `SECONDS`, a dot and the body. Any 2xx takes the event, 410 \
            switches the webhook off until its URL changes, anything else is tried again with growing pauses.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    servers((url = "/")),
    tags(
        (name = "calls", description = "Live calls"),
        (name = "legs", description = "The connections of a call"),
        (name = "supervision", description = "Monitor, whisper, barge, take over"),
        (name = "consult", description = "Ask an expert, talk in private, merge or hand over"),
        (name = "transfer", description = "Give a place in a call to another"),
        (name = "prerequisites", description = "Whether somebody may be rung, and the account it is read with"),
        (name = "house", description = "People, trunks and accounts at a glance"),
        (name = "webrtc", description = "A person's browser as their telephone"),
        (name = "sessions", description = "Signing in, for people with a browser"),
        (name = "events"),
        (name = "records", description = "What happened"),
        (name = "service", description = "The gateway itself"),
    ),
    components(schemas(ProblemDocument, CloudEvent)),
    security(("bearer" = [])),
)]
struct Frame;

/// The document without its paths.
pub(super) fn frame() -> Document {
    let mut document = Frame::openapi();
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("A token of the configuration, or as the role of its bearer allows."))
        .build();
    if let Some(components) = &mut document.components {
        components.security_schemes.insert("bearer".into(), RefOr::T(SecurityScheme::Http(bearer)));
    }
    for tag in document.tags.iter_mut().flatten().filter(|tag| tag.name == "events") {
        tag.description = Some(events());
    }
    document
}

/// Every event by its name.
fn events() -> String {
    let lines = sbc_config::EVENTS.iter().map(|(name, tells)| format!("- `{name}`: {tells}"));
    format!("What happens, as it happens. These are told:\n\n{}", lines.collect::<Vec<_>>().join("\n"))
}

/// The whole document, as it is served and committed.
pub fn document() -> Document {
    let (_, mut document) = super::routes().split_for_parts();
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            complete(path, &method, operation);
        }
    }
    document
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (HttpMethod, &mut Operation)> {
    [
        (HttpMethod::Get, &mut item.get),
        (HttpMethod::Post, &mut item.post),
        (HttpMethod::Put, &mut item.put),
        (HttpMethod::Patch, &mut item.patch),
        (HttpMethod::Delete, &mut item.delete),
    ]
    .into_iter()
    .filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

/// Adds to an operation what its path and method imply.
fn complete(path: &str, method: &HttpMethod, operation: &mut Operation) {
    let open = operation.security.as_ref().is_some_and(|security| {
        security.iter().all(|one| serde_json::to_value(one).is_ok_and(|one| one == serde_json::json!({})))
    });
    let writes = *method != HttpMethod::Get;
    if !open {
        problem(operation, 401, "No token, or one that is not good");
        problem(operation, 403, "The role or scope of the token does not allow it");
    }
    if path.contains('{') {
        problem(operation, 404, "No such thing, or another tenant's");
    }
    let in_query =
        |parameter: &_| matches!(parameter, RefOr::T(Parameter { parameter_in: ParameterIn::Query, .. }));
    if writes || operation.parameters.iter().flatten().any(in_query) {
        problem(operation, 400, "The request cannot be understood");
    }
    if operation.request_body.is_some() {
        problem(operation, 415, "The body is not declared as JSON");
    }
    if writes {
        problem(
            operation,
            409,
            "Understood, allowed, and impossible now; or the key's first request is still under way",
        );
        problem(operation, 413, "The body is too large");
        problem(
            operation,
            422,
            "A field is unknown, missing or not valid; or the key was used for another request",
        );
        let verb = if *method == HttpMethod::Post { "POST" } else { "" };
        if !SECRETS.contains(&(verb, path)) {
            operation.parameters.get_or_insert_default().push(RefOr::T(idempotency_key()));
        }
    }
    problem(operation, 500, "Something failed in the gateway");
    if !operation.responses.responses.contains_key("503") {
        problem(
            operation,
            503,
            "Busy, draining, out of time, or the store cannot be reached; see Retry-After",
        );
    }
}

fn problem(operation: &mut Operation, status: u16, description: &str) {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    let mut response =
        ResponseBuilder::new().description(description).content("application/problem+json", content);
    let text = || ObjectBuilder::new().schema_type(Type::String).build();
    if status == 401 {
        response = response.header("WWW-Authenticate", HeaderBuilder::new().schema(Some(text())).build());
    }
    if status == 503 {
        response = response.header("Retry-After", HeaderBuilder::new().schema(Some(text())).build());
    }
    operation.responses.responses.insert(status.to_string(), RefOr::T(response.build()));
}

fn idempotency_key() -> Parameter {
    let key =
        ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).max_length(Some(255)).build();
    ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(
            "A text of the client's own choice. The same request with the same key is carried out once within 24 hours \
             and answered the same, with `Idempotent-Replayed: true`.",
        ))
        .schema(Some(key))
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/api/openapi.json");

    #[test]
    fn the_committed_document_is_the_one_that_is_served() {
        let generated = document().to_pretty_json().unwrap() + "\n";
        if std::env::var_os("SIDETONE_WRITE_OPENAPI").is_some() {
            std::fs::write(COMMITTED, &generated).unwrap();
        }
        let committed = std::fs::read_to_string(COMMITTED).unwrap_or_default();
        assert!(
            generated == committed,
            "api/openapi.json is not what the handlers say; run this test with SIDETONE_WRITE_OPENAPI=1 to write it"
        );
    }

    #[test]
    fn every_operation_is_described_in_full() {
        let document = serde_json::to_value(document()).unwrap();
        assert_eq!(document["openapi"], "3.1.0");
        let schemas = document["components"]["schemas"].as_object().unwrap();
        let mut count = 0;
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let what = format!("{method} {path}: {operation}");
                count += 1;
                assert!(operation["operationId"].is_string() && operation["summary"].is_string(), "{what}");
                let responses = operation["responses"].as_object().unwrap();
                assert!(responses.keys().any(|status| status < &"400".to_owned()), "{what}");
                assert!(responses.contains_key("500"), "{what}");
                let text = operation.to_string();
                for name in
                    text.split("#/components/schemas/").skip(1).filter_map(|rest| rest.split('"').next())
                {
                    assert!(schemas.contains_key(name), "{name} is missing: {what}");
                }
                let secret = SECRETS.contains(&(&*method.to_uppercase(), path));
                if method != "get" {
                    assert!(text.contains("Idempotency-Key") != secret, "{what}");
                }
            }
        }
        assert_eq!(count, 49, "an operation came or went: say so in CHANGELOG.md");
    }
}
