//! Canonical JSON: the same value always gives the same bytes, so that the bytes can be hashed.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

/// Returns `value` with the keys of every object sorted.
///
/// The image types keep annotations in hash maps, whose order differs from run to run. And if any crate of a build
/// turns on `serde_json`'s feature `preserve_order`, objects keep the order of insertion. Neither order may change a
/// digest.
pub(crate) fn canonical_value(value: &impl Serialize) -> Value {
    sorted(serde_json::to_value(value).unwrap_or_default())
}

/// Returns the canonical text: sorted keys, no white space, UTF-8.
pub(crate) fn canonical_json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(&canonical_value(value)).unwrap_or_default()
}

/// Sorts the keys of all objects in `value`, at every depth. Arrays keep their order.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let map: BTreeMap<String, Value> = map.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            Value::Object(map.into_iter().collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_sorted_at_every_depth() {
        let value: Value = serde_json::from_str(r#"{"b":[{"z":1,"a":2}],"a":{"y":null,"x":"ü"}}"#).unwrap();
        assert_eq!(canonical_json(&value), r#"{"a":{"x":"ü","y":null},"b":[{"a":2,"z":1}]}"#.as_bytes());
    }
}
