//! Objects as a client of Kubernetes has them.

use serde_json::json;

use crate::check::{CheckError, Expected, check, check_value};

#[test]
fn values_are_judged_as_their_document_is() {
    let pod = json!({"kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": [{"name": "main"}]}});
    let list = json!({"kind": "List", "items": [pod]});
    let expected = Expected::default();
    let document = check(list.to_string().as_bytes(), &expected).unwrap();
    let mut bare = pod.clone();
    bare.as_object_mut().unwrap().remove("kind");
    for objects in [[list].as_slice(), &[pod], &[bare]] {
        assert_eq!(check_value(objects, &expected).unwrap(), document);
    }
}

#[test]
fn what_is_no_pod_is_refused() {
    let refused = |objects: &[_]| check_value(objects, &Expected::default()).unwrap_err();
    assert!(matches!(refused(&[json!({"spec": {}})]), CheckError::NotAnObject));
    assert!(matches!(refused(&[json!({"kind": "Secret"})]), CheckError::NoPod(kind) if kind == "Secret"));
    assert!(matches!(refused(&[]), CheckError::NoPod(_)));
}

/// `kubectl` writes the kind of a list behind its items, which are parsed one after another.
#[test]
fn a_list_is_read_whatever_stands_where() {
    let pod = r#"{"kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": [{"name": "main"}]}}"#;
    let read = |json: String| check(json.as_bytes(), &Expected::default());
    let one = read(pod.to_owned()).unwrap();
    for list in [
        format!(r#"{{"kind": "List", "items": [{pod}]}}"#),
        format!(r#" {{ "apiVersion": "v1", "items": [ {pod} ], "kind": "PodList" }} "#),
        pod.replace("\"metadata\"", "\"items\": null, \"metadata\""),
    ] {
        assert_eq!(read(list).unwrap(), one);
    }
    for text in ["", "{", "[}", r#"{"kind": "List", "items": [{]}"#, r#"{"kind": "List", "items": [] } x"#] {
        assert!(matches!(read(text.to_owned()), Err(CheckError::NotJson(_))), "{text}");
    }
    for text in ["42", "null", "[]", "[{}]", "{}", r#"{"kind": 1}"#, r#"{"kind": "List", "items": [{"spec"]}"#] {
        let is_object = matches!(read(text.to_owned()), Err(CheckError::NotAnObject));
        assert_eq!(is_object, !text.contains("spec"), "{text}");
    }
    let none = read(r#"{"kind": "List", "items": []}"#.to_owned());
    assert!(matches!(none, Err(CheckError::NoPod(kind)) if kind == "List"));
}
