//! Context cards in requests and answers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::call::card::{Matter, Value};
use crate::switchboard::desk::CardView;

/// What the expert is told of the matter before they answer.
///
/// Which fields are shown, and which of them are sensitive, is the configuration's to say: `[[card]]` of the tenant.
/// Fields that are not in its view are not looked at.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"record": "CAS-4711", "fields": {"customer": "Ann Example", "vip": true},
    "sensitive": ["iban"]}))]
pub(super) struct NewCard {
    /// The id of the record, for the link to it.
    #[schema(nullable = false, min_length = 1, max_length = 128)]
    pub record: Option<String>,
    /// The record's fields by name: texts of one line, numbers, `true` and `false`.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub fields: BTreeMap<String, serde_json::Value>,
    /// The sensitive fields that are to be shown this time.
    #[serde(default)]
    #[schema(max_items = 64)]
    pub sensitive: Vec<String>,
}

impl std::fmt::Debug for NewCard {
    /// It is the customer's affair.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NewCard({} fields)", self.fields.len())
    }
}

/// What became of the fields of the view: their names.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"shown": ["customer", "vip"], "skipped": ["photo"], "withheld": ["iban"], "empty": []}))]
pub(super) struct CardNames {
    /// On the card.
    pub shown: Vec<String>,
    /// Of a kind that cannot be shown, and passed over.
    pub skipped: Vec<String>,
    /// Sensitive, and not named by the request.
    pub withheld: Vec<String>,
    /// In their place, with nothing brought for them.
    pub empty: Vec<String>,
}

/// Reads a card. A field that is neither text, number nor flag may stand in it, as long as nobody wants to show it:
/// software sends a record as it has it.
pub(super) fn read(card: Option<NewCard>) -> Option<Matter> {
    let card = card?;
    let mut values = BTreeMap::new();
    for (name, value) in card.fields {
        let value = match value {
            serde_json::Value::String(text) => Value::Text(text),
            serde_json::Value::Number(number) => Value::Number(number.to_string()),
            serde_json::Value::Bool(flag) => Value::Flag(flag),
            serde_json::Value::Null | serde_json::Value::Array(_) | serde_json::Value::Object(_) => continue,
        };
        values.insert(name, value);
    }
    Some(Matter { record: card.record, values, sensitive: card.sensitive })
}

impl From<CardView> for CardNames {
    fn from(view: CardView) -> CardNames {
        CardNames { shown: view.shown, skipped: view.skipped, withheld: view.withheld, empty: view.empty }
    }
}
