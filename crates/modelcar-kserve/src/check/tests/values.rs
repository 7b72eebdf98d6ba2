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
