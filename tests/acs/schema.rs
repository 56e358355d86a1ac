//! Microsoft's published interface, as far as OpenAPI describes it, and what is wrong with a body by it.
//!
//! The file is not part of the project: without it nothing is judged, and whoever asks says so.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

/// A file of the folder beside the project, or of where `SIDETONE_SHARED` says.
pub(crate) fn shared(file: &str) -> Option<Value> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let file = std::env::var_os("SIDETONE_SHARED").map_or(beside, PathBuf::from).join(file);
    match std::fs::read(&file) {
        Ok(text) => Some(serde_json::from_slice(&text).expect("the file is JSON")),
        Err(_) => {
            eprintln!("SKIPPED: {} is not there", file.display());
            None
        }
    }
}

/// The published interface.
pub(crate) struct Published(Value);

impl Published {
    /// Read, if it is there.
    pub(crate) fn read() -> Option<Published> {
        shared("data/acs/callautomation-2026-03-12.openapi.json").map(Published)
    }

    /// The types of events.
    pub(crate) fn events(&self) -> Vec<&str> {
        let events = self.0["x-callback-event-data-schemas"].as_array().expect("a list of events");
        events.iter().filter_map(Value::as_str).collect()
    }

    /// What is wrong with the data of an event.
    pub(crate) fn event_faults(&self, kind: &str, data: &Value) -> Vec<String> {
        let mut faults = Vec::new();
        if !self.events().contains(&kind) {
            faults.push(format!("{kind} is no event"));
        }
        self.check(&self.0["components"]["schemas"][kind], data, kind, &mut faults);
        faults
    }

    /// The path of the interface that a path is of.
    pub(crate) fn template(&self, path: &str) -> Option<&str> {
        let paths = self.0["paths"].as_object()?;
        let fits = |template: &str| {
            let (mut template, mut rest) = (template, path);
            while let Some((before, after)) = template.split_once('{') {
                let Some(inner) = rest.strip_prefix(before) else { return false };
                let Some((_, tail)) = after.split_once('}') else { return false };
                let end = inner.find([':', '/']).unwrap_or(inner.len());
                (template, rest) = (tail, &inner[end..]);
                if end == 0 {
                    return false;
                }
            }
            template == rest
        };
        paths.keys().map(String::as_str).find(|template| fits(template))
    }

    /// What is wrong with a request.
    pub(crate) fn request_faults(&self, method: &str, path: &str, body: &Value) -> Vec<String> {
        let what = format!("{method} {path}");
        let Some(operation) = self.operation(method, path) else {
            return vec![format!("{what} is no operation")];
        };
        let wanted = &operation["requestBody"]["content"]["application/json"]["schema"];
        let mut faults = Vec::new();
        match (wanted.is_null(), body.is_null()) {
            (true, true) => {}
            (true, false) => faults.push(format!("{what} takes no body")),
            (false, true) if operation["requestBody"]["required"] != true => {}
            (false, _) => self.check(wanted, body, &what, &mut faults),
        }
        faults
    }

    /// What is wrong with an answer.
    pub(crate) fn answer_faults(&self, method: &str, path: &str, status: u16, body: &Value) -> Vec<String> {
        let what = format!("{status} to {method} {path}");
        let Some(operation) = self.operation(method, path) else { return Vec::new() };
        let responses = &operation["responses"];
        let known = &responses[status.to_string()];
        let mut faults = Vec::new();
        if known.is_null() && status < 400 {
            return vec![format!("{what} is not published")];
        }
        let response = if known.is_null() { &responses["default"] } else { known };
        let wanted = &response["content"]["application/json"]["schema"];
        match (wanted.is_null(), body.is_null()) {
            (true, true) => {}
            (true, false) => faults.push(format!("{what} has no body, and here is {body}")),
            (false, _) => self.check(wanted, body, &what, &mut faults),
        }
        faults
    }

    fn operation(&self, method: &str, path: &str) -> Option<&Value> {
        self.0["paths"][self.template(path)?].get(method.to_ascii_lowercase())
    }

    fn check(&self, schema: &Value, value: &Value, at: &str, faults: &mut Vec<String>) {
        if let Some(name) = schema["$ref"].as_str() {
            return self.check(self.named(name), value, at, faults);
        }
        if let Some(name) = schema["x-wire-schema"].as_str() {
            return self.check(&self.0["components"]["schemas"][name], value, at, faults);
        }
        let kind = schema["type"].as_str().unwrap_or("any");
        let fits = match kind {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            "boolean" => value.is_boolean(),
            _ => true,
        };
        if !fits {
            return faults.push(format!("{at}: {value} is no {kind}"));
        }
        // Case differs between senders, and the service does not mind.
        if let (Some(words), Some(word)) = (schema["enum"].as_array(), value.as_str())
            && !words.iter().filter_map(Value::as_str).any(|known| known.eq_ignore_ascii_case(word))
        {
            faults.push(format!("{at}: {word} is none of {words:?}"));
        }
        if let Some(number) = value.as_f64()
            && (schema["minimum"].as_f64().is_some_and(|least| number < least)
                || schema["maximum"].as_f64().is_some_and(|most| number > most))
        {
            faults.push(format!("{at}: {number} is out of range"));
        }
        if let Some(items) = value.as_array() {
            items.iter().for_each(|item| self.check(&schema["items"], item, &format!("{at}[]"), faults));
        }
        if let Some(members) = value.as_object() {
            self.check_members(schema, members, at, faults);
        }
    }

    fn check_members(
        &self,
        schema: &Value,
        members: &Map<String, Value>,
        at: &str,
        faults: &mut Vec<String>,
    ) {
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !members.contains_key(name) {
                faults.push(format!("{at}: {name} is missing"));
            }
        }
        let none = Map::new();
        let known = schema["properties"].as_object().unwrap_or(&none);
        for (name, value) in members {
            match known.get(name) {
                Some(schema) => self.check(schema, value, &format!("{at}.{name}"), faults),
                None if !schema["additionalProperties"].is_null() || known.is_empty() => {}
                None => faults.push(format!("{at}: {name} is not published")),
            }
        }
    }

    fn named(&self, name: &str) -> &Value {
        let pointer = name.trim_start_matches('#');
        self.0.pointer(pointer).unwrap_or_else(|| panic!("{name} is not in the interface"))
    }
}
